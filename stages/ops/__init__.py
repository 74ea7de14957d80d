"""The mathematics: pure functions on arrays. No files, no clock, no logging."""
