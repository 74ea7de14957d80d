"""Slow references for what follows trajectories: plain loops in float64, written from formulas.

Beside them a clip of a few pixels, in which nothing agrees much with anything.
"""

import numpy as np

LOST = 6.0
FRAMES, ROWS, COLUMNS, CLASSES = 5, 14, 18, 2


def slow_value(plane, x, y):
    """Return the value of a plane (h, w, …) at a place, bilinear."""
    rows, columns = plane.shape[:2]
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    top = plane[y0, x0] * (1.0 - fx) + plane[y0, x1] * fx
    low = plane[y1, x0] * (1.0 - fx) + plane[y1, x1] * fx
    return top * (1 - fy) + low * fy


def slow_trajectory(images, flow, frame, x, y, step, *, reach, appearance, pixel):
    """Yield frame, place and weight ``exp(−|I_t − I_j|²/2σ² − Σ |w + w'|²/8)`` of each step."""
    pixels = flow.astype(float) / 64
    way, colour, missed, t = (step + 1) // 2, slow_value(images[frame], x, y), 0.0, frame
    rows, columns = images.shape[1:3]
    for _ in range(reach):
        if not 0 <= t + step < len(images):
            return
        there = np.array([slow_value(pixels[t, way, axis], x, y) for axis in range(2)])
        x, y = x + there[0], y + there[1]
        if not (0 <= x <= columns - 1 and 0 <= y <= rows - 1):
            return
        t += step
        back = np.array([slow_value(pixels[t, 1 - way, axis], x, y) for axis in range(2)])
        missed += ((there + back) ** 2).sum() * pixel**2 / 8
        if missed > LOST:
            return
        unlike = ((slow_value(images[t], x, y) - colour) ** 2).sum()
        yield t, x, y, np.exp(-unlike / (2 * appearance**2) - missed)


def tiny_clip():
    """Return pictures, labels, trust and flow, that leads back to within a pixel or so."""
    rng = np.random.default_rng(3)
    shape = (FRAMES, ROWS, COLUMNS)
    images = rng.integers(100, 125, (*shape, 3), np.uint8)
    labels = rng.integers(0, CLASSES + 1, shape, np.uint8)
    trust = rng.choice(np.array([5, 128, 255], np.uint8), shape)
    drift = rng.normal(0, 1.5, (2, 1, 1))
    there = drift + rng.normal(0, 0.4, (FRAMES, 2, ROWS, COLUMNS))
    back = -drift + rng.normal(0, 0.4, (FRAMES, 2, ROWS, COLUMNS))
    flow = np.rint(64 * np.stack([back, there], axis=1)).astype(np.int16)
    return images, labels, trust, flow
