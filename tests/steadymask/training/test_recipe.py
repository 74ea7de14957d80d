import numpy as np
import pytest
import torch

from stages.models.decoders.load import load_decoder
from steadymask.training.augment import augmented_batch
from steadymask.training.recipe import batch_loaders, mask_loss, train, write_examples


def batch(count=4, size=32):
    rng = np.random.default_rng(0)
    truth = (rng.random((count, 1, size, size)) > 0.5).astype(np.float32)
    planes = np.concatenate([rng.random((count, 3, size, size)), truth, truth, truth], 1)
    near = np.repeat(truth[:, :, ::2, ::2], 12, 1)
    near[:, 1::2] = 1
    batch_values = {"planes": planes, "near": near, "truth": truth}
    return {
        name: torch.from_numpy(values.astype(np.float32)) for name, values in batch_values.items()
    }


@pytest.mark.parametrize("seed", range(8))
def test_augmenting_keeps_masks_and_truth_together(seed):
    out = augmented_batch(batch(), torch.Generator().manual_seed(seed))
    torch.testing.assert_close(out["planes"][:, 3:4], out["truth"])
    torch.testing.assert_close(out["planes"][:, 4:5], out["truth"])
    kept = out["near"][:, 1::2].flatten(2).any(-1)
    assert kept.any()
    assert out["planes"].min() >= 0
    assert out["planes"].max() <= 1


def test_augmenting_leaves_the_batch_it_was_given_alone():
    batch_in, before = batch(), batch()
    augmented_batch(batch_in, torch.Generator().manual_seed(0))
    for name, values in batch_in.items():
        torch.testing.assert_close(values, before[name])


def test_the_loss_is_least_at_the_truth():
    truth = batch()["truth"]
    at_truth = mask_loss(20 * (truth - 0.5), truth)
    assert at_truth < 1e-3
    for worse in (torch.zeros_like(truth), 20 * (0.5 - truth)):
        assert mask_loss(worse, truth) > at_truth


def test_an_error_at_the_outline_costs_more_than_one_far_from_it():
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., :20] = 1
    near, far = 8 * (truth - 0.5), 8 * (truth - 0.5)
    near[..., 30, 21:24] = 4
    far[..., 30, 51:54] = 4
    assert mask_loss(near, truth) > mask_loss(far, truth)


@pytest.mark.slow
def test_the_recipe_makes_a_decoder_that_loads_and_changes_something(tmp_path, monkeypatch):
    monkeypatch.setattr("steadymask.training.recipe.SHARD", 6)
    monkeypatch.setattr("steadymask.training.recipe.HELD_OUT", 2)
    write_examples([], 6, tmp_path / "work", seed=1)
    path = tmp_path / "d.safetensors"
    train(tmp_path / "work", path, rate=1e-3, steps=3, batch=2, seed=1)
    decoder = load_decoder("aligned", str(path))
    _, held_out = batch_loaders(tmp_path / "work", 2, 1)
    batch_in = next(iter(held_out))
    with torch.inference_mode():
        assert decoder(batch_in["planes"], batch_in["near"]).abs().max() > 0
