"""Label sets as the readers of others see them."""

import gc
import io
import json
import tarfile
from collections import namedtuple

import numpy as np
import pytest
import torchvision
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from pipeline.errors import FullError, InputError
from stages.media.label_sets.clip_folder import PseudoLabelFolder
from stages.media.label_sets.registry import LAYOUTS
from stages.media.label_sets.set_layouts import plain_name
from stages.media.label_sets.write import find_labels, split_of, write_set
from stages.media.masks.palette import read_labels

# pycocotools 2.0.11 decodes into an array as NumPy 1 did
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (20, 30)
CLIPS = {"a": (1, 2, 3), "b": (0, 2), "cow": (4,), "deep/c d": (1, 5)}  # frames
CLASSES = (3, 7)
VAL = 0.5


def labels_of(clip, frame):
    """Return made labels: 7 is not in every frame, 255 is."""
    rng = np.random.default_rng([len(clip), frame])
    labels = np.zeros(SIZE, np.uint16)
    labels[4:12, 3 + frame : 15 + frame] = 3
    if frame % 2 == 0:
        labels[14:19, 20:28] = 7
    labels[rng.random(SIZE) < 0.1] = 255
    return labels


def picture_of(clip, frame):
    rng = np.random.default_rng([99, len(clip), frame])
    return rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def leave(root, clip, frames, *, suffix=".png", trusted=1, labels=labels_of):
    """Write what the sink and the engine leave of a clip; return its folder."""
    folder = root / clip
    folder.mkdir(parents=True)
    statistics = {str(k): {"pixels": 9, "trusted": trusted, "frames": 1} for k in (0, *CLASSES)}
    with PseudoLabelFolder(folder, suffix=suffix, quality=95) as files:
        for t in frames:
            name = f"{t:05d}"
            files.write(name, picture_of(clip, t), labels(clip, t), np.full(SIZE, t, np.uint8))
            files.write_soft(name, np.full((*SIZE, 2), t, np.uint8), np.array(CLASSES))
        samples = [
            {"name": f"{t:05d}", "frame": t, "time_s": t / 24, "trusted": trusted} for t in frames
        ]
        files.describe(
            {
                "clip": clip, "source": {"file": f"{clip}.mp4", "digest": "0"}, "size": SIZE,
                "classes": CLASSES, "settings": {}, "samples": samples,
                "statistics": statistics, "warnings": [] if trusted else ["no pixel is trusted"],
            }
        )  # fmt: skip
    (folder / ".pseudo_labels.json").write_text(
        json.dumps({"key": "k", "record": {"inputs": {"smooth.masks": "d"}}})
    )
    return folder


@pytest.fixture
def folders(tmp_path):
    return {clip: leave(tmp_path / "out", clip, frames) for clip, frames in CLIPS.items()}


def written(folders, target, layout, **how):
    options = {"val": VAL, "shard": 1000} | how
    return write_set(find_labels(folders), target, layout, **options)


def everything(split=None):
    """Return clip and frame of all samples, or of a split, in order."""
    return [
        (clip, t)
        for clip, frames in sorted(CLIPS.items())
        for t in frames
        if split in (None, split_of(clip, VAL))
    ]


def test_the_clips_of_these_tests_fall_into_both_splits():
    assert {split_of(clip, VAL) for clip in CLIPS} == {"train", "val"}


def test_torchvision_reads_voc_and_gives_back_the_same_pixels(folders, tmp_path):
    written(folders, tmp_path / "set", "voc")
    for split in ("train", "val"):
        read = torchvision.datasets.VOCSegmentation(tmp_path / "set", image_set=split)
        assert len(read) == len(everything(split))
        for (clip, t), (picture, labels) in zip(everything(split), read, strict=True):
            np.testing.assert_array_equal(np.asarray(labels), labels_of(clip, t))
            assert picture.size == SIZE[::-1]
    both = torchvision.datasets.VOCSegmentation(tmp_path / "set", image_set="trainval")
    assert len(both) == len(everything())
    assert both.images == sorted(both.images)


