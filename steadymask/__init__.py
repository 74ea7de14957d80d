"""Temporally stable masks for whole libraries of footage."""
