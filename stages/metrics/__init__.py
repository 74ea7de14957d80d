"""Accuracy and stability measures on arrays, usable on the masks of any system."""
