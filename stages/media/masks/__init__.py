"""Masks in: one reader a format, and the reading of what their values mean."""
