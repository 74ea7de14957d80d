"""What travels between the stages: one row per array, with its shape, type and range.

Every array has one entry a frame along its first axis (T). C counts foreground classes, in the
order of the fact `classes`; the background is what they leave to 1. K2 counts the neighbours
within `flow.radius`, in the order of `offsets`.

=================  =================  =======  ===================================================
array              shape              type     meaning
=================  =================  =======  ===================================================
ingest.frames      (T, H, W, 3)       uint8    RGB at working resolution
segment.masks      (T, H, W, C)       uint8    soft masks in, 255 is certain
segment.labels     (T, H, W)          uint8    0 background, else 1 + number of the class
segment.source_*   (T, H0, W0[, C])   uint8    masks as they came, if the source is larger: labels
                                               (source_labels) or soft masks (source_soft)
flow.flow          (T, K2, 2, h, w)   int16    to each neighbour, 1/64 px of its own grid
visibility.seen    (T, K2, h, w)      bool     the neighbour shows this pixel too
refine.masks       (T, H, W, C)       uint8    soft masks, refined
refine.trust       (T, C)             uint8    how far a class's mask is as it came, and good so
smooth.masks       (T, H, W, C)       uint8    soft masks out
smooth.labels      (T, H, W)          uint8    labels out, as segment.labels
measure.pairs      (T, 2, K2, 2)      int64    in/out: wrong and seen pixels per neighbour
measure.boundary   (T, 2)             int64    in/out: boundary pixels
measure.restless   (T, 2)             float64  in/out: L2 distance to the Gaussian mean in time
measure.overlap    (T, 2)             int64    pixels where in and out agree on a class; where
                                               either has one
measure.areas      (T, 2, C + 1)      int64    in/out: pixels of each label, background first
=================  =================  =======  ===================================================

Facts of a clip: `frames`, `shots` ([start, stop) pairs), `size` (H, W at work), `source_size`,
`rate` (frames per second), `timeline` (see `stages.media.footage.video`), `holes`, and
`classes` (labels).
"""

from __future__ import annotations


def offsets(radius: int) -> tuple[int, ...]:
    """Return the neighbours of a frame in the order that arrays hold them: -r … -1, 1 … r."""
    return tuple(k for k in range(-radius, radius + 1) if k)
