"""Label sets out: pseudo-labels in the layouts that training programs read."""
