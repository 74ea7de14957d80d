"""What the report stage leaves for the pages of a clip, made by the real pipeline."""

import json
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from pipeline.executor import InlineExecutor
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from stages.catalogue import build_steps
from stages.media.masks.palette import palette, read_labels, write_indexed_png
from stages.ops.drawn_pictures import lay_over, mask_layer
from stages.report.clip_pictures import Panes, Strips, chosen_pairs
from stages.report.curves import (
    area_summary,
    changed_share,
    opening_frame,
    pair_errors,
    thinned_curve,
)
from stages.report.stage import Report
from tests.support.small_library import SIZE, scene, write_clip

FRAMES, CUT = 24, 15
SETTINGS = {
    "ingest": {"cuts": [CUT]},
    "export": {"formats": ["png"]},
    "refine": {"method": "vote"},  # changes all masks
}
AREA = SIZE[0] * SIZE[1]


def run(root, *names, settings=SETTINGS, out="out"):
    """Run clips below `root`; return the folder of the results."""
    clips = [Clip(n, {k: root / k / n for k in ("footage", "masks")}) for n in names]
    steps, _ = build_steps(settings, "test")
    store, events = Store(str(root / "store")), []

    def start():
        return InlineExecutor(store.url, 1)

    Run(steps, store, root / out, start, chunk=16, listener=events.append).go(clips)
    assert [event.text for event in events if event.kind == "failed"] == []
    return root / out


def clip_page(folder):
    """Return clip.json; a NaN or an infinity in it is an error, as it is for a browser."""

    def refuse(name):
        raise ValueError(name)

    return json.loads((folder / "report" / "clip.json").read_text(), parse_constant=refuse)


def decoded(folder):
    with av.open(str(folder / "report" / "film.mp4")) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def masks(folder):
    return np.stack([read_labels(path) for path in sorted(folder.iterdir())])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "a", FRAMES, cut=CUT)
    return root


@pytest.fixture(scope="module")
def clip(library):
    return run(library, "a") / "a"


def test_the_film_shows_frame_k_at_the_middle_of_its_time_and_misses_none(clip):
    film, rate = decoded(clip), clip_page(clip)["rate"]
    assert [time for time, _ in film] == pytest.approx([k / rate for k in range(FRAMES)], abs=1e-3)


def test_the_film_holds_the_picture_and_the_masks_before_and_after(library, clip):
    width, height = clip_page(clip)["pane"]
    before, after = masks(library / "masks" / "a"), masks(clip / "masks")
    for t, (_, panes) in enumerate(decoded(clip)):
        frame, _ = scene(t, picture="coffee" if t >= CUT else "astronaut")
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        assert np.abs(panes[:height].astype(int) - small).mean() < 12
        shown = [panes[k * height : (k + 1) * height].astype(int) for k in (1, 2)]
        wanted = [
            mask_layer(
                cv2.resize(
                    labels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
                ),
                palette(),
            )
            for labels in (before[t], after[t])
        ]
        assert not np.array_equal(*wanted)
        for own, other in ((0, 1), (1, 0)):
            near, far = (np.abs(shown[own] - wanted[k]).mean() for k in (own, other))
            assert near < 12
            assert near < far


def test_flicker_is_that_of_the_scores_by_boundary_length(clip):
    scores, flicker = json.loads((clip / "metrics.json").read_text()), clip_page(clip)["flicker"]
    for system, named in (("before", "input"), ("after", "output")):
        assert flicker[system]["frame"] == list(range(FRAMES))
        unit = AREA / scores[named]["boundary_pixels"]
        wanted = [v if v is None else v * unit for v in scores[named]["flicker"]]
        assert [v is None for v in flicker[system]["value"]] == [v is None for v in wanted]
        assert wanted[CUT - 1] is None
        actual = [v for v in flicker[system]["value"] if v is not None]
        assert actual == pytest.approx([v for v in wanted if v is not None], abs=2e-3)


