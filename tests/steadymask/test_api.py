"""``import steadymask``: the same masks as the command, for arrays, tensors and iterators."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

import steadymask
from pipeline.errors import ConfigError, InputError, ShapeError
from pipeline.events import ClipFinished
from stages.media.masks.palette import read_labels

T, H, W = 7, 36, 52
SETTINGS = {"flow": {"radius": 1}, "engine": {"chunk": 3}}
SMALL = SETTINGS | {
    "ingest": {"short_side": 20},
    "refine": {"method": "vote"},
}  # the source is larger than the working size


@pytest.fixture(scope="module")
def clip():
    """Return frames with a moving square, and labels that flicker."""
    rng = np.random.default_rng(3)
    frames = np.full((T, H, W, 3), 60, np.uint8) + rng.integers(0, 9, (T, H, W, 3), np.uint8)
    labels = np.zeros((T, H, W), np.uint8)
    for t in range(T):
        frames[t, 8:24, 6 + 2 * t : 22 + 2 * t] = (200, 90, 40)
        labels[t, 8:24, 6 + 2 * t : 22 + 2 * t] = 3
        labels[t, 20:30, 40:48] = 9
    labels[3, 8:16] = 0
    return frames, labels


def command_masks(tmp_path, frames, masks, settings):
    """Return what the command writes of the same clip, given as files."""
    for name in ("footage", "masks"):
        (tmp_path / name / "a").mkdir(parents=True)
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        cv2.imwrite(str(tmp_path / "footage" / "a" / f"{t:05d}.png"), frame[..., ::-1])
        np.save(tmp_path / "masks" / "a" / f"{t:05d}.npy", mask)
    record = steadymask.run(
        tmp_path / "footage", tmp_path / "masks", tmp_path / "out", settings=settings, workers=2
    )
    assert record.failures == {}
    files = sorted((tmp_path / "out" / "a" / "masks").glob("*.png"))
    return np.stack([read_labels(file) for file in files])


@pytest.mark.parametrize("settings", [SETTINGS, SMALL], ids=["working size", "larger source"])
def test_labels_in_give_the_masks_of_the_command(tmp_path, clip, settings):
    frames, labels = clip
    wanted = command_masks(tmp_path, frames, labels.astype(np.uint16), settings)
    stable = steadymask.stabilize(frames, labels, settings=settings, workers=2)
    np.testing.assert_array_equal(stable.labels, wanted)
    assert stable.class_ids == (3, 9)
    assert stable.soft.shape == (T, H, W, 2)
    assert not np.array_equal(stable.labels, labels)  # the hole in frame 3 is filled
    assert set(stable.scores["input"]) == set(stable.scores["output"])


@pytest.mark.parametrize("settings", [SETTINGS, SMALL], ids=["working size", "larger source"])
def test_soft_masks_in_give_the_masks_of_the_command(tmp_path, clip, settings):
    frames, labels = clip
    soft = np.stack([labels == 3, labels == 9], axis=-1).astype(np.float32) * np.float32(0.75)
    wanted = command_masks(tmp_path, frames, np.moveaxis(soft, -1, 1), settings)
    stable = steadymask.stabilize(frames, soft, settings=settings, workers=2)
    np.testing.assert_array_equal(stable.labels, wanted)
    assert stable.soft.dtype == np.float32
    assert stable.soft.max() <= 1


def test_iterators_and_tensors_give_what_arrays_give(clip):
    import torch

    frames, labels = clip
    stable = steadymask.stabilize(frames, labels, settings=SETTINGS, workers=1)
    lazy = steadymask.stabilize(iter(frames), (mask for mask in labels), settings=SETTINGS)
    assert [frame.labels.tolist() for frame in lazy] == stable.labels.tolist()
    tensors = steadymask.stabilize(
        torch.from_numpy(frames), torch.from_numpy(labels.astype(np.int64)), settings=SETTINGS
    )
    assert isinstance(tensors.labels, torch.Tensor)
    np.testing.assert_array_equal(tensors.labels.numpy(), stable.labels)
    np.testing.assert_array_equal(tensors.soft.numpy(), stable.soft)


def test_the_temporary_folder_goes_with_the_masks(clip):
    frames, labels = clip
    stable = steadymask.stabilize(frames[:3], labels[:3], settings=SETTINGS)
    folder = stable._files[0].parents[2]
    assert folder.exists()
    assert {path.name for path in folder.iterdir()} == {"clip"}
    del stable
    assert not folder.exists()


def test_progress_is_told_and_a_failing_clip_raises(clip):
    frames, labels = clip
    events = []
    steadymask.stabilize(frames[:3], labels[:3], settings=SETTINGS, progress=events.append)
    assert isinstance(events[-1], ClipFinished)
    with pytest.raises(InputError, match="classes"):
        steadymask.stabilize(np.zeros((1, 64, 64, 3), np.uint8), np.arange(4096).reshape(1, 64, 64))


@pytest.mark.parametrize(
    ("frames", "masks", "message"),
    [
        (np.zeros((2, 8, 9)), np.zeros((2, 8, 9), int), "frame 0: expected uint8"),
        (np.zeros((2, 8, 9, 3), np.uint8), np.zeros((1, 8, 9), int), "no mask for frame 1"),
        (np.zeros((1, 8, 9, 3), np.uint8), np.zeros((2, 8, 9), int), "no frame for mask 1"),
        (np.zeros((1, 8, 9, 3), np.uint8), np.zeros((1, 9, 8), int), r"mask 0: .* \(8, 9\)"),
        (np.zeros((1, 8, 9, 3), np.uint8), np.full((1, 8, 9), 2.0), r"values in \[0, 1\], got 2"),
        (np.zeros((1, 8, 9, 3), np.uint8), np.full((1, 8, 9), -1), "labels of 0 to 65535, got -1"),
        (np.zeros((0, 8, 9, 3), np.uint8), np.zeros((0, 8, 9), int), "at least one frame"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(frames, masks, message):
    with pytest.raises(ShapeError, match=message):
        steadymask.stabilize(frames, masks)


def test_a_wrong_setting_is_refused(clip):
    with pytest.raises(ConfigError, match=r"flow\.raduis.*did you mean 'radius'"):
        steadymask.stabilize(*clip, settings={"flow": {"raduis": 2}})
    with pytest.raises(ConfigError, match="neither"):
        steadymask.stabilize(clip[0], None)


def test_a_run_is_continued_and_its_record_loads_and_saves(tmp_path, clip):
    frames, labels = clip
    command_masks(tmp_path, frames, labels.astype(np.uint16), SETTINGS)
    again = steadymask.run(
        tmp_path / "footage", tmp_path / "masks", tmp_path / "out", settings=SETTINGS, workers=1
    )
    assert again.finished == ("a",)
    assert sum(stage.computed for stage in again.clips["a"].stages.values()) == 0
    assert again.settings["flow"]["radius"] == 1
    before = json.loads((tmp_path / "out" / "run.json").read_text())
    again.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == before


def test_what_is_no_record_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"run\.json: expected the record of a run, found none"):
        steadymask.RunRecord.load(tmp_path)
    (tmp_path / "run.json").write_text('{"settings": 3, "clips": {}}')
    with pytest.raises(ConfigError, match=r"run\.json: not the record of a run: settings"):
        steadymask.RunRecord.load(tmp_path)
    assert steadymask.RunRecord.load_if_any(tmp_path) is None
    (tmp_path / "run.json").write_text('{"other": 3}')
    with pytest.raises(ConfigError, match="expected settings or clips, got neither"):
        steadymask.RunRecord.load(tmp_path)


def test_systems_are_scored(tmp_path, clip):
    frames, labels = clip
    stable = command_masks(tmp_path, frames, labels.astype(np.uint16), SETTINGS)
    assert stable.shape == labels.shape
    (tmp_path / "truth" / "a").mkdir(parents=True)
    for t, mask in enumerate(labels):
        cv2.imwrite(str(tmp_path / "truth" / "a" / f"{t:05d}.png"), mask)
    scores = steadymask.evaluate(
        tmp_path / "footage", {"ours": tmp_path / "out"}, truth=tmp_path / "truth", flow="dis"
    )
    assert scores.failures == ()
    assert 0.5 < scores.summary.means["ours"]["J"].value <= 1


def test_scores_follow_the_protocol(tmp_path, clip):
    frames, labels = clip
    torn = labels.copy()
    torn[0] = 0
    kinds = {"footage": frames[..., ::-1], "truth": labels, "torn": torn}
    for kind, pictures in kinds.items():
        (tmp_path / kind / "a").mkdir(parents=True)
        for t, picture in enumerate(pictures):
            cv2.imwrite(str(tmp_path / kind / "a" / f"{t:05d}.png"), picture)
    asked = {"flow": "dis", "radius": 1, "workers": 1}
    roots = tmp_path / "footage", {"x": tmp_path / "torn"}
    every = steadymask.evaluate(*roots, truth=tmp_path / "truth", **asked)
    inner = steadymask.evaluate(*roots, truth=tmp_path / "truth", protocol="davis2017", **asked)
    assert (every.protocol, inner.protocol) == ("all", "davis2017")
    assert every.summary.means["x"]["J"].value < 1  # the first frame has no mask
    assert inner.summary.means["x"]["J"].value == 1  # the first frame does not count
    tracks = steadymask.evaluate(*roots, truth=tmp_path / "truth", task="tracks", **asked)
    assert 0 < tracks.summary.means["x"]["HOTA"].value < 1
    with pytest.raises(ConfigError, match="davis2017: expected --gt"):
        steadymask.evaluate(*roots, protocol="davis2017", **asked)
    with pytest.raises(ConfigError, match="vspw: scores classes"):
        steadymask.evaluate(
            *roots, truth=tmp_path / "truth", task="objects", protocol="vspw", **asked
        )


def test_the_import_is_quick_and_offers_what_it_lists():
    code = (
        "import sys, steadymask; "
        "assert not {'torch', 'cv2', 'numpy', 'pydantic'} & set(sys.modules); "
        "assert set(steadymask.__all__) <= set(dir(steadymask)); "
        "[getattr(steadymask, name) for name in steadymask.__all__]; "
        "assert not {'torch', 'ray', 'ptlflow'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    with pytest.raises(AttributeError, match="stabilise"):
        _ = steadymask.stabilise
