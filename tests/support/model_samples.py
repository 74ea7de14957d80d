"""Pictures whose motion is known."""

import skimage.data


def pair(shift=(5, 3), size=(120, 160)):
    """Return two RGB pictures (H, W, 3); what moves does so by `shift`, x before y."""
    picture = skimage.data.astronaut()
    rows, columns = size
    first = picture[100 : 100 + rows, 150 : 150 + columns]
    y, x = 100 - shift[1], 150 - shift[0]
    return first, picture[y : y + rows, x : x + columns]