def test_torchvision_reads_cityscapes_and_gives_back_the_same_pixels(folders, tmp_path):
    written(folders, tmp_path / "set", "cityscapes")
    for split in ("train", "val"):
        read = torchvision.datasets.Cityscapes(
            str(tmp_path / "set"), split=split, mode="fine", target_type="semantic"
        )
        pairs = sorted(zip(read.images, range(len(read)), strict=True))
        assert len(pairs) == len(everything(split))
        wanted = sorted(
            everything(split),
            key=lambda frame_key: (plain_name(frame_key[0], also_allowed="-"), frame_key[1]),
        )
        for (clip, t), (_, k) in zip(wanted, pairs, strict=True):
            picture, labels = read[k]
            np.testing.assert_array_equal(np.asarray(labels), labels_of(clip, t))
            np.testing.assert_array_equal(np.asarray(picture), picture_of(clip, t))
    training = sorted((tmp_path / "set" / "gtFine").rglob("*labelTrainIds.png"))
    assert len(training) == len(everything())


def test_davis_lists_its_clips_and_holds_the_same_pixels(folders, tmp_path):
    written(folders, tmp_path / "set", "davis")
    for split in ("train", "val"):
        lists = (tmp_path / "set" / "ImageSets" / "2017" / f"{split}.txt").read_text().split()
        assert lists == list(dict.fromkeys(plain_name(clip) for clip, _ in everything(split)))
    for clip, t in everything():
        name = f"480p/{plain_name(clip)}/{t:05d}"
        actual = read_labels(tmp_path / "set" / "Annotations" / f"{name}.png")
        np.testing.assert_array_equal(actual, labels_of(clip, t))
        assert (tmp_path / "set" / "JPEGImages" / f"{name}.jpg").exists()


def test_pycocotools_reads_coco_and_gives_back_the_same_pixels(folders, tmp_path):
    written(folders, tmp_path / "set", "coco")
    tracks = {}
    for split in ("train", "val"):
        read = COCO(str(tmp_path / "set" / "annotations" / f"instances_{split}.json"))
        assert [c["id"] for c in read.loadCats(read.getCatIds())] == list(CLASSES)
        images = read.loadImgs(sorted(read.getImgIds()))
        assert [(image["clip"], image["frame"]) for image in images] == everything(split)
        for image in images:
            labels = np.zeros(SIZE, np.uint16)
            for annotation in read.loadAnns(read.getAnnIds(image["id"])):
                marks = read.annToMask(annotation).astype(bool)
                assert annotation["area"] == marks.sum()
                x, y, width, height = annotation["bbox"]
                rows, columns = np.nonzero(marks)
                assert (x, y) == (columns.min(), rows.min())
                assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
                labels[marks] = annotation["category_id"]
                tracks.setdefault((image["clip"], annotation["category_id"]), set()).add(
                    annotation["track_id"]
                )
            labels[coco_mask.decode(image["not_trusted"]).astype(bool)] = 255
            np.testing.assert_array_equal(labels, labels_of(image["clip"], image["frame"]))
            with Image.open(tmp_path / "set" / split / image["file_name"]) as picture:
                kept = np.asarray(picture)
            np.testing.assert_array_equal(kept, picture_of(image["clip"], image["frame"]))
    assert all(len(ids) == 1 for ids in tracks.values())
    assert len({next(iter(ids)) for ids in tracks.values()}) == len(tracks)


def test_youtube_vis_tracks_give_back_the_same_pixels(folders, tmp_path):
    written(folders, tmp_path / "set", "ytvis")
    for split in ("train", "val"):
        content = json.loads((tmp_path / "set" / split / "instances.json").read_text())
        clips = dict.fromkeys(clip for clip, _ in everything(split))
        assert [video["clip"] for video in content["videos"]] == list(clips)
        for video in content["videos"]:
            mine = [a for a in content["annotations"] if a["video_id"] == video["id"]]
            assert len({a["category_id"] for a in mine}) == len(mine)
            for k, t in enumerate(CLIPS[video["clip"]]):
                assert (tmp_path / "set" / split / "JPEGImages" / video["file_names"][k]).exists()
                labels = np.zeros(SIZE, np.uint16)
                for track in mine:
                    assert len(track["segmentations"]) == video["length"] == len(track["bboxes"])
                    if track["segmentations"][k] is not None:
                        marks = coco_mask.decode(track["segmentations"][k]).astype(bool)
                        labels[marks] = track["category_id"]
                labels[coco_mask.decode(video["not_trusted"][k]).astype(bool)] = 255
                np.testing.assert_array_equal(labels, labels_of(video["clip"], t))
    ids = [a["id"] for a in content["annotations"]]
    assert len(set(ids)) == len(ids)


