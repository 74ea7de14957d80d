import numpy as np
import pytest
import skimage.data
import torch

from pipeline.plan import steps_for
from pipeline.store.store import Store
from stages.catalogue import build_steps
from stages.media.masks.palette import read_labels, write_indexed_png
from stages.ops.warp import warp
from steadymask.cli.clip_pairing import pair_masks
from steadymask.cli.distill import TRAINED_ON, build_parser
from steadymask.cli.execution import prepare
from steadymask.training.labelled import LabelledClips, Origin
from steadymask.training.losses.consistency import warp_torch
from steadymask.training.stored_library import SampleFrame, StoredLibrary
from steadymask.training.triplets import PAIRS, Triplets, View, random_move
from tests.support.small_library import write_clip


def labelled(root, **origin):
    """Run the pipeline on the clips below `root`; return them with labels."""
    folders = [str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")]
    options = build_parser().parse_args([*folders, "--executor", "inline"])
    steps, engine = build_steps(
        {"segment": {"softness": 0.0}, "refine": {"method": "vote"}}, "test"
    )
    steps = steps_for(steps, TRAINED_ON)
    clips, *_ = pair_masks(options.footage, options.masks)
    store = Store(str(options.out / ".store"))
    clips = prepare("test", options, clips, steps, store, engine)
    return LabelledClips(StoredLibrary(clips, steps, store, engine.chunk), Origin(**origin))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    for name in ("a", "b"):
        write_clip(root, name, 8)
    for path in (root / "masks/b").iterdir():  # b knows one class only, the other of two
        labels = read_labels(path)
        write_indexed_png(path, np.where(labels == 3, 0, labels))
    return root


def test_classes_have_the_same_number_in_all_clips(library):
    clips = labelled(library, labels="raw")
    assert clips.class_ids == (3, 7)
    for clip, name in enumerate("ab"):
        sample = SampleFrame(clip, 4, (0, 8))
        file = read_labels(library / "masks" / name / "00004.png")
        wanted = np.select([file == 3, file == 7], [1, 2])
        np.testing.assert_array_equal(clips.labels(sample, 4), wanted)
        assert (wanted == 2).any()
    soft = clips.soft(SampleFrame(1, 4, (0, 8)), 4)
    assert soft.shape == (64, 96, 2)
    assert (soft[..., 0] == 0).all()
    assert soft[..., 1].max() > 0.9


def test_labels_are_ignored_just_where_they_are_unsure(library):
    sample = SampleFrame(0, 4, (0, 8))
    plain = labelled(library, labels="stabilised")
    strict = labelled(library, labels="stabilised", sure=0.8)
    kept = strict.labels(sample, 4)
    soft = plain.soft(sample, 4)
    best = np.maximum(soft.max(axis=-1), 1 - soft.sum(axis=-1))
    assert ((kept == 255) == (np.rint(best * 255) < 0.8 * 255)).all()
    assert 0 < (kept == 255).mean() < 0.5
    np.testing.assert_array_equal(kept[kept < 255], plain.labels(sample, 4)[kept < 255])


def test_the_same_number_gives_the_same_triplet_and_flow_leads_from_frame_to_frame(library):
    clips = labelled(library)
    places = [SampleFrame(0, t, (0, 8)) for t in range(7)]

    def triplets(numbers, varied=True):
        return Triplets(clips, places, numbers, side=48, reach=3, seed=5, varied=varied)

    first, again = triplets(range(6))[3], triplets(range(3, 5))[0]
    for name, values in first.items():
        torch.testing.assert_close(again[name], values)
    wrong, still = [], []
    for k in range(12):
        sample = triplets(range(12))[k]
        assert sample["labels"].shape == (3, 48, 48)
        torch.testing.assert_close(sample["soft"].sum(dim=1), torch.ones(3, 48, 48))
        for p, (i, j) in enumerate(PAIRS):
            warped, _ = warp_torch(sample["frames"][j : j + 1], sample["flow"][p : p + 1])
            visible = sample["seen"][p, 0]
            wrong.append((warped[0] - sample["frames"][i]).abs().mean(dim=0)[visible].mean())
            apart = (sample["frames"][j] - sample["frames"][i]).abs().mean(dim=0)
            still.append(apart[visible].mean())
    assert np.nanmean(wrong) < 0.5 * np.nanmean(still)


def test_at_a_shots_end_the_end_frame_stands_in(library):
    clips = labelled(library)
    sample = Triplets(
        clips, [SampleFrame(0, 0, (0, 8))], range(1), side=48, reach=3, seed=0, varied=False
    )[0]
    torch.testing.assert_close(sample["frames"][0], sample["frames"][1])
    assert (sample["flow"][:2] == 0).all()
    assert (sample["flow"][2:] != 0).any()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", [60, 120])
def test_a_view_shows_frames_and_flow_alike(mirrored, side):
    picture = skimage.data.astronaut()[80:240, 60:300]
    here, there = picture[:, 4:], picture[:, :-4]
    flow = np.zeros((2, *here.shape[:2]), np.float32)
    flow[0] = 4
    view = View((slice(20, 110), slice(40, 130)), side, mirrored, gain=1.1, shift=-0.05)
    warped = warp(np.moveaxis(view.frame(there), 0, -1), np.ascontiguousarray(view.flow(flow)))
    apart = np.abs(warped - np.moveaxis(view.frame(here), 0, -1))
    assert np.nanmean(apart) < 0.01
    assert np.abs(view.frame(there) - view.frame(here)).mean() > 0.04


def test_labels_and_masks_of_a_view_lie_alike():
    labels = np.zeros((40, 50), np.uint8)
    labels[10:30, 12:26] = 1
    view = View((slice(4, 36), slice(8, 40)), 64, mirrored=True)
    soft = view.soft((labels[..., None] == 1).astype(np.float32))
    agree = (soft[1] > 0.5) == (view.labels(labels) == 1)
    assert agree.mean() > 0.98
    assert view.labels(labels)[20, 50] == 1  # the left is on the right
    assert view.labels(labels)[20, 10] == 0


def test_a_random_move_is_affine_and_small():
    move = random_move(np.random.default_rng(2), 40)
    steps = np.diff(move, axis=2), np.diff(move, axis=1)
    assert all(step.std(axis=(1, 2)).max() < 1e-5 for step in steps)
    assert 0.1 < np.abs(move).max() < 40 * (0.05 + 0.5 * (0.1 + np.sin(np.radians(5)) * 1.2)) + 1