def test_the_moments_are_the_worst_ones_and_lie_apart(clip):
    text = clip_page(clip)
    values = text["flicker"]["after"]["value"]
    frames = [moment["frame"] for moment in text["moments"]]
    assert values[frames[0]] == max(v for v in values if v is not None)
    assert [moment["value"] for moment in text["moments"]] == [values[t] for t in frames]
    assert min(abs(s - t) for s in frames for t in frames if s != t) >= 8


def test_areas_are_those_of_the_masks(library, clip):
    masks_by_side = {"before": masks(library / "masks" / "a"), "after": masks(clip / "masks")}
    for entry in clip_page(clip)["classes"]:
        assert entry["colour"] == palette()[entry["label"]].tolist()
        for system, labels in masks_by_side.items():
            areas = np.count_nonzero(labels == entry["label"], axis=(1, 2))
            assert entry[system]["area"] == areas.tolist()
            pairs = pairwise(areas)
            jumps = [2 * abs(b - a) / max(a + b, 1) for a, b in pairs]
            assert entry[system]["jump"] == pytest.approx(np.mean(jumps))


def test_a_slice_is_one_row_of_every_frame_in_order(clip):
    text = clip_page(clip)
    (width, height), film = text["pane"], decoded(clip)
    error = np.zeros((2, 2))  # of each slice to the rows of each side
    for number, row in enumerate(text["slices"]["rows"]):
        rows = [
            np.concatenate([lay_over(p[row : row + 1], p[k * height + row][None]) for _, p in film])
            for k in (1, 2)
        ]
        for k, system in enumerate(("before", "after")):
            picture = cv2.imread(str(clip / "report" / text["slices"][system][number]))[..., ::-1]
            assert picture.shape == (FRAMES, width, 3)
            error[k] += [np.abs(picture.astype(int) - wanted).mean() for wanted in rows]
    error /= len(text["slices"]["rows"])
    assert error.diagonal().max() < 15
    assert error[0, 0] < error[0, 1]
    assert error[1, 1] < error[1, 0]


def test_every_file_that_is_named_is_there_and_is_a_picture(clip):
    text = clip_page(clip)
    named = ["thumb.jpg", *(moment["strip"] for moment in text["moments"])]
    named += [flow[kind] for flow in text["flows"] for kind in ("flow", "seen")]
    assert len(text["flows"]) == 6
    assert all(flow["frame"] not in (CUT - 1, FRAMES - 1) for flow in text["flows"])
    assert all(cv2.imread(str(clip / "report" / name)) is not None for name in named)


def test_a_second_run_writes_nothing_again(library, clip):
    before = (clip / "report" / "film.mp4").stat().st_mtime_ns
    run(library, "a")
    assert (clip / "report" / "film.mp4").stat().st_mtime_ns == before


@pytest.mark.parametrize("frames", [1, 2])
def test_a_very_short_clip_has_a_report(tmp_path, frames):
    write_clip(tmp_path, "a", frames)
    folder = run(tmp_path, "a", settings={}) / "a"
    assert len(decoded(folder)) == frames
    assert clip_page(folder)["flicker"]["after"]["value"][-1] is None


def test_a_clip_without_any_foreground_has_a_report(tmp_path):
    write_clip(tmp_path, "a", 4)
    for path in (tmp_path / "masks" / "a").iterdir():
        write_indexed_png(path, np.zeros(SIZE, np.uint16))
    text = clip_page(run(tmp_path, "a", settings={}) / "a")
    assert text["moments"] == []
    assert text["flicker"]["after"]["value"] == [None] * 4


def test_switched_off_it_leaves_nothing_but_what_belongs_to_a_clip_called_report(tmp_path):
    write_clip(tmp_path, "a", 4)
    write_clip(tmp_path, "a/report", 4)
    out = run(tmp_path, "a", "a/report", settings={})
    assert (out / "a" / "report" / "clip.json").exists()
    off = {"report": {"enabled": False}}
    run(tmp_path, "a", settings=off)
    left = {path.name for path in (out / "a" / "report").iterdir() if path.name[0] != "."}
    results = {"masks", "masks.mkv", "overlay.mp4", "metrics.json", "review.json"}
    assert left == {*results, "report"}
    assert (out / "a" / "report" / "report" / "clip.json").exists()


