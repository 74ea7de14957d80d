import numpy as np
import torch

from steadymask.training.refiner_recipe import (
    HELD_OUT,
    drawn_example,
    starting_refiner,
    train_refiner,
)
from steadymask.training.synthetic.coarse_labels import SIZE, coarse_mask, labelled_pictures


def test_pictures_and_their_masks_are_the_same_for_the_same_seed():
    first, again = (list(labelled_pictures([], 3, seed=4)) for _ in range(2))
    assert len(first) == 3
    for (picture, mask), (picture_again, mask_again) in zip(first, again, strict=True):
        assert picture.shape == (SIZE, SIZE, 3)
        assert 0 < mask.mean() < 1
        np.testing.assert_array_equal(picture, picture_again)
        np.testing.assert_array_equal(mask, mask_again)


def test_coarse_masks_are_near_the_truth_and_seldom_it():
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    mask, rng = np.hypot(rows, columns) < SIZE / 3, np.random.default_rng(2)
    drawn = [coarse_mask(rng, mask) for _ in range(40)]
    overlaps = [np.sum(m & mask) / np.sum(m | mask) for m in drawn]
    assert np.median(overlaps) > 0.8
    assert 0 < sum(o == 1 for o in overlaps) < 8


def test_an_example_is_turned_with_its_mask():
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    mask = (np.abs(rows) < 30) & (columns > 10) & (columns < 90)
    picture = np.where(mask[..., None], 200, 40).astype(np.uint8).repeat(3, axis=-1)
    for seed in range(6):
        example = drawn_example(picture, mask, np.random.default_rng(seed))
        bright = example.picture[..., 0] > 100
        assert np.array_equal(bright, example.truth) or np.array_equal(bright, ~example.truth)


def test_the_start_is_the_shipped_decoder_without_neighbours():
    from stages.models.decoders.load import load_decoder

    planes = torch.rand(1, 6, 32, 32)
    with torch.inference_mode():
        own = starting_refiner()(planes, torch.zeros(1, 0, 16, 16))
        whole = load_decoder("aligned")(planes, torch.zeros(1, 12, 16, 16))
    torch.testing.assert_close(own, whole)


def test_two_steps_change_the_weights_alike_for_the_same_seed(capsys):
    examples = list(labelled_pictures([], 4, seed=1))
    pictures, masks = (np.stack([e[k] for e in examples] * (HELD_OUT // 2)) for k in (0, 1))
    both = [
        train_refiner(
            pictures[: HELD_OUT + 4], masks[: HELD_OUT + 4], rate=1e-3, steps=1, batch=2, seed=3
        ).state_dict()
        for _ in range(2)
    ]
    start = starting_refiner().state_dict()
    for name, value in both[0].items():
        torch.testing.assert_close(value, both[1][name])
    assert any(not torch.equal(value, start[name]) for name, value in both[0].items())
    assert "J coarse" in capsys.readouterr().out
