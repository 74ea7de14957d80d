"""The commands: arguments → stages → engine → exit status. The only place that prints."""