# webdataset 1.0.2 leaves the last shard open until it is collected
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_reads_shards_and_gives_back_the_same_pixels(folders, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    written(folders, tmp_path / "set", "webdataset", shard=2)
    for split in ("train", "val"):
        shards = sorted(str(path) for path in (tmp_path / "set").glob(f"{split}-*.tar"))
        assert len(shards) == -(-len(everything(split)) // 2)
        read = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
        gc.collect()
        assert len(read) == len(everything(split))
        for (clip, t), sample in zip(everything(split), read, strict=True):
            record = json.loads(sample["json"])
            assert record == {"clip": clip, "frame": t, "time_s": t / 24}
            labels = np.asarray(Image.open(io.BytesIO(sample["seg.png"])))
            np.testing.assert_array_equal(labels, labels_of(clip, t))
            picture = np.asarray(Image.open(io.BytesIO(sample["png"])))
            np.testing.assert_array_equal(picture, picture_of(clip, t))
            soft = np.load(io.BytesIO(sample["soft.npz"]))
            assert (soft["soft"] == t).all()


def test_entries_of_a_shard_are_sorted_and_without_time_or_owner(tmp_path):
    folders = {"a": leave(tmp_path / "out", "a", (0, 1), suffix=".jpg")}
    written(folders, tmp_path / "set", "webdataset", val=0)
    with tarfile.open(tmp_path / "set" / "train-000000.tar") as shard:
        entries = shard.getmembers()
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in entries} == {(0, 0, 0, "", "")}
    assert [e.name for e in entries] == sorted(e.name for e in entries)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_results_give_the_same_bytes(folders, tmp_path, layout):
    for name in ("one", "two"):
        written(folders, tmp_path / name, layout)
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    )
    assert first == second


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_over_255_keep_their_values(tmp_path, layout):
    def large(clip, frame):
        labels = labels_of(clip, frame)
        return np.where(labels == 7, 1007, labels).astype(np.uint16)

    folders = {"a": leave(tmp_path / "out", "a", (0, 1), labels=large)}
    written(folders, tmp_path / "set", layout, val=0)
    if layout in ("coco", "ytvis"):
        path = next((tmp_path / "set").rglob("instances*train.json"), None)
        content = json.loads((path or tmp_path / "set/train/instances.json").read_text())
        assert [c["id"] for c in content["categories"]] == [3, 1007]
        return
    if layout == "webdataset":
        with tarfile.open(tmp_path / "set" / "train-000000.tar") as shard:
            shard.extract("a-00000.seg.png", tmp_path / "set", filter="data")
    results = [
        read_labels(path)
        for path in sorted((tmp_path / "set").rglob("*.png"))
        if not {"confidence", "leftImg8bit"} & set(path.parts)
    ]
    np.testing.assert_array_equal(results[0], large("a", 0))


def test_the_manifest_says_where_every_sample_is_from(folders, tmp_path):
    manifest = written(folders, tmp_path / "set", "voc")
    assert json.loads((tmp_path / "set" / "manifest.json").read_text()) == json.loads(
        json.dumps(manifest)
    )
    for clip, frames in CLIPS.items():
        entry = manifest["clips"][clip]
        assert [sample["frame"] for sample in entry["samples"]] == list(frames)
        assert entry["split"] == split_of(clip, VAL)
        assert entry["artifacts"] == {"key": "k", "inputs": {"smooth.masks": "d"}}
    train = sum(split_of(clip, VAL) == "train" for clip in CLIPS)
    assert manifest["classes"]["7"]["train"] == {"pixels": 9 * train, "trusted": train,
                                                 "frames": train}  # fmt: skip


def test_a_clip_keeps_its_split_whatever_other_clips_there_are():
    names = [f"clip {k}" for k in range(4000)]
    assert sum(split_of(name, 0.2) == "val" for name in names) == pytest.approx(800, abs=80)
    assert all(split_of(n, 0.5) == "val" for n in names if split_of(n, 0.2) == "val")
    assert {split_of(n, 0) for n in names} == {"train"}
    assert {split_of(n, 1) for n in names} == {"val"}


def test_a_clip_without_a_trusted_pixel_is_left_out_and_named(folders, tmp_path):
    folders["dim"] = leave(tmp_path / "out", "dim", (0,), trusted=0)
    folders["none"] = tmp_path / "out" / "none"
    manifest = written(folders, tmp_path / "set", "davis")
    assert manifest["left_out"]["dim"] == "no pixel is trusted"
    assert "pseudo_labels.enabled" in manifest["left_out"]["none"]
    assert set(manifest["clips"]) == set(CLIPS)
    assert not (tmp_path / "set" / "Annotations" / "480p" / "dim").exists()


