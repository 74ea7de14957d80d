"""Arrays in the store, against the library whose format they have."""

import fsspec
import numpy as np
import pytest
import zarr

from pipeline.store.zarr_arrays import LOCAL_CODEC, REMOTE_CODEC, ArrayWriter, StoredArray

FILES = fsspec.filesystem("file")
SHAPES = [(), (3,), (2, 5), (5000,), (90, 50, 3), (0, 4)]  # of a frame: tiny ones share objects
TYPES = ["uint8", "int16", "bool", "float64", "int64", "float32"]


def written(folder, values, *, cuts=(), codec=LOCAL_CODEC):
    """Write an array in several goes."""
    folder.mkdir()
    array = ArrayWriter(FILES, str(folder), values.dtype, values.shape[1:], codec)
    for part in np.split(values, cuts):
        array.append(part)
    array.close()
    return StoredArray(FILES, str(folder))


def noise(frames, shape, dtype):
    """Return values of every kind that a type has."""
    return (
        np.random.default_rng(0)
        .integers(0, 2 if dtype == "bool" else 100, (frames, *shape))
        .astype(dtype)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("codec", [LOCAL_CODEC, REMOTE_CODEC])
def test_zarr_opens_what_is_written(tmp_path, shape, dtype, codec):
    values = noise(21, shape, dtype)
    written(tmp_path / "x", values, cuts=(4, 4, 17), codec=codec)
    opened = zarr.open_array(str(tmp_path / "x"), mode="r")
    assert opened.dtype == values.dtype
    np.testing.assert_array_equal(opened[:], values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("start", "stop"), [(0, 21), (3, 4), (5, 20), (20, 21), (7, 7)])
def test_any_frames_are_read(tmp_path, shape, start, stop):
    values = noise(21, shape, "int16")
    array = written(tmp_path / "x", values)
    read = np.full((stop - start, *array.shape), -1, array.dtype)
    array.read(start, read)
    np.testing.assert_array_equal(read, values[start:stop])


def test_frames_that_share_an_object_are_read_across_its_ends(tmp_path):
    values = np.arange(9000).reshape(3000, 3)  # 24 bytes a frame: 682 an object
    array = written(tmp_path / "x", values, cuts=(1, 700, 2999))
    read = np.zeros((1500, 3), np.int64)
    array.read(600, read)
    np.testing.assert_array_equal(read, values[600:2100])
    assert len(list((tmp_path / "x").iterdir())) == 1 + 5


def test_what_was_given_may_change_afterwards(tmp_path):
    values = np.arange(6)
    array = ArrayWriter(FILES, str(tmp_path), values.dtype, (), LOCAL_CODEC)
    array.append(values)
    values[:] = 7
    array.close()
    read = np.zeros(6, np.int64)
    StoredArray(FILES, str(tmp_path)).read(0, read)
    np.testing.assert_array_equal(read, np.arange(6))


def test_frames_after_the_last_are_an_error(tmp_path):
    array = written(tmp_path / "x", noise(21, (3,), "uint8"))
    with pytest.raises(ValueError, match="it ends after 21 frames"):
        array.read(20, np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize("member", [4, 5, 6, 7, 12, 13, 14, 15])
def test_an_object_that_claims_other_sizes_is_not_unpacked(tmp_path, member):
    array = written(tmp_path / "x", noise(1, (5000,), "int16"))
    file = tmp_path / "x" / "c.0.0"
    packed = bytearray(file.read_bytes())
    packed[member] ^= 1
    file.write_bytes(packed)
    with pytest.raises(ValueError, match="expected 10000 bytes in"):
        array.read(0, np.zeros((1, 5000), np.int16))


@pytest.mark.parametrize("size", [0, 3, 15])
def test_an_object_without_a_header_is_not_unpacked(tmp_path, size):
    array = written(tmp_path / "x", noise(1, (5000,), "int16"))
    (tmp_path / "x" / "c.0.0").write_bytes(bytes(size))
    with pytest.raises(ValueError, match="expected 10000 bytes in"):
        array.read(0, np.zeros((1, 5000), np.int16))
