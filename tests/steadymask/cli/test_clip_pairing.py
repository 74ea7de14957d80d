"""Clips and masks whose names do not match."""

import pytest

from steadymask.cli.clip_pairing import pair_masks
from tests.support.small_library import write_clip


@pytest.mark.parametrize("other", ["IMG_2041_masks", "mask IMG_2041", "img_2041-matte"])
def test_masks_that_are_nearly_named_as_the_clip_are_offered(tmp_path, other):
    for name in ("IMG_2041", "b"):
        write_clip(tmp_path, name, 2)
    (tmp_path / "masks" / "IMG_2041").rename(tmp_path / "masks" / other)
    pairing = pair_masks(tmp_path / "footage", tmp_path / "masks")
    assert pairing.failures["IMG_2041"].endswith(f"; rename {other} if those are its masks")


@pytest.mark.parametrize("other", ["IMG_20412", "c", "bIMG_2041"])
def test_masks_of_another_name_are_not(tmp_path, other):
    for name in ("IMG_2041", "b"):
        write_clip(tmp_path, name, 2)
    (tmp_path / "masks" / "IMG_2041").rename(tmp_path / "masks" / other)
    pairing = pair_masks(tmp_path / "footage", tmp_path / "masks")
    assert pairing.failures["IMG_2041"].endswith("masks/IMG_2041.<ext>")