def test_a_frame_without_a_trusted_pixel_is_left_out(folders, tmp_path):
    path = folders["b"] / "pseudo_labels" / "clip.json"
    text = json.loads(path.read_text())
    text["samples"][1]["trusted"] = 0
    path.write_text(json.dumps(text))
    written(folders, tmp_path / "set", "davis")
    actual = (tmp_path / "set" / "Annotations" / "480p" / "b").iterdir()
    assert [path.name for path in actual] == ["00000.png"]


def test_a_class_that_never_occurs_is_counted_as_0_and_warned_of(folders, tmp_path):
    gathered = find_labels(folders)
    for text in gathered.clips.values():
        text["statistics"]["9"] = {"pixels": 0, "trusted": 0, "frames": 0}
        text["statistics"]["11"] = {"pixels": 5, "trusted": 0, "frames": 0}
    manifest = write_set(gathered, tmp_path / "set", "voc", val=0, shard=9)
    assert manifest["classes"]["9"]["train"] == {"pixels": 0, "trusted": 0, "frames": 0}
    assert "class 9 never occurs in train" in manifest["warnings"]
    assert "class 11 is nowhere trusted in train" in manifest["warnings"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_set_is_not_there_and_the_next_one_is_whole(
    folders, tmp_path, layout, monkeypatch
):
    kept, calls = LAYOUTS[layout].add, []

    def dies(self, sample):
        calls.append(sample)
        if len(calls) == 4:
            raise KeyboardInterrupt
        kept(self, sample)

    monkeypatch.setattr(LAYOUTS[layout], "add", dies)
    with pytest.raises(KeyboardInterrupt):
        written(folders, tmp_path / "set", layout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    monkeypatch.undo()
    (tmp_path / ".draft-set").mkdir()  # as a killed process leaves it
    (tmp_path / ".draft-set" / "rest").touch()
    assert written(folders, tmp_path / "set", layout)["samples"] == {
        split: len(everything(split)) for split in ("train", "val")
    }
    assert not (tmp_path / "set" / "rest").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_disk_with_too_little_room_is_refused_before_anything_is_written(
    folders, tmp_path, layout, monkeypatch
):
    written(folders, tmp_path / "whole", layout)
    taken = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file())
    usage = namedtuple("usage", "free")(taken)
    monkeypatch.setattr("stages.media.label_sets.write.shutil.disk_usage", lambda _: usage)
    with pytest.raises(FullError, match="expected room for about"):
        written(folders, tmp_path / "deep" / "set", layout)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_missing_file_is_named(folders, tmp_path):
    (folders["b"] / "pseudo_labels" / "labels" / "00002.png").unlink()
    with pytest.raises(InputError, match=r"labels/00002\.png: expected a file"):
        written(folders, tmp_path / "set", "voc")
    assert not (tmp_path / "set").exists()


def test_a_damaged_record_is_named(folders):
    (folders["b"] / "pseudo_labels" / "clip.json").write_text('{"clip": "b"}')
    with pytest.raises(InputError, match=r"b/pseudo_labels: expected whole pseudo-labels"):
        find_labels(folders)


def test_clips_of_different_settings_are_warned_of(folders):
    path = folders["b"] / "pseudo_labels" / "clip.json"
    path.write_text(path.read_text().replace('"settings": {}', '"settings": {"sure": 0.5}'))
    assert "2 different settings" in " ".join(find_labels(folders).warnings)


def test_plain_names_are_plain_and_differ_where_names_do():
    names = ["a b", "a/b", "a-b", "a.b", "ä", "", "x" * 300, "x" * 301, "caf\udce9", "a_b"]
    plain = [plain_name(name) for name in names]
    assert len(set(plain)) == len(names)
    assert all(set(p) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for p in plain)
    assert plain[2] == "a-b"


def test_settings_for_a_class_that_no_clip_has_are_warned_of(folders):
    path = folders["b"] / "pseudo_labels" / "clip.json"
    text = json.loads(path.read_text())
    known = text["classes"][0]
    text["settings"] = {"sure_of": {"77": 0.5, str(known): 0.9}, "keep_of": {"0": 0.5, "78": 1.0}}
    path.write_text(json.dumps(text))
    warnings = [warning for warning in find_labels(folders).warnings if "no clip has" in warning]
    assert warnings == [
        "pseudo_labels.keep_of: no clip has a class 78",
        "pseudo_labels.sure_of: no clip has a class 77",
    ]
