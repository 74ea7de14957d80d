"""Masks of a part, read by themselves, are those of the whole."""

import json

import numpy as np
import pytest

from stages.media.footage import timeline
from tests.stages.media.masks.test_video_masks import video
from tests.support.mask_samples import SIZE, folder_of, grey, opened, rle

FRAMES = 11
LENGTH = 3  # of a part


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(timeline, "PART", LENGTH)


def labels():
    """Return FRAMES label maps, no two alike; 60 occurs in the last alone."""
    out = np.zeros((FRAMES, *SIZE), np.uint8)
    for t in range(FRAMES):
        out[t, 2:6, t : t + 4] = 7
        out[t, 8:10, : t + 1] = 3
    out[-1, 0, 0] = 60
    return out


def folder(tmp_path):
    return folder_of(tmp_path, labels(), grey)


def folder_with_gaps(tmp_path):
    path = folder_of(tmp_path, labels(), grey)
    for t in (0, 3, 6, 7):
        (path / f"{t:05d}.png").unlink()
    return path


def array(tmp_path):
    np.save(tmp_path / "clip.npy", labels())
    return tmp_path / "clip.npy"


def packed(tmp_path):
    np.savez_compressed(tmp_path / "clip.npz", labels())
    return tmp_path / "clip.npz"


def soft(tmp_path):
    values = labels()[:, None] == np.array([0, 3, 7, 60])[:, None, None]
    np.save(tmp_path / "clip.npy", values.astype(np.float32))
    return tmp_path / "clip.npy"


def lossless(tmp_path):
    return video(tmp_path / "clip.mkv", labels(), g="1")


def lossy(tmp_path):
    clip = ((labels() > 0) * np.uint8(255)).repeat(8, axis=1).repeat(8, axis=2)
    return video(tmp_path / "clip.mp4", clip, "libx264", "yuv420p", g="4", bf="0", crf="5")


def coco(tmp_path):
    height, width = SIZE
    content = {
        "images": [
            {"id": t, "file_name": f"{t:05d}.png", "height": height, "width": width}
            for t in range(FRAMES)
        ],
        "annotations": [
            {"image_id": t, "category_id": label, "segmentation": rle(frame == label)}
            for t, frame in enumerate(labels())
            for label in (3, 7, 60)
        ],
    }
    (tmp_path / "clip.json").write_text(json.dumps(content))
    return tmp_path / "clip.json"


@pytest.mark.parametrize(
    ("make", "parts", "how"),
    [
        (folder, 3, {}),
        (folder_with_gaps, 3, {"missing": "hold", "first": 0}),
        (folder_with_gaps, 3, {"missing": "empty", "first": 0}),
        (array, 3, {}),
        (packed, 1, {}),
        (soft, 3, {}),
        (lossless, 3, {}),
        (lossy, 3, {"size": (SIZE[0] * 8, SIZE[1] * 8)}),
        (coco, 1, {}),
    ],
)
def test_parts_join_to_the_whole(tmp_path, make, parts, how):
    how = {"frames": FRAMES, **how}
    path = make(tmp_path)
    whole = opened(path, **how)
    known = json.loads(json.dumps(whole.known))
    assert len(known["parts"]) == parts
    read = [
        frame
        for start, stop in known["parts"]
        for frame in opened(path, known=known, **how).read(start, stop)
    ]
    np.testing.assert_array_equal(np.stack(read), np.stack(list(whole)))


def test_what_is_known_is_not_looked_for_again(tmp_path):
    path = folder(tmp_path)
    known = opened(path, frames=FRAMES).known
    for t in range(FRAMES - LENGTH, FRAMES):
        (path / f"{t:05d}.png").write_bytes(b"not a picture")
    start, stop = known["parts"][0]
    read = np.stack(list(opened(path, frames=FRAMES, known=known).read(start, stop)))
    np.testing.assert_array_equal(read, labels()[start:stop])
