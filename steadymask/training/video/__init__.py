"""Training of networks that see several frames, on label sets."""
