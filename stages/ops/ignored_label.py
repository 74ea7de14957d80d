"""The label that says nothing of a pixel, the same in every file and at every step."""

IGNORE = 255  # as in PASCAL VOC, Cityscapes and DAVIS: neither a class nor the background
