import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.metrics.accuracy import jaccard
from stages.models.decoders.load import build_decoder, save_decoder
from stages.ops.fixed_point import pack_mask
from stages.ops.soft_masks import softened_masks
from stages.refine.stage import Refine
from tests.support.small_library import flicker, scene

FRAMES, SIZE = 12, (96, 144)


@pytest.fixture(scope="module")
def clip():
    """Pictures, true labels and flow of a short clip."""
    scenes = [scene(t, SIZE) for t in range(FRAMES)]
    frames, truth = (np.stack(part) for part in zip(*scenes, strict=True))
    window = Window(0, FRAMES, {}, {"ingest.frames": Span(0, frames)})
    return frames, truth, Flow().run(window)["flow"]


def window_of(clip, labels, start=0, stop=FRAMES):
    frames, _, flow = clip
    soft = np.stack([pack_mask(softened_masks(first, (3, 7), sigma=1.5)) for first in labels])
    spans = {"ingest.frames": frames, "segment.masks": soft, "flow.flow": flow}
    spans["segment.labels"] = np.stack(
        [np.searchsorted([0, 3, 7], first).astype(np.uint8) for first in labels]
    )
    return Window(start, stop, {}, {name: Span(0, array) for name, array in spans.items()})


def mean_jaccard(masks, truth):
    return np.mean(
        [jaccard(m[..., c] > 127, t == label)
         for m, t in zip(masks, truth, strict=True) for c, label in enumerate((3, 7))]
    )  # fmt: skip


def test_the_decoder_makes_flickering_masks_better(clip):
    rng = np.random.default_rng(0)
    window = window_of(clip, [flicker(labels, rng) for labels in clip[1]])
    before = mean_jaccard(window["segment.masks"].array, clip[1])
    assert mean_jaccard(Refine(method="aligned").run(window)["masks"], clip[1]) > before + 0.02


def test_the_decoder_leaves_true_masks_nearly_as_they_are(clip):
    window = window_of(clip, clip[1])
    out = Refine(method="aligned").run(window)
    before = mean_jaccard(window["segment.masks"].array, clip[1])
    assert mean_jaccard(out["masks"], clip[1]) > before - 0.03


def test_an_untrained_decoder_gives_what_voting_gives(clip, tmp_path):
    path = tmp_path / "untrained.safetensors"
    save_decoder(path, build_decoder("aligned"))
    rng = np.random.default_rng(0)
    window = window_of(clip, [flicker(labels, rng) for labels in clip[1]])
    voted = Refine(method="vote").run(window)
    decoded = Refine(method="aligned", weights=str(path)).run(window)
    np.testing.assert_array_equal(decoded["masks"], voted["masks"])
    assert not decoded["trust"].any()


def test_masks_that_move_against_the_picture_are_not_trusted(clip):
    rng = np.random.default_rng(1)
    window = window_of(clip, [np.roll(clip[1][0], rng.integers(-30, 30), 1) for _ in range(FRAMES)])
    assert Refine(method="aligned").run(window)["trust"].mean() < 5


@pytest.mark.parametrize("window", [1, 3, 5, 7])
def test_the_decoder_may_look_at_fewer_frames(clip, window):
    out = Refine(method="aligned", window=window).run(window_of(clip, clip[1], 4, 6))
    assert out["masks"].shape == (2, *SIZE, 2)


def test_the_papers_decoder_runs_and_refuses_another_number_of_classes(clip, tmp_path):
    for classes in (3, 5):
        path = tmp_path / f"{classes}.safetensors"
        decoder = build_decoder("deeplab", window=3, classes=classes, encoder_weights="random")
        save_decoder(path, decoder)
    refine = Refine(method="deeplab", weights=str(tmp_path / "3.safetensors"))
    assert {needed.array: needed.reach for needed in refine.inputs({})} == {
        "masks": 2,
        "frames": 2,
        "labels": 0,
    }
    window = window_of(clip, clip[1], 5, 6)
    out = refine.run(window)["masks"]
    np.testing.assert_array_equal(out[0], window["segment.masks"][5])
    wrong = Refine(method="deeplab", weights=str(tmp_path / "5.safetensors"))
    with pytest.raises(InputError, match="expected 5 classes, background included"):
        wrong.run(window)


def test_the_place_of_the_weights_and_the_device_are_not_in_the_key():
    near, far = Refine(method="aligned"), Refine(method="aligned", device="cuda")
    outside = set(Refine.outside_key)
    assert near.model_dump(exclude=outside) == far.model_dump(exclude=outside)
    assert near.weights_digest != ""


def test_true_masks_that_are_sure_and_steady_come_out_as_they_went_in(clip):
    window = window_of(clip, clip[1])
    actual = Refine(method="aligned").run(window)
    kept = actual["trust"] > 250
    assert kept.mean() > 0.3
    masks = np.moveaxis(actual["masks"], -1, 1)[kept]
    masks_in = np.moveaxis(window["segment.masks"].array, -1, 1)[kept]
    assert np.abs(masks.astype(int) - masks_in).max() <= 5
    jaccards = [
        jaccard(actual["masks"][t, ..., c] > 127, clip[1][t] == label)
        for t in range(FRAMES)
        for c, label in enumerate((3, 7))
    ]
    assert np.mean(jaccards) > 0.97
