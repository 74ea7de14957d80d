"""Mask formats, one file each: ``READERS`` is the tuple of readers that a file brings."""
