import numpy as np
import pytest
from PIL import Image

from stages.media.masks.palette import read_labels, write_indexed_png
from steadymask.cli.main import main


def write_masks(root, names=("a", "deep/b"), frames=4):
    for name in names:
        (root / name).mkdir(parents=True)
        for t in range(frames):
            labels = np.zeros((60, 80), np.uint8)
            labels[10:30, 10 + t : 40 + t] = 1
            labels[35:55, 30:60] = 4
            labels[:3] = 255
            write_indexed_png(root / name / f"{t:05d}.png", labels)
    return root


def corrupt(*arguments):
    return main(["corrupt", *map(str, arguments)])


def read(folder):
    return {p.relative_to(folder): read_labels(p) for p in sorted(folder.rglob("*.png"))}


def test_every_mask_is_disturbed_and_keeps_its_name_its_labels_and_what_is_ignored(tmp_path):
    truth = write_masks(tmp_path / "truth")
    assert corrupt(truth, "--to", tmp_path / "out", "--growth", 3) == 0
    before, after = read(truth), read(tmp_path / "out")
    assert before.keys() == after.keys()
    for path, labels in after.items():
        assert set(np.unique(labels)) <= {0, 1, 4, 255}
        np.testing.assert_array_equal(labels == 255, before[path] == 255)
        same = (labels == before[path]).mean()
        assert 0.6 < same < 0.999
    with Image.open(tmp_path / "out" / "a" / "00000.png") as picture:
        assert picture.mode == "P"


def test_the_same_seed_gives_the_same_masks_whatever_else_is_there(tmp_path):
    truth, alone = write_masks(tmp_path / "t"), write_masks(tmp_path / "s", ("a", "z"))
    for source, name, seed in ((truth, "1", 5), (alone, "2", 5), (truth, "3", 6)):
        corrupt(source, "--to", tmp_path / name, "--seed", seed)
    first, second, other = (read(tmp_path / name / "a") for name in "123")
    for path in first:
        np.testing.assert_array_equal(first[path], second[path])
    assert any((first[path] != other[path]).any() for path in first)


def test_nothing_asked_for_changes_nothing(tmp_path):
    truth = write_masks(tmp_path / "t", ("a",))
    corrupt(truth, "--to", tmp_path / "o", "--growth", 0, "--displacement", 0, "--blobs", 0)
    before = read(truth / "a")
    for path, labels in read(tmp_path / "o" / "a").items():
        np.testing.assert_array_equal(labels, before[path])


def test_erosion_takes_off_the_same_side_of_all_frames(tmp_path):
    truth = write_masks(tmp_path / "t", ("a",))
    quiet = ["--growth", 0, "--displacement", 0, "--blobs", 0]
    corrupt(truth, "--to", tmp_path / "o", *quiet, "--erosion", 4)
    before, after = read(truth / "a"), read(tmp_path / "o" / "a")
    gone = [(before[path] == 4) & (after[path] != 4) for path in before]
    assert gone[0].any()
    for path, lost in zip(before, gone, strict=True):
        np.testing.assert_array_equal(lost, gone[0])
        assert not (after[path] > 0)[before[path] == 0].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: expected a folder"),
        (["empty"], "empty: expected label files"),
        (["t", "--growth", "-1"], "expected 0 or more"),
        (["t", "--blobs", "2"], "expected 0 or more"),
    ],
)
def test_what_cannot_start_says_why(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_masks(tmp_path / "t", ("a",))
    (tmp_path / "empty").mkdir()
    assert corrupt(*arguments, "--to", "o") == 2
    assert message in capsys.readouterr().err


def test_nothing_is_overwritten_and_coloured_masks_are_refused(tmp_path, capsys):
    truth = write_masks(tmp_path / "t", ("a",))
    assert corrupt(truth, "--to", truth) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(truth / "a" / "00000.png")
    assert corrupt(truth, "--to", tmp_path / "o") == 1
    assert "expected an indexed or grey picture, got colours" in capsys.readouterr().err
