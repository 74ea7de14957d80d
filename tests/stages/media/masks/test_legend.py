"""What values mean: decided over the whole clip, never frame by frame."""

import numpy as np
import pytest

from stages.media.masks.palette import write_indexed_png
from tests.support.mask_samples import (
    FRAMES,
    SIZE,
    blurred,
    discs,
    folder_of,
    grey,
    labels,
    opened,
    read,
)


def test_the_ignore_label_is_background(tmp_path):
    folder = folder_of(tmp_path, labels(3, 255), write_indexed_png)
    assert opened(folder).legend.classes == (3,)
    np.testing.assert_array_equal(read(folder), labels(3, 0))


def test_a_frame_with_nothing_but_the_ignore_label_is_empty(tmp_path):
    clip = labels(3)
    clip[2] = 255
    folder = folder_of(tmp_path, clip, grey)
    assert opened(folder).warnings[0] == "1 frame has no foreground in its mask"


@pytest.mark.parametrize("write", [grey, write_indexed_png])
def test_nothing_but_0_and_255_is_black_and_white_with_a_palette_too(tmp_path, write):
    folder = folder_of(tmp_path, labels(255), write)
    np.testing.assert_array_equal(read(folder), labels(1))


def test_arrays_of_8_bits_are_read_like_grey_pictures(tmp_path):
    path = tmp_path / "clip.npy"
    np.save(path, labels(255).astype(np.uint8))
    np.testing.assert_array_equal(read(path), labels(1))
    np.save(path, labels(51, 102).astype(np.uint8)[:, None])
    np.testing.assert_array_equal(read(path), labels(51, 102))


def test_what_grey_means_can_be_said(tmp_path):
    folder = folder_of(tmp_path, labels(100, 200), grey)
    np.testing.assert_array_equal(read(folder, kind="labels"), labels(100, 200))
    np.testing.assert_array_equal(read(folder, kind="binary"), labels(0, 1))
    assert opened(folder, kind="soft").warnings == ()


def test_one_black_and_white_frame_does_not_make_a_soft_clip_hard(tmp_path):
    clip = np.stack([blurred(mask) for mask in discs()])
    clip[3] = discs()[3] * 255
    folder = folder_of(tmp_path, clip, grey)
    how = {"frames": len(clip), "size": clip.shape[1:]}
    np.testing.assert_allclose(read(folder, **how)[:, 0], clip / 255, atol=1e-6)


def test_0_and_1_are_binary_masks_too(tmp_path):
    folder = folder_of(tmp_path, labels(1), grey)
    np.testing.assert_array_equal(read(folder, kind="binary"), labels(1))


def test_pictures_of_8_and_16_bits_may_be_mixed(tmp_path):
    clip = labels(7)
    clip[2] = labels(300)[2]
    folder = folder_of(tmp_path, clip, write_indexed_png)
    assert opened(folder).legend.classes == (7, 300)
    np.testing.assert_array_equal(read(folder), clip)


def test_soft_masks_may_have_16_bits(tmp_path):
    folder = folder_of(tmp_path, labels(30000, 60000), write_indexed_png)
    soft = read(folder, kind="soft")[:, 0]
    np.testing.assert_allclose(soft, labels(30000, 60000) / 65535, atol=1e-6)


def test_one_frame_full_of_foreground_does_not_make_a_channel_background(tmp_path):
    soft = np.stack([labels(1), labels(0, 1)], axis=1).astype(np.float32)
    soft[3] = 0.5
    np.save(tmp_path / "clip.npy", soft)
    assert opened(tmp_path / "clip.npy").legend.classes == (1, 2)
    np.testing.assert_array_equal(read(tmp_path / "clip.npy"), soft)


def test_a_clip_of_background_with_its_own_channel_is_empty(tmp_path):
    soft = np.zeros((FRAMES, 3, *SIZE), np.float16)
    soft[:, 0] = 1
    np.save(tmp_path / "clip.npy", soft)
    assert opened(tmp_path / "clip.npy").warnings == ("4 frames have no foreground in their mask",)


def test_rounding_just_over_1_is_forgiven(tmp_path):
    np.save(tmp_path / "clip.npy", np.full((FRAMES, *SIZE), 1 + 1e-6))
    assert read(tmp_path / "clip.npy").max() == 1


def test_masks_without_any_foreground_are_legal_and_said(tmp_path):
    folder = folder_of(tmp_path, labels(0), write_indexed_png)
    assert opened(folder).legend.classes == ()
    assert opened(folder).warnings == ("4 frames have no foreground in their mask",)
    assert not read(folder).any()


def test_real_soft_masks_are_soft_and_real_labels_are_labels(data):
    clip = data / "sequences" / "tennis"
    how = {"frames": 70, "size": (480, 854)}
    soft = opened(clip / "Soft_deeplabv3-mnv2-pascal", **how)
    hard = opened(clip / "Predictions_deeplabv3-mnv2-pascal", **how)
    assert (soft.legend.kind, soft.legend.classes) == ("soft", (1,))
    assert hard.legend.kind == "labels"
    assert 15 in hard.legend.classes
