"""The same masks score the same in whatever format they come."""

import json

import av
import cv2
import numpy as np
import pytest

from stages.media.masks.palette import read_labels
from steadymask.cli.main import main
from tests.support.scored_clips import write_clips


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Frames, true masks, masks that flicker."""
    return write_clips(tmp_path_factory.mktemp("set"), names=("a",), frames=5)


def masks(folder):
    return np.stack([read_labels(path) for path in sorted((folder / "a").iterdir())])


def as_array(folder, target):
    np.save(target / "a.npy", masks(folder).astype(np.int32))


def as_soft(folder, target):
    labels = masks(folder)
    soft = np.stack([labels == k for k in range(1, labels.max() + 1)], axis=1)
    np.save(target / "a.npy", soft.astype(np.float32) * 0.8)


def as_grey_soft(folder, target):
    (target / "a").mkdir()
    for t, labels in enumerate(masks(folder)):
        soft = cv2.GaussianBlur((labels > 0).astype(np.float32) * 255, (0, 0), 1.0)
        cv2.imwrite(str(target / "a" / f"{t:05d}.png"), soft.astype(np.uint8))


def as_video(folder, target):
    with av.open(str(target / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width = masks(folder).shape[1:]
        stream.pix_fmt = "gray"
        for labels in masks(folder):
            frame = av.VideoFrame.from_ndarray(labels.astype(np.uint8), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def scores(frames, *arguments, tmp_path):
    target = tmp_path / "scores.json"
    assert main(["evaluate", str(frames), *arguments, "--radius", "1", "--json", str(target)]) == 0
    content = json.loads(target.read_text())["mean"]
    return {
        system: {name: value[0] for name, value in content[system].items()} for system in content
    }


@pytest.mark.parametrize("write", [as_array, as_soft, as_video])
def test_masks_of_any_format_score_as_the_pictures_do(folders, tmp_path, write):
    frames, truth, torn = folders
    (tmp_path / "other").mkdir()
    write(torn, tmp_path / "other")
    arguments = [
        "--pred",
        f"png={torn}",
        "--pred",
        f"other={tmp_path / 'other'}",
        "--gt",
        str(truth),
    ]
    actual = scores(frames, *arguments, tmp_path=tmp_path)
    for name in ("J", "F", "J&F", "E_cons"):
        assert actual["other"][name] == actual["png"][name]
    assert actual["png"]["J&F"] == pytest.approx((actual["png"]["J"] + actual["png"]["F"]) / 2)


def test_grey_soft_masks_are_read_as_a_run_reads_them(folders, tmp_path):
    frames, truth, torn = folders
    (tmp_path / "other").mkdir()
    as_grey_soft(torn, tmp_path / "other")
    arguments = [
        *("--pred", f"png={torn}", "--pred", f"other={tmp_path / 'other'}"),
        *("--gt", str(truth), "--union"),
    ]
    actual = scores(frames, *arguments, tmp_path=tmp_path)
    assert actual["other"]["J"] == pytest.approx(actual["png"]["J"], abs=0.06)


def test_footage_may_be_a_video(folders, tmp_path):
    frames, truth, torn = folders
    (tmp_path / "footage").mkdir()
    pictures = [cv2.imread(str(path)) for path in sorted((frames / "a").iterdir())]
    with av.open(str(tmp_path / "footage" / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    arguments = ["--pred", f"png={torn}", "--gt", str(truth)]
    actual = scores(tmp_path / "footage", *arguments, tmp_path=tmp_path)
    again = scores(frames, *arguments, tmp_path=tmp_path)
    assert actual["png"]["J"] == again["png"]["J"]
    assert actual["png"]["E_cons"] == pytest.approx(again["png"]["E_cons"], rel=1e-6)


def test_what_cannot_be_read_is_named(folders, tmp_path, capsys):
    frames, _, torn = folders
    (tmp_path / "other").mkdir()
    assert main(["evaluate", str(frames), "--pred", f"other={tmp_path / 'other'}"]) == 2
    assert "expected masks of a, found none" in capsys.readouterr().err
    assert torn.is_dir()
