"""Learned decoders that refine masks."""
