"""Which mask belongs to which frame."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.masks.frame_matching import match_frames
from stages.media.masks.palette import write_indexed_png
from tests.support.mask_samples import folder_of, labels, opened, read

WHERE = Path("masks")


def placed(names, frames, frame_names=(), missing="empty", **how):
    return list(match_frames(WHERE, names, frames, frame_names, missing, **how).chosen)


def test_names_that_the_footage_knows_decide():
    assert placed(["b.png", "d.png"], 4, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]) == [None, 0, None, 1]


def test_as_many_masks_as_frames_are_taken_in_order():
    assert placed(["x.png", "y9.png", "z1.png"], 3) == [0, 1, 2]


def test_numbering_may_start_anywhere(tmp_path):
    folder = folder_of(tmp_path, labels(1), write_indexed_png, name="shot.{:04d}.png", start=1001)
    np.testing.assert_array_equal(read(folder), labels(1))


def test_numbers_far_from_0_that_do_not_span_the_clip_are_asked_for():
    with pytest.raises(
        InputError, match=r"masks numbered 1001 to 1003 for 4 frames .*segment\.first"
    ):
        placed(["m1001.png", "m1003.png"], 4)
    assert placed(["m1001.png", "m1003.png"], 4, first=1000) == [None, 0, None, 1]


@pytest.mark.parametrize(
    ("numbers", "frames", "first"),
    [
        ((5, 6, 7, 8, 9, 10, 11), 12, 0),  # reaches the last frame, counted from 0
        ((0, 5, 10), 12, 0),
        ((0, 1, 2), 12, 0),
        ((2, 4, 12), 12, 1),  # only counted from 1 within the clip
        ((1, 2, 3), 12, 1),  # begins at the first frame
    ],
)
def test_the_first_mask_need_not_be_the_first_frames(numbers, frames, first):
    names = [f"{number:05}.png" for number in numbers]
    matched = {k: name for k, name in enumerate(placed(names, frames)) if name is not None}
    assert [frame + first for frame in matched] == list(numbers)


@pytest.mark.parametrize("numbers", [(3, 4, 8), (1, 5, 11)])
def test_numbers_that_may_count_from_0_or_from_1_stop_with_both(numbers):
    names = [f"{number:05}.png" for number in numbers]
    both = r"\(segment\.first=0: .*\) or frames .* \(segment\.first=1: .*\): set segment\.first"
    with pytest.raises(InputError, match=both):
        placed(names, 12)
    assert placed(names, 12, first=1)[numbers[0] - 1] == 0


def test_strangers_among_numbered_masks_are_left_out_and_named():
    names = ["0.png", "1.png", "2.png", "3.png", "preview.png"]
    match = match_frames(WHERE, names, 4)
    assert match.chosen == (0, 1, 2, 3)
    assert match.left_out == ("preview.png",)
    assert match.notes[0].startswith("preview.png: left out")


def test_masks_of_all_frames_serve_for_some_of_them():
    masks = [f"{k:05}.png" for k in range(12)]
    for frames in (
        [f"{k:05}.jpg" for k in range(0, 12, 2)],
        [f"f{k}.jpg" for k in range(0, 12, 2)],
    ):
        assert placed(masks, 6, frames) == [0, 2, 4, 6, 8, 10]


def test_gaps_among_as_many_numbers_as_frames_are_pointed_out():
    names = [f"{k:05}.png" for k in (0, 1, 2, 4, 5)]
    match = match_frames(WHERE, names, 5)
    assert match.chosen == (0, 1, 2, 3, 4)
    assert match.notes[0].startswith("the numbers in names jump after 00002")


def test_two_ways_of_naming_are_named():
    names = [name for k in range(4) for name in (f"{k}.png", f"{k}_overlay.png")]
    with pytest.raises(InputError, match=r"got 8, named in 2 ways: #\.png, #_overlay\.png"):
        placed(names, 4)


def test_the_match_is_told_in_words():
    names = [f"{k:05}.png" for k in range(5, 12)]
    words = match_frames(WHERE, names, 12, missing="empty").words
    assert words == "frames 5–11 of 12; the others: none given"


def test_gaps_in_the_footages_own_numbering_are_understood():
    frames = [f"frame_{number}.jpg" for number in (1001, 1002, 1005, 1009)]
    assert placed(["mask_1002.png", "mask_1009.png"], 4, frames) == [None, 0, None, 1]


@pytest.mark.parametrize(
    "name", ["v2_{}_480p.png", "{}_0.{}.png", "a1.b{}.png", "{0}{0}ms_{0}.png"]
)
def test_the_number_that_counts_is_told_from_others(name):
    scores = (93, 12, 55)
    names = [name.format(k, scores[i]) for i, k in enumerate((8, 9, 11))]
    assert placed(names, 4) == [0, 1, None, 2]


def test_missing_masks_are_held_from_the_nearest_before_or_after():
    frames = [f"{k}.jpg" for k in range(6)]
    assert placed(["2.png", "4.png"], 6, frames, "hold") == [0, 0, 0, 0, 1, 1]


def test_missing_masks_are_named_held_or_empty(tmp_path):
    folder = folder_of(tmp_path, labels(1), write_indexed_png, start=1001)
    (folder / "01003.png").unlink()
    with pytest.raises(
        InputError,
        match=r"1 of 4 frames has no mask \(frame 2\), 01001\.png being that of frame 0 .*: add",
    ):
        opened(folder)
    np.testing.assert_array_equal(read(folder, missing="hold")[2], labels(1)[1])
    with_empty = opened(folder, missing="empty")
    assert not np.stack(list(with_empty))[2].any()
    assert with_empty.warnings[0].startswith("1 frame has no mask (empty)")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["2.png", "3.png", "4.png", "5.png", "6.png"],
            "expected 4 masks, one a frame, got 5: 6.png is beyond",
        ),
        (["0.png", "9.png"], "do not tell which frames they belong to"),
        (["left.png", "right.png"], "do not tell which frames they belong to"),
        (["1.npy", "1.png"], "expected one mask a frame, got 2 named '1'"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        placed(names, 4)
