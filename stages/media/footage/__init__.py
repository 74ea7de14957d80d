"""Footage in: libraries of clips, their timelines, frames and sound."""
