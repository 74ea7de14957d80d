"""Values of pictures as people have them: read right, or refused with the readings."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from tests.support.mask_samples import blurred, discs, folder_of, opened

CLIP = discs()
HOW = {"frames": len(CLIP), "size": CLIP.shape[1:]}
BOX = np.zeros(CLIP.shape[1:], bool)
BOX[2:12, 44:60] = True


def masks_of(tmp_path, convert, suffix=".png", arrays=CLIP, **save):
    return folder_of(
        tmp_path, arrays, lambda path, mask: convert(mask).save(path, **save), "{:05d}" + suffix
    )


def foreground(folder, **how):
    masks = opened(folder, **HOW, **how)
    out = np.stack(list(masks))
    return out[:, 0] > 0.5 if masks.legend.kind == "soft" else out > 0


def grey_picture(mask, high=255):
    return Image.fromarray((mask * high).astype(np.uint8))


def rgb(mask):
    return grey_picture(mask).convert("RGB")


def cut_out(mask):
    picture = np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), np.uint8)
    return Image.fromarray(np.dstack([picture, mask * np.uint8(255)]))


def two_colours(mask, background=(0, 0, 0)):
    colours = np.full((*mask.shape, 3), background, np.uint8)
    colours[mask] = (0, 200, 0)
    colours[BOX & ~mask] = (200, 0, 0)
    return Image.fromarray(colours)


@pytest.mark.parametrize(
    "convert",
    [
        grey_picture,
        lambda mask: grey_picture(mask, 1),
        lambda mask: grey_picture(mask, 100),
        lambda mask: grey_picture(mask).convert("1"),
        rgb,
        lambda mask: rgb(mask).convert("RGBA"),
        lambda mask: grey_picture(mask).convert("LA"),
        cut_out,
        lambda mask: rgb(mask).quantize(2),
        lambda mask: Image.fromarray(mask.astype(np.uint16) * 65535),
        lambda mask: Image.fromarray(blurred(mask).astype(np.uint16) * 257),
        lambda mask: Image.fromarray(blurred(mask)),
        lambda mask: Image.fromarray(blurred(mask)).convert("P"),
        lambda mask: Image.fromarray(blurred(mask)).convert("RGB"),
        lambda mask: Image.fromarray((blurred(mask) // 2.55).astype(np.uint8)),
        lambda mask: Image.fromarray(np.round(blurred(mask) / 255 * 1023).astype(np.uint16)),
        lambda mask: Image.fromarray(np.dstack([0 * blurred(mask)] * 3 + [blurred(mask)])),
    ],
)  # fmt: skip
def test_one_thing_is_read_however_it_was_saved(tmp_path, convert):
    inside = foreground(masks_of(tmp_path, convert))
    wanted = CLIP if (inside == CLIP).all() else np.stack([blurred(m) > 127 for m in CLIP])
    np.testing.assert_array_equal(inside, wanted)


@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        (".jpg", {"quality": 60}),
        (".webp", {"quality": 70}),
        (".webp", {"lossless": True}),
        (".tif", {}),
        (".bmp", {}),
        (".gif", {}),
    ],
)
@pytest.mark.parametrize("convert", [grey_picture, rgb])
def test_any_usual_format_of_pictures_is_read(tmp_path, suffix, save, convert):
    inside = foreground(masks_of(tmp_path, convert, suffix, **save))
    assert (inside != CLIP).mean() < 0.003


def test_class_ids_over_63_are_labels(tmp_path):
    ids = np.repeat(np.repeat(np.arange(70, 78, dtype=np.uint8), 8)[None], 48, 0)

    def street(mask):
        labels = ids.copy()
        labels[:10], labels[-10:], labels[mask] = 3, 255, 13
        return Image.fromarray(labels)

    masks = opened(masks_of(tmp_path, street), **HOW)
    assert masks.legend.classes == (3, 13, *range(70, 78))
    assert "255 is ignored" in masks.reading


@pytest.mark.parametrize("levels", [(128, 255), (85, 170, 255), (90, 255)])
def test_greys_with_white_that_may_be_classes_or_soft_stop(tmp_path, levels):
    def drawn(mask):
        out = np.zeros(mask.shape, np.uint8)
        for k, level in enumerate(levels):
            out[k * 14 + 2 : k * 14 + 14, 30:60] = level
        return Image.fromarray(out)

    folder = masks_of(tmp_path, drawn)
    with pytest.raises(InputError, match=r"clip: .* leave several readings: .*set segment\.kind"):
        opened(folder, **HOW)
    assert opened(folder, **HOW, kind="levels").legend.classes == levels
    assert opened(folder, **HOW, kind="labels").legend.classes == levels[:-1]


def test_palettes_that_change_between_frames_give_classes_by_colour(tmp_path):
    def each_by_itself(mask):
        if mask[24, 16]:  # the first frame has one object only
            return Image.fromarray(np.asarray(two_colours(mask)) * ~BOX[..., None]).quantize(4)
        return two_colours(mask).quantize(4)

    masks = opened(masks_of(tmp_path, each_by_itself), **HOW)
    out = np.stack(list(masks))
    green = next(label for label, name in masks.legend.names.items() if name == "#00c800")
    np.testing.assert_array_equal(out == green, CLIP)
    assert "palettes differ" in masks.reading or "black is not index 0" in masks.reading


def test_few_exact_colours_are_classes(tmp_path):
    masks = opened(masks_of(tmp_path, two_colours), **HOW)
    assert set(masks.legend.names.values()) == {"#00c800", "#c80000"}
    by_name = {name: label for label, name in masks.legend.names.items()}
    np.testing.assert_array_equal(np.stack(list(masks)) == by_name["#00c800"], CLIP)


def test_a_legend_gives_labels_and_names(tmp_path):
    folder = masks_of(tmp_path, two_colours)
    of_cvat = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:200,0,0::\ncat:0,200,0::\n"
    for name, text in (
        ("legend.json", json.dumps({"background": "#000000", "car": [200, 0, 0], "cat": "00c800"})),
        ("labelmap.txt", of_cvat),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ncar,200,0,0\ncat,0,200,0\n"),
        ("label_colors.txt", "0 0 0 background\n200 0 0 car\n0 200 0 cat\n"),
    ):
        (folder / name).write_text(text)
        masks = opened(folder, **HOW)
        assert masks.legend.names == {1: "car", 2: "cat"}
        np.testing.assert_array_equal(np.stack(list(masks)) == 2, CLIP)
        (folder / name).unlink()


def test_colours_without_black_are_asked_for(tmp_path):
    folder = masks_of(tmp_path, lambda mask: two_colours(mask, background=(90, 90, 250)))
    with pytest.raises(InputError, match=r"clip: colours .*which is the background\? .*legend"):
        opened(folder, **HOW)


def test_colours_with_compression_noise_take_the_nearest(tmp_path):
    folder = masks_of(tmp_path, two_colours, ".jpg", quality=80)
    masks = opened(folder, **HOW)
    assert len(masks.legend.classes) == 2
    assert ((np.stack(list(masks)) > 0) != (CLIP | BOX)).mean() < 0.02


def test_blended_edges_of_one_colour_take_the_nearest(tmp_path):
    def red(mask):
        soft = blurred(mask, 1)
        return Image.fromarray(np.dstack([soft, 0 * soft, 0 * soft]))

    masks = opened(masks_of(tmp_path, red), **HOW)
    assert len(masks.legend.classes) == 1
    assert ((np.stack(list(masks)) > 0) != CLIP).mean() < 0.01


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png", ".gif"])
def test_one_file_may_hold_a_picture_a_frame(tmp_path, suffix):
    first, *others = [grey_picture(mask) for mask in CLIP]
    path = tmp_path / f"clip{suffix}"
    how = {"duration": 40} if suffix != ".tif" else {}
    how |= {"lossless": True} if suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **how)
    np.testing.assert_array_equal(foreground(path), CLIP)


def test_labels_without_any_background_are_pointed_out(tmp_path):
    folder = masks_of(tmp_path, lambda mask: Image.fromarray((2 - mask).astype(np.uint8)))
    assert opened(folder, **HOW).warnings == ("no pixel of the clip is 0, the background",)


def test_pictures_are_no_masks(tmp_path):
    noise = np.random.default_rng(0)

    def photo(mask):
        small = noise.integers(0, 255, (12, 16, 3), np.uint8)
        return Image.fromarray(cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC))

    with pytest.raises(InputError, match=r"clip: expected masks, got pictures of .* colours"):
        opened(masks_of(tmp_path, photo), **HOW)


def test_black_and_white_with_another_mask_in_alpha_stops(tmp_path):
    def both(mask):
        return Image.fromarray(np.dstack([mask * np.uint8(255)] * 3 + [BOX * np.uint8(255)]))

    folder = masks_of(tmp_path, both)
    with pytest.raises(InputError, match=r"set segment\.channel to colour or alpha"):
        opened(folder, **HOW)
    np.testing.assert_array_equal(foreground(folder, channel="colour"), CLIP)
    np.testing.assert_array_equal(foreground(folder, channel="alpha")[0], BOX)


def test_kitti_mots_ignores_10000(tmp_path):
    def mots(mask):
        values = np.where(mask, 1002, 0).astype(np.uint16)
        values[BOX] = 10000
        return Image.fromarray(values)

    masks = opened(masks_of(tmp_path, mots), **HOW)
    assert masks.legend.classes == (1002,)
    assert masks.legend.names == {1002: "car 2"}
    np.testing.assert_array_equal(np.stack(list(masks)) > 0, CLIP & ~BOX)


def test_few_levels_of_16_bits_with_sharp_edges_are_ids(tmp_path):
    def ids(mask):
        return Image.fromarray(np.where(mask, 10024, np.where(BOX, 41378, 0)).astype(np.uint16))

    assert opened(masks_of(tmp_path, ids), **HOW).legend.classes == (10024, 41378)


def test_masks_of_another_size_but_the_same_shape_are_resized_with_a_note(tmp_path):
    folder = masks_of(tmp_path, grey_picture)
    masks = opened(folder, frames=len(CLIP), size=(96, 128))
    np.testing.assert_array_equal(np.stack(list(masks))[:, ::2, ::2], CLIP)
    assert "masks of 64x48 are resized to the footage's 128x96" in masks.warnings


@pytest.mark.parametrize(
    ("size", "more", "reason"),
    [
        ((64, 48), {}, "turned by 90 degrees"),
        ((64, 48), {"rotation": -90}, "asks to be turned by 90 degrees"),
        ((54, 64), {}, "cropped, or the footage has bars"),
        ((48, 48), {"aspect": (4, 3)}, r"pixels of 4:3 \(anamorphic\)"),
    ],
)
def test_masks_of_another_shape_are_told_why(tmp_path, size, more, reason):
    folder = masks_of(tmp_path, grey_picture)
    with pytest.raises(InputError, match=rf"00000\.png: expected .* got 64x48: .*{reason}"):
        opened(folder, frames=len(CLIP), size=size, **more)


def test_the_reading_is_told_in_words(tmp_path):
    folder = masks_of(tmp_path, two_colours, arrays=CLIP[2:])
    assert opened(folder, **HOW, missing="empty").reading == (
        "4 masks, PNG (colours, classes by colour), 0 = background, 2 classes: #00c800, #c80000; "
        "frames 0–3 of 6; the others: none given"
    )


@pytest.mark.parametrize("high", [1, 255])
def test_masks_that_look_inverted_are_pointed_out(tmp_path, high):
    masks = opened(masks_of(tmp_path, lambda m: grey_picture(~m.astype(bool), high)), **HOW)
    (note,) = [note for note in masks.warnings if "inverted" in note]
    assert "whole border" in note
    (tmp_path / "upright").mkdir()
    upright = opened(masks_of(tmp_path / "upright", lambda m: grey_picture(m, high)), **HOW)
    assert not any("inverted" in note for note in upright.warnings)


def test_palettes_that_differ_at_random_name_the_setting_for_indexes(tmp_path):
    rng = np.random.default_rng(4)

    def by_index(mask):
        picture = Image.fromarray(np.where(mask, 1, BOX * 2).astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, *rng.integers(40, 255, 6).tolist()])
        return picture

    with pytest.raises(InputError, match=r"they number the segments .* set segment\.kind=labels"):
        opened(masks_of(tmp_path, by_index), **HOW)
