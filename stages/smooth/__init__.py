"""Smoothing of masks in space and time by the guided filter."""
