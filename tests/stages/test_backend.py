"""Voting, filtering and the check of flow in torch against the compiled ones, on real frames."""

import cv2
import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, InputError, LostError, ShapeError
from pipeline.stage import Span, Window
from stages import visibility
from stages.backend import HOST, TorchArithmetic, arithmetic_on
from stages.flow import Flow
from stages.media.masks.palette import read_labels
from stages.ops import torch_guided, torch_visibility, torch_voting
from stages.ops.fixed_point import pack_mask
from stages.ops.guided import fit_coefficients
from stages.ops.soft_masks import softened_masks
from stages.ops.voting import appearance_table
from stages.refine import method as refine
from stages.refine.stage import Refine
from stages.smooth import stage as smooth
from stages.smooth.stage import Smooth
from stages.visibility import Visibility

FRAMES = 9
CLASSES = (1, 2)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    ),
]


@pytest.fixture(scope="module")
def clip(data):
    """Frames of a sequence with two objects, a network's masks of them, and flow."""
    folder = data / "sequences" / "bmx-trees"
    size = (214, 120)
    frames, masks = [], []
    for path in sorted((folder / "JPEGImages").iterdir())[:FRAMES]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        frames.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        labels = read_labels(folder / "Predictions_osvos" / f"{path.stem}.png").astype(np.uint8)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        masks.append(pack_mask(softened_masks(labels, CLASSES, sigma=1.5)))
    assert any(mask[..., k].max() > 200 for mask in masks for k in range(2))
    window = Window(0, FRAMES, {}, {"ingest.frames": Span(0, np.stack(frames))})
    return np.stack(frames), np.stack(masks), Flow().run(window)["flow"]


@pytest.fixture(params=DEVICES)
def on(request):
    return TorchArithmetic(request.param)


@pytest.mark.parametrize("size", [1, 5, 8, 61])
@pytest.mark.parametrize("start", [0, 5])
def test_the_filter_gives_the_same_mask(clip, on, size, start):
    frames, masks, _ = clip
    weight = np.random.default_rng(1).random((4, *frames.shape[1:3]), np.float32)
    weight[:, :40, :60] = 0  # some boxes hold nothing
    part = slice(start, start + 4)
    results = []
    for arithmetic in (HOST, on):
        fits = [
            arithmetic.fitted(frames[part], masks[part], weight, size=size, eps=eps)
            for eps in (1e-4, 1e-2)
        ]
        results.append(arithmetic.get(arithmetic.applied(fits, frames[start])))
    assert np.ptp(results[0]) > 0.1
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)


def test_the_coefficients_of_a_box_without_trust_are_zero(clip, on):
    frames, masks, _ = clip
    nothing = np.zeros((2, *frames.shape[1:3]), np.float32)
    assert not on.get(on.fitted(frames[:2], masks[:2], nothing, size=8, eps=1e-4)).any()


@pytest.mark.parametrize("far", [0.0, 300.0])
def test_a_vote_gives_the_same_mask(clip, on, far):
    frames, masks, flow = clip
    results = []
    for arithmetic in (HOST, on):
        placed = [arithmetic.put(masks[t].astype(np.float32) / 255) for t in (3, 2, 4)]
        flows = [arithmetic.flow(flow[3][2]) + far, arithmetic.flow(flow[3][3]) - far]
        results.append(
            arithmetic.get(
                arithmetic.vote(
                    placed,
                    [arithmetic.put(frames[t]) for t in (3, 2, 4)],
                    flows,
                    table=arithmetic.put(appearance_table(12.0)),
                    flat=[arithmetic.flat_tiles(mask) for mask in placed],
                )
            )
        )
    assert (np.abs(results[0] - masks[3] / 255).max() > 0.05) == (far < 300)
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)


def test_a_neighbour_has_no_vote_on_what_lies_outside_its_picture(on):
    rng = np.random.default_rng(7)
    masks = list(rng.random((4, 20, 24, 2), np.float32) / 2)
    images = list(rng.integers(100, 110, (4, 20, 24, 3), np.uint8))
    flows = list(rng.normal(0, 6, (3, 2, 20, 24)).astype(np.float32))
    expected = HOST.vote(masks, images, flows, table=appearance_table(12.0), flat=None)
    placed = [[on.put(part) for part in parts] for parts in (masks, images, flows)]
    table = on.put(appearance_table(12.0))
    np.testing.assert_allclose(on.get(on.vote(*placed, table=table, flat=[])), expected, atol=1e-4)


