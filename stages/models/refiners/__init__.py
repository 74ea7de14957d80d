"""Makes the outline of a coarse mask follow the picture, whatever the object is."""
