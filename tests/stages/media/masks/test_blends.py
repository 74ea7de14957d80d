"""Colours along blended edges are no classes; rare colours of real sets stay classes."""

import json
from itertools import product

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.masks.blends import (
    DIRECTIONS,
    DISTANCES,
    WITHIN,
    BlendCounts,
    label_blends,
    separation_from_mixtures,
)
from stages.media.masks.raw import packed, unpacked
from tests.support.mask_samples import discs, folder_of, opened

CLIP = discs()
GROUND = np.zeros(CLIP.shape[1:], bool)
GROUND[30:] = True  # a straight border across the picture, which the disc crosses
LABELS = np.where(CLIP, 1, np.where(GROUND, 2, 0)).astype(np.uint8)
TABLE = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0)], np.uint8)
CITYSCAPES = (
    *((0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153)),
    *((153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152)),
    *((70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100)),
)


def folder(tmp_path, pictures):
    return folder_of(tmp_path, pictures, lambda path, a: Image.fromarray(a).save(path))


def read(path, size):
    masks = opened(path, frames=len(CLIP), size=size)
    return np.stack(list(masks)), masks


def resized(picture, factor, how):
    rows, columns = (round(side * factor) for side in picture.shape[:2])
    return cv2.resize(picture, (columns, rows), interpolation=how)


BLENDS = {
    "anti-aliased": lambda p: resized(resized(p, 4, cv2.INTER_NEAREST), 1 / 3, cv2.INTER_AREA),
    "halved": lambda p: resized(p, 0.5, cv2.INTER_AREA),
    "doubled": lambda p: resized(p, 2, cv2.INTER_LINEAR),
    "there and back": lambda p: resized(resized(p, 0.5, cv2.INTER_AREA), 2, cv2.INTER_LINEAR),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 0.8),
    "blurred a lot": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
    "blurred, then enlarged": lambda p: resized(
        cv2.GaussianBlur(p, (0, 0), 0.8), 2, cv2.INTER_NEAREST
    ),
}


@pytest.mark.parametrize("blend", BLENDS.values(), ids=BLENDS.keys())
def test_classes_with_blended_edges_are_those_that_were_drawn(tmp_path, blend):
    pictures = [blend(TABLE[labels]) for labels in LABELS]
    size = pictures[0].shape[:2]
    actual, masks = read(folder(tmp_path, pictures), size)
    assert masks.legend.names == {1: "#00c800", 2: "#c80000"}
    truth = [cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST) for labels in LABELS]
    for label, drawn in ((0, 0), (1, 2), (2, 1)):
        wrong = np.count_nonzero((actual == label) != (np.stack(truth) == drawn))
        assert wrong < 0.06 * np.count_nonzero(np.stack(truth) == drawn)


def test_an_edge_between_two_classes_has_no_seam_of_background(tmp_path):
    pictures = [cv2.GaussianBlur(TABLE[labels], (0, 0), 1) for labels in LABELS]
    actual, _ = read(folder(tmp_path, pictures), CLIP.shape[1:])
    inside = np.stack([cv2.erode((m > 0).astype(np.uint8), np.ones((9, 9))) for m in LABELS])
    assert actual[inside > 0].all()


def test_colours_of_the_usual_palette_keep_their_numbers_with_blended_edges(tmp_path):
    table = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
    pictures = [cv2.GaussianBlur(table[labels], (0, 0), 0.8) for labels in LABELS]
    _, masks = read(folder(tmp_path, pictures), CLIP.shape[1:])
    assert masks.legend.names == {1: "#800000", 2: "#008000"}


def test_tiny_objects_in_exact_colours_stay_classes(tmp_path):
    rng = np.random.default_rng(3)
    labels = LABELS.copy()
    for label in range(3, len(CITYSCAPES)):
        y, x, tall, wide = *rng.integers(0, 40, 2), *rng.integers(1, 4, 2)
        labels[:, y : y + tall, x : x + wide] = label
    actual, _ = read(folder(tmp_path, np.array(CITYSCAPES, np.uint8)[labels]), CLIP.shape[1:])
    pairs = set(zip(labels.ravel().tolist(), actual.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels))


def test_a_thin_colour_between_blended_edges_stops_and_a_legend_decides(tmp_path):
    def drawn(labels):
        picture = cv2.GaussianBlur(TABLE[labels], (0, 0), 0.8)
        picture[5, :40] = (0, 0, 250)
        return picture

    path = folder(tmp_path, [drawn(labels) for labels in LABELS])
    with pytest.raises(InputError, match=r"3 colours fill areas .* #0000fa are no .* legend\.json"):
        read(path, CLIP.shape[1:])
    legend = {"background": "#000000", "disc": "#c80000", "ground": "#00c800", "line": "#0000fa"}
    (path / "legend.json").write_text(json.dumps(legend))
    actual, masks = read(path, CLIP.shape[1:])
    assert masks.legend.names[int(actual[0, 5, 20])] == "line"


def test_a_blend_takes_the_nearer_of_the_two_colours_it_blends():
    labels = {0: 0, 0xC80000: 1, 0x00C800: 2}
    blends = {0x6E5A00: 1, 0x5A6E00: 2, 0x640000: 0, 0x700000: 1, 0x3C3C1E: 0}
    assert label_blends(labels, list(blends)) == blends


def test_blends_are_counted_as_pixel_by_pixel():
    rng = np.random.default_rng(1)
    colours = cv2.GaussianBlur(TABLE[rng.integers(0, 3, (20, 24))], (0, 0), 1.5)
    numbers = packed(colours)
    kinds, times = np.unique(numbers, return_counts=True)
    counts = BlendCounts()
    counts.add(colours, numbers, dict(zip(kinds.tolist(), times.tolist(), strict=True)))
    for colour, number in list(counts.pixels.items())[:60]:
        places = np.argwhere(numbers == colour)
        assert number == len(places)
        assert counts.between[colour] == sum(lies_between(colours, *place) for place in places)


def lies_between(colours, row, column):
    """Return whether one pixel lies on the line between two at opposite sides."""
    rows, columns = colours.shape[:2]
    middle = colours[row, column].astype(float)
    for distance, (down, right) in product(DISTANCES, DIRECTIONS):
        first, second = (
            colours[
                min(max(row + s * down * distance, 0), rows - 1),
                min(max(column + s * right * distance, 0), columns - 1),
            ].astype(float)
            for s in (-1, 1)
        )
        if (first == middle).all() or (second == middle).all():
            continue
        line = second - first
        share = min(max((middle - first) @ line / max(line @ line, 1), 0), 1)
        if abs(middle - first - share * line).max() <= WITHIN:
            return True
    return False


def test_mixtures_are_inside_and_other_colours_apart():
    rng = np.random.default_rng(2)
    corners = np.array([unpacked(c) for c in (0, 0xC80000, 0x00C800, 0x0000C8)])
    inside = (rng.dirichlet(np.ones(4), 200) @ corners).round().astype(int)
    assert separation_from_mixtures(inside, corners).max() < 1
    outside = np.array([(255, 255, 255), (210, 0, 0), (100, 100, 100)])
    exact = [565 / 3**0.5, 10, 100 / 3**0.5]  # from the plane r + g + b = 200, or the corner
    np.testing.assert_allclose(separation_from_mixtures(outside, corners), exact, atol=0.5)
