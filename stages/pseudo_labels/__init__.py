"""Pseudo-labels: which pixels and frames may train a student."""