def test_a_long_curve_keeps_every_peak_and_where_it_was():
    values = np.random.default_rng(3).random(100_000)
    values[[12_345, 77_777]] = 5, 7
    values[40_000:41_000] = np.nan
    thin = thinned_curve(values)
    assert len(thin["value"]) <= 2000
    peaks = [(f, v) for f, v in zip(thin["frame"], thin["value"], strict=True) if v and v > 1]
    assert peaks == [(12_345, 5), (77_777, 7)]
    assert None in thin["value"]


def test_pair_errors_match_the_definition_pair_by_pair():
    rng, radius, shots = np.random.default_rng(8), 2, [[0, 4], [4, 9]]
    pairs = np.stack([rng.integers(0, 50, (9, 2, 4)), rng.integers(60, 99, (9, 2, 4))], axis=-1)
    boundary = rng.integers(20, 40, (9, 2))
    actual = pair_errors(pairs, boundary, shots, radius=radius, area=500)
    for which in (0, 1):
        for t in range(9):
            if t in (3, 8):
                assert np.isnan(actual[which, t])
                continue
            there, back = pairs[t, which, 2], pairs[t + 1, which, 1]  # offsets: -2, -1, 1, 2
            error = there[0] / there[1] + back[0] / back[1]
            assert actual[which, t] == pytest.approx(error * 500 / np.median(boundary[:, which]))


def test_flow_is_shown_at_the_worst_moments_first_and_never_across_a_cut():
    shots = [[0, 50], [50, 100]]
    chosen = chosen_pairs([49, 7, 93], 100, shots, count=4)
    assert chosen == sorted(chosen)
    assert {7} <= set(chosen)
    assert not {49, 99} & set(chosen)
    assert len(chosen) == 4


def test_a_strip_has_the_frames_around_its_moment(tmp_path):
    panes = Panes((100, 200), np.zeros((256, 3), np.uint8), side=100)
    strips, blank = Strips([1, 10, 19], tmp_path, panes), np.zeros((100, 200), np.uint8)
    for t in range(20):
        strips.add(t, np.full((100, 200, 3), 10 * t, np.uint8), blank, blank)
    strips.finish()
    for moment, frames in ((1, range(4)), (10, range(8, 13)), (19, range(17, 20))):
        picture = cv2.imread(str(tmp_path / strips.names[moment]))
        tones = [picture[20, 202 * k + 100, 0] for k in range(picture.shape[1] // 202)]
        np.testing.assert_allclose(tones, [10 * t for t in frames], atol=4)


def test_a_class_that_comes_and_goes_jumps_and_an_absent_one_does_not():
    areas = np.zeros((3, 2, 3), np.int64)
    areas[:, 0, 1] = 16, 0, 16
    areas[:, 1, 1] = 16
    first, second = area_summary(areas)
    assert first["before"]["jump"] == 2
    assert first["after"]["jump"] == second["after"]["jump"] == 0


def test_a_clip_opens_where_most_was_changed_else_where_most_flicker_is_left():
    flicker = np.array([0.1, 0.9, np.nan])
    changed = changed_share(np.array([[9, 10], [10, 10], [5, 10]]))
    np.testing.assert_allclose(changed, [0.1, 0, 0.5])
    assert opening_frame(changed, flicker) == 2
    assert opening_frame(np.zeros(3), flicker) == 1
    assert opening_frame(np.zeros(3), np.full(3, np.nan)) == 0
    assert changed_share(np.array([[0, 0]])) == [0]


def test_pictures_are_as_large_as_the_setting_allows_and_never_enlarged(tmp_path):
    write_clip(tmp_path, "a", 3, size=(120, 160))
    for side, pane in ((480, [160, 120]), (64, [86, 64])):
        text = clip_page(run(tmp_path, "a", settings={"report": {"picture_side": side}}) / "a")
        assert text["pane"] == pane


def test_switched_off_it_reads_next_to_nothing():
    inputs = Report(enabled=False).inputs({})
    assert [(wanted.stage, wanted.array) for wanted in inputs] == [("measure", "boundary")]
