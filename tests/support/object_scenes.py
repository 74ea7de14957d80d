"""Clips of objects that cross, leave and return, with the number of each object known."""

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from stages.ops.identities import ObjectMatcher

LEAST_OVERLAP = 0.1


def textured(rng, shape, base, contrast=40):
    """Return a picture of one base colour with smooth texture, uint8 RGB."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, (*shape, 1)), (0, 0), 2)[..., None]
    noise *= contrast / max(noise.std(), 1e-6) / 2
    return (np.asarray(base, float) + noise).clip(0, 255).astype(np.uint8)


def scene_with_crossings(seed=0, *, frames=60, size=(120, 200), objects=5, alike=False):
    """Return pictures (T, H, W, 3) and labels (T, H, W) uint16 of ellipses on their ways.

    Objects pass in front of one another, leave the picture and come back; later numbers are in
    front. With `alike` they all have nearly the same colour.
    """
    rng = np.random.default_rng(seed)
    rows, columns = size
    background = textured(rng, size, (110, 120, 100))
    colours = rng.uniform(30, 225, (objects, 3))
    if alike:
        colours = colours[:1] + rng.uniform(-12, 12, (objects, 3))
    skins = [textured(rng, size, colour) for colour in colours]
    radii = rng.uniform(0.07, 0.13, (objects, 2)) * rows * 1.4
    phase = rng.uniform(0, 2 * np.pi, objects)
    speed = rng.uniform(0.6, 1.4, objects) * 2 * np.pi / frames * rng.choice([-1, 1], objects)
    heights = np.linspace(0.25, 0.75, objects) * rows
    pictures, labels = [], []
    for t in range(frames):
        picture, plane = background.copy(), np.zeros(size, np.uint16)
        for k in range(objects):
            x = columns * (
                0.5 + 0.62 * np.sin(speed[k] * t + phase[k])
            )  # out of the picture at the ends
            y = heights[k] + 0.08 * rows * np.cos(2 * speed[k] * t)
            stencil = np.zeros(size, np.uint8)
            cv2.ellipse(
                stencil, (int(x), int(y)), (int(radii[k, 0]), int(radii[k, 1])), 0, 0, 360, 1, -1
            )
            skin = np.roll(skins[k], (int(y), int(x)), (0, 1))
            picture[stencil > 0], plane[stencil > 0] = skin[stencil > 0], k + 1
        pictures.append(picture)
        labels.append(plane)
    return np.stack(pictures), np.stack(labels)


def shuffled_numbers(labels, seed=0):
    """Return labels whose objects are numbered anew in every frame."""
    rng = np.random.default_rng(seed)
    most = int(labels.max())
    tables = [np.concatenate([[0], 1 + rng.permutation(most)]) for _ in labels]
    return np.stack([table[plane] for table, plane in zip(tables, labels, strict=True)]).astype(
        np.uint16
    )


def number_switches(truth, result):
    """Return how often a true object has another number than when it was last there."""
    last, switches = {}, 0
    for true, other in zip(truth, result, strict=True):
        for label in np.unique(true[true > 0]).tolist():
            values, counts = np.unique(other[true == label], return_counts=True)
            number = int(values[counts.argmax()])
            switches += last.get(label, number) != number
            last[label] = number
    return switches


def matched_labels(pictures, labels):
    """Return labels with one number an object, as the pipeline gives them."""
    matcher = ObjectMatcher()
    numbers = [matcher.add_frame(p, plane) for p, plane in zip(pictures, labels, strict=True)]
    final = matcher.joined_numbers()
    out = np.zeros_like(labels)
    for t, frame in enumerate(numbers):
        for label, number in frame.items():
            out[t][labels[t] == label] = final[number]
    return out


def overlap_labels(labels):
    """Return labels numbered by the overlap with the frame before, as most scripts do."""
    out = np.zeros_like(labels)
    most = 0
    for t, plane in enumerate(labels):
        before = out[t - 1] if t else np.zeros_like(plane)
        shared = np.zeros((int(before.max()) + 1, int(plane.max()) + 1))
        np.add.at(shared, (before, plane), 1)
        union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
        overlap = (shared / np.maximum(union, 1))[1:, 1:]
        pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
        numbers = {c + 1: r + 1 for r, c in pairs if overlap[r, c] > LEAST_OVERLAP}
        for label in np.flatnonzero(np.bincount(plane.ravel())).tolist():
            if label and label not in numbers:
                most += 1
                numbers[label] = most
            out[t][plane == label] = numbers.get(label, 0)
    return out