def test_what_is_carried_is_the_same(clip, on):
    frames, masks, flow = clip
    weight = np.random.default_rng(2).random(frames.shape[1:3], np.float32)
    parts = [frames[2] / np.float32(255), frames[3] / np.float32(255), masks[3] / np.float32(255)]
    results = []
    for arithmetic in (HOST, on):
        along = arithmetic.flow(flow[2][3], frames.shape[1:3])
        placed = [arithmetic.put(part) for part in (*parts, weight)]
        table = arithmetic.put(appearance_table(12.0))
        actual = arithmetic.carried(*placed, along, table=table)
        results.append([arithmetic.get(part) for part in (along, *actual)])
    for ours, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_marks_of_what_is_seen_are_the_same(clip, on):
    there, back = clip[2][4][3], clip[2][5][2]
    results = [
        arithmetic.get(
            arithmetic.visible(arithmetic.flow(there), arithmetic.flow(back), slack=0.01, floor=0.5)
        )
        for arithmetic in (HOST, on)
    ]
    assert 0.01 < results[0].mean() < 0.99
    np.testing.assert_array_equal(results[1], results[0])


def window_of(clip, start=0, stop=FRAMES, **more):
    frames, masks, flow = clip
    labels = masks.argmax(axis=-1).astype(np.uint8)
    trust = np.zeros((FRAMES, 2), np.uint8)
    spans = {
        "ingest.frames": frames, "segment.masks": masks, "segment.labels": labels,
        "flow.flow": flow, "refine.masks": masks, "refine.labels": labels, "refine.trust": trust,
    }  # fmt: skip
    facts = {"size": frames.shape[1:3]}
    return Window(start, stop, facts, {name: Span(0, array) for name, array in spans.items()})


STAGES = [
    (refine, Refine(method="vote")),
    (smooth, Smooth()),
    (smooth, Smooth(method="compensated")),
    (smooth, Smooth(method="none", votes=1)),
    (visibility, Visibility()),
]


@pytest.mark.parametrize(("module", "stage"), STAGES)
def test_a_stage_gives_the_same_and_chunks_do_not_show(clip, on, module, stage, monkeypatch):
    expected = stage.run(window_of(clip))
    monkeypatch.setattr(module, "arithmetic_on", lambda device, *, setting: on)
    whole = stage.run(window_of(clip))
    for name, values in expected.items():
        assert whole[name].dtype == values.dtype
        differ = np.abs(whole[name].astype(int) - values.astype(int))
        if name == "masks":  # in 255ths: one step, where a last bit decides how it is rounded
            assert differ.max() <= 1
        assert (differ > 0).mean() < 1e-3
    part = stage.run(window_of(clip, 3, 5))
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][3:5])


@pytest.mark.parametrize("stage", [Refine, Smooth, Visibility])
def test_the_device_is_not_in_the_key(stage):
    assert "device" in stage.outside_key


def test_a_device_that_is_not_there_is_a_setting_that_is_wrong():
    with pytest.raises(ConfigError, match=r"smooth\.device = 'gpu7': expected a device"):
        arithmetic_on("gpu7", setting="smooth.device")


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), InputError, r"smooth: .*smooth\.device=cpu"),
        (torch.AcceleratorError("CUDA error: ECC"), LostError, "smooth: the GPU failed or is gone"),
    ],
)
def test_what_fails_on_the_device_is_said(raised, error, text):
    with pytest.raises(error, match=text), TorchArithmetic("cpu").running("smooth"):
        raise raised


def test_shapes_that_do_not_fit_are_refused():
    flow, mask = torch.zeros((2, 4, 6)), torch.zeros((4, 6, 1))
    with pytest.raises(ShapeError, match="backward"):
        torch_visibility.visible(flow, torch.zeros((2, 4, 5)))
    images = [torch.zeros((4, 6, 3)), torch.zeros((4, 5, 3))]
    with pytest.raises(ShapeError, match="neighbour_image"):
        torch_voting.vote([mask, mask], images, [flow], table=torch.ones(3))
    stacks = torch.zeros((1, 4, 6, 3)), mask[None], torch.zeros((1, 4, 5))
    with pytest.raises(ShapeError, match="weight"):
        torch_guided.fit_coefficients(*stacks, size=3, eps=1e-4)


def test_one_box_over_everything_is_the_same_fit(clip):
    """The sums are float64 in both: coefficients agree too, not only what they make."""
    frames, masks, _ = clip
    ones = np.ones((1, *frames.shape[1:3]), np.float32)
    host = fit_coefficients(frames[:1], masks[:1], ones, size=429, eps=1e-4).dense()
    stacks = [torch.from_numpy(part) for part in (frames[:1], masks[:1], ones)]
    ours = torch_guided.fit_coefficients(*stacks, size=429, eps=1e-4)
    np.testing.assert_allclose(ours.numpy(), host, atol=1e-5)
