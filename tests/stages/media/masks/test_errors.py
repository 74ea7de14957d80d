"""Masks that are not what they should be: refused, with the file's name and the reason."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.media.masks.palette import write_indexed_png
from tests.support.mask_samples import FRAMES, SIZE, folder_of, labels, opened


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "clip").mkdir()
    with pytest.raises(InputError, match=r"clip: expected masks, got an empty folder"):
        opened(tmp_path / "clip")


@pytest.mark.parametrize("scale", [1, 2])
def test_masks_of_another_size_are_refused_with_both(tmp_path, scale):
    folder = folder_of(tmp_path, labels(1), write_indexed_png)
    with pytest.raises(InputError, match=r"00000\.png: expected 32x\d+ like .*, got 16x12"):
        opened(folder, size=(13 * scale, 32))


def test_one_mask_of_another_size_is_named(tmp_path):
    folder = folder_of(tmp_path, labels(1), write_indexed_png)
    write_indexed_png(folder / "00002.png", labels(1)[2, :6])
    with pytest.raises(InputError, match=r"00002\.png: expected 16x12 .*, got 16x6"):
        opened(folder)


@pytest.mark.parametrize("damage", [lambda data: b"broken", lambda data: data[:-30], lambda _: b""])
def test_an_unreadable_png_is_named(tmp_path, damage):
    folder = folder_of(tmp_path, labels(1, 2), write_indexed_png)
    file = folder / "00002.png"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=r"00002\.png: not a readable PNG"):
        opened(folder)


def test_a_png_that_claims_to_be_huge_is_not_unpacked(tmp_path):
    folder = folder_of(tmp_path, labels(1), write_indexed_png)
    Image.new("1", (20000, 10000)).save(folder / "00001.png")
    with pytest.raises(InputError, match=r"00001\.png: not a readable PNG .*limit"):
        opened(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (labels(1) * 1.5, "expected values in .0, 1., got 0 to 1.5"),
        (np.where(labels(1), -0.5, 0), "expected values in .0, 1., got -0.5 to 0"),
        (np.where(labels(1), np.nan, 0), "got NaN"),
        (np.where(labels(1), np.inf, 0), "got 0 to inf"),
        (labels(1).astype(complex), "got complex128"),
        (labels(1).astype(str), "got <U"),
        (labels(1)[:3], "expected 4 masks, one a frame, got 3"),
        (labels(1)[0], r"expected labels \(T, H, W\), soft"),
        (labels(1)[:, :5], "expected 16x12 like the footage, got 16x5"),
        (-labels(1).astype(int), "expected labels in 0-65535, got -1 to 0"),
        (labels(1).astype(int) * 65536, "expected labels in 0-65535, got 0 to 65536"),
        (labels(1, 2)[:, None].repeat(2, axis=1), r"one value each, or labels"),
        (np.full((FRAMES, 3, *SIZE), 0.9), "sum to at most 1, got up to 2.7"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_that_are_no_masks_are_refused_by_name(tmp_path, suffix, array, message):
    path = tmp_path / f"clip{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, array)
    with pytest.raises(InputError, match=rf"clip\{suffix}.*{message}"):
        opened(path)


def test_soft_masks_with_different_numbers_of_channels_are_refused(tmp_path):
    soft = [np.zeros((2, *SIZE)), np.zeros((3, *SIZE))] * 2
    folder = folder_of(tmp_path, soft, np.save, name="{}.npy")
    with pytest.raises(InputError, match=r"1\.npy: expected \(2, 12, 16\) .*, got \(3, 12, 16\)"):
        opened(folder)


def test_soft_masks_and_labels_in_one_clip_are_refused(tmp_path):
    mixed = [labels(1)[0] * 0.5, labels(1)[1]] * 2
    folder = folder_of(tmp_path, mixed, np.save, name="{}.npy")
    with pytest.raises(InputError, match=r"1\.npy: expected masks of one type .* after floats"):
        opened(folder)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_is_unpickled(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    objects = np.array([{"a": 1}] * FRAMES)
    (np.save if suffix == ".npy" else np.savez)(path, objects, allow_pickle=True)
    with pytest.raises(InputError, match=rf"clip\{suffix}: not a plain array \(.*[Oo]bjects"):
        opened(path)


def test_an_archive_of_several_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "clip.npz", a=labels(1, 2), b=labels(1))
    with pytest.raises(InputError, match=r"got 2 arrays, of which a alone has 2 classes: .*a, b"):
        opened(tmp_path / "clip.npz")


@pytest.mark.parametrize("name", ["clip.json", "clip.npy", "clip.npz", "clip.mkv"])
@pytest.mark.parametrize("content", [b"garbage", b"", b'{"images": [], "annotations": 3}'])
def test_garbage_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        opened(tmp_path / name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_packed_array_that_was_damaged_is_refused(tmp_path, save):
    path = tmp_path / "clip.npz"
    save(path, labels(1))
    with zipfile.ZipFile(path) as archive:
        checksum = archive.infolist()[0].CRC.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(checksum, b"else"))
    with pytest.raises(InputError, match=r"clip\.npz: not a plain array \(Bad CRC"):
        opened(path)
