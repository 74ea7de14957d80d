import cv2
import numpy as np
import pytest

from pipeline.errors import ShapeError
from stages.ops.key_matching import (
    LIKE,
    NEAREST,
    KeyFrame,
    describe_pixels,
    match_key_frames,
    matching_step,
    thin_out,
)

SIZE = (40, 60)


def textured(seed, size=SIZE):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (*size, 3)), (0, 0), 1.5)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def planes(shift=0, size=SIZE):
    """Return columns and rows of all pixels, `shift` columns further."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([columns + shift, rows])


def slow_match(own, keys, places, reach):
    """Look through every window of every key frame, pixel by pixel, and sort."""
    rows, columns = own.shape[:2]
    masks = np.zeros((rows, columns, keys[0].masks.shape[-1]))
    for y in range(rows):
        for x in range(columns):
            distances, output = [], []
            for key, target in zip(keys, places, strict=True):
                left, top = (int(v) for v in np.rint(target[:, y, x]))
                near = [
                    (((own[y, x] - key.descriptors[r, c]) ** 2).sum(), key.masks[r, c])
                    for r in range(max(top - reach, 0), min(top + reach + 1, rows))
                    for c in range(max(left - reach, 0), min(left + reach + 1, columns))
                ]
                near.sort(key=lambda pair: pair[0])
                distances += [d for d, _ in near[:NEAREST]]
                output += [m for _, m in near[:NEAREST]]
            weight = np.exp((min(distances) - np.array(distances)) / LIKE)
            masks[y, x] = (weight[:, None] * np.array(output)).sum(axis=0) / weight.sum()
    return masks


def test_it_finds_what_a_search_through_all_windows_finds():
    rng = np.random.default_rng(0)
    own = rng.uniform(0, 1, (12, 15, 6)).astype(np.float32)
    keys = [
        KeyFrame(
            rng.uniform(0, 1, own.shape).astype(np.float32), rng.random((12, 15, 2), np.float32)
        )
        for _ in range(2)
    ]
    places = [planes(k, (12, 15)) for k in (0, 2)]
    match = match_key_frames(own, keys, places, np.ones((12, 15), np.bool_))
    np.testing.assert_allclose(match.masks, slow_match(own, keys, places, 2), atol=2e-5)


def test_what_has_moved_further_than_the_flow_says_is_found_by_its_looks():
    picture, mask = textured(1), np.zeros((*SIZE, 1), np.float32)
    mask[10:30, 20:40] = 1
    moved, moved_mask = np.roll(picture, 3, axis=1), np.roll(mask, 3, axis=1)
    key = KeyFrame(describe_pixels(picture), mask)
    match = match_key_frames(describe_pixels(moved), [key], [planes()], np.ones(SIZE, np.bool_))
    inner = np.s_[8:-8, 12:-12]
    agreed = (match.masks[inner][..., 0] > 0.5) == (moved_mask[inner][..., 0] > 0.5)
    assert agreed.mean() > 0.99
    assert np.median(match.distance[inner]) < 1e-6


def test_where_nothing_is_looked_for_nothing_is_said():
    descriptors = describe_pixels(textured(2))
    key = KeyFrame(descriptors, np.ones((*SIZE, 2), np.float32))
    wanted = np.zeros(SIZE, np.bool_)
    wanted[:, 30:] = True
    match = match_key_frames(descriptors, [key], [planes()], wanted)
    assert (match.masks[:, :30] == 0.5).all()
    assert np.isinf(match.distance[:, :30]).all()
    assert (match.masks[:, 30:] > 0.9999).all()


def test_light_that_changes_a_little_changes_a_descriptor_less_than_another_place_does():
    picture = textured(3)
    lit = np.clip(picture * 1.05, 0, 255).astype(np.uint8)
    own, other = describe_pixels(picture), describe_pixels(lit)
    same = ((own - other) ** 2).sum(axis=-1)
    shifted = ((own - np.roll(own, 9, axis=1)) ** 2).sum(axis=-1)
    assert np.median(same) < 0.1 * np.median(shifted)


def test_pixels_of_small_pictures_are_all_matched_those_of_large_ones_in_steps():
    assert [matching_step(rows) for rows in (32, 120, 240, 480)] == [1, 1, 2, 4]
    assert thin_out(np.arange(100).reshape(10, 10), 4).tolist() == [[22, 26], [62, 66]]


def test_masks_of_another_size_are_refused():
    descriptors = describe_pixels(textured(2))
    key = KeyFrame(descriptors, np.ones((20, 60, 1), np.float32))
    with pytest.raises(ShapeError):
        match_key_frames(descriptors, [key], [planes()], np.ones(SIZE, np.bool_))
