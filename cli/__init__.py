"""The commands: arguments, then stages, then engine, then exit status. The only place that prints."""
