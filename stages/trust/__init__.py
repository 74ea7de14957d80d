"""Which masks are evidence and which are errors."""
