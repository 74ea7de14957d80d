import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from stages.metrics.accuracy import boundary_f, jaccard
from stages.metrics.stability import (
    Consistency,
    boundary_pixels,
    disagreement,
    merged_restlessness,
    restlessness,
)
from stages.models.flow.dis import DisFlow
from stages.ops.visibility import visible
from steadymask.evaluation.layouts import find_frames, find_labels
from steadymask.evaluation.protocols import PROTOCOLS
from steadymask.evaluation.reference_flow import EstimatedFlow, KnownFlow, flow_used
from steadymask.evaluation.score_clip import TRUTH, Options, add_excess, score_clip
from steadymask.evaluation.stability import Stability
from tests.support.scored_clips import FRAMES, SIZE, label, write_clips

JUDGE = EstimatedFlow("dis", radius=2, workers=2)


def score(root, judge=JUDGE, systems=("torn",), truth=True, **options):
    folders = {"good": "truth"}
    actual = {name: find_labels(root / folders.get(name, name))["a"] for name in systems}
    true = find_labels(root / "truth")["a"] if truth else None
    frames = find_frames(root / "frames")["a"]
    return score_clip("a", frames, actual, true, judge, Options(**options))


@pytest.fixture
def root(tmp_path):
    write_clips(tmp_path, names=("a",))
    return tmp_path


def read(folder):
    return [np.asarray(Image.open(path)) for path in sorted((folder / "a").iterdir())]


def test_scores_equal_the_measures_on_the_whole_clip(root):
    actual = score(root).values["torn"]
    masks, truths, frames = read(root / "torn"), read(root / "truth"), read(root / "frames")
    pairs = list(zip(masks, truths, strict=True))
    assert actual["J"] == pytest.approx(np.mean([jaccard(m > 0, t > 0) for m, t in pairs]))
    assert actual["F"] == pytest.approx(
        np.mean([boundary_f(m > 0, t > 0, tolerance=0.008) for m, t in pairs])
    )
    search, total = DisFlow("medium"), Consistency()
    for i in range(FRAMES):
        for j in range(i + 1, min(i + 3, FRAMES)):
            there, back = search(frames[i], frames[j]), search(frames[j], frames[i])
            total.add(
                disagreement(masks[i], masks[j], there, visible(there, back)),
                disagreement(masks[j], masks[i], back, visible(back, there)),
            )
    boundary = np.median([boundary_pixels(mask) for mask in masks])
    expected = total.value(area=SIZE[0] * SIZE[1], boundary=boundary)
    assert actual["E_cons"] == pytest.approx(expected, rel=1e-9)
    assert actual["E_cons_480"] == pytest.approx(expected * 480 / SIZE[0], rel=1e-9)
    smooth = np.sum(restlessness(np.stack(masks), range(FRAMES), sigma=0.15 * 24)) / boundary
    assert actual["E_smooth"] == pytest.approx(smooth, rel=1e-9)
    assert actual["E_smooth_mean"] == pytest.approx(smooth / FRAMES, rel=1e-9)
    assert "E_smooth_merged" not in actual  # of several classes only


def test_the_truth_is_stabler_than_what_flickers_and_is_the_floor(root):
    scores = score(root, systems=("torn", "good"))
    add_excess(scores, "torn")
    values = scores.values
    assert values[TRUTH]["E_cons"] < values["torn"]["E_cons"] / 2
    assert values["good"]["J"] == values["good"]["F"] == 1
    assert values["good"]["excess"] == 0
    assert values["torn"]["excess"] == 1
    for name in ("STB", "STB_local", "TC"):
        assert values["good"][name] > values["torn"][name]
    assert len(scores.flicker["torn"]) == FRAMES - 1


def test_smoothness_in_blocks_is_smoothness_of_the_whole():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (100, 6, 8), np.uint8)
    stream = Stability(1, rate=24.0)._smoothness
    for frame in labels:
        stream.add(frame)
        assert len(stream._held) <= 32 + 2 * 11 + 1
    whole = restlessness(labels, range(100), sigma=0.15 * 24)
    merged = merged_restlessness(labels, range(100), sigma=0.15 * 24)
    np.testing.assert_allclose(stream.finish(), (whole, merged), rtol=1e-12)
    assert stream.several


def test_true_masks_of_some_frames_are_enough_for_accuracy(root):
    for path in sorted((root / "truth" / "a").iterdir())[1::4]:
        path.unlink()
    scores = score(root)
    assert TRUTH not in scores.values
    masks, truths = read(root / "torn"), read(root / "truth")
    kept = [t for t in range(FRAMES) if t % 4 != 1]
    assert scores.values["torn"]["J"] == pytest.approx(
        np.mean([jaccard(masks[t] > 0, true > 0) for t, true in zip(kept, truths, strict=True)])
    )


def test_without_truth_there_is_stability_alone(root):
    values = score(root, truth=False).values["torn"]
    assert "J" not in values
    assert values["E_cons"] > 0
    assert np.isnan(values["STB_local"])


def test_classes_are_scored_over_all_frames_together(root):
    options = {"task": "classes", "protocol": PROTOCOLS["vspw"]}
    vspw = score(root, systems=("torn", "good"), **options).values
    values = score(root, systems=("torn", "good"), task="classes").values
    masks, truths = np.stack(read(root / "torn")), np.stack(read(root / "truth"))
    iou = [
        ((masks == c) & (truths == c)).sum() / ((masks == c) | (truths == c)).sum() for c in (0, 1)
    ]
    assert values["torn"]["mIoU"] == pytest.approx(np.mean(iou))
    assert values["good"]["VC8"] == 1
    assert values["torn"]["VC8"] < 1
    assert np.isnan(values["torn"]["VC16"])
    assert vspw["torn"]["mIoU_vspw"] == values["torn"]["mIoU"]
    assert vspw["torn"]["VC8"] == values["torn"]["VC8"]
    assert vspw["good"]["VC8_vspw"] == 1
    assert "VC8_vspw" not in values["torn"]


def test_contours_are_scored_where_wanted(root):
    values = score(root, systems=("torn", "good"), contours=True).values
    for name in ("T", "contour_change"):
        assert values["good"][name] < 1e-4
        assert values["torn"][name] > 0.01


def test_zeros_and_255_are_a_binary_mask(root):
    for path in (root / "torn" / "a").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) > 0).astype(np.uint8) * 255).save(path)
    binary = score(root).values["torn"]
    for path in (root / "torn" / "a").iterdir():
        label(path, (np.asarray(Image.open(path)) > 0).astype(np.uint8))
    assert binary == score(root).values["torn"]


def test_pixels_that_the_truth_ignores_do_not_count(root):
    for path in sorted((root / "truth" / "a").iterdir()):
        values = np.asarray(Image.open(path)).copy()
        values[20:30] = 255  # where the masks are torn
        label(path, values)
    assert score(root).values["torn"]["J"] == 1


def test_void_labels_of_the_truth_do_not_count(root):
    for path in sorted((root / "truth" / "a").iterdir()):
        values = np.asarray(Image.open(path)).copy()
        values[20:30] = 7
        label(path, values)
    assert score(root, task="classes", void=(7,)).values["torn"]["mIoU"] == 1
    assert score(root, task="classes").values["torn"]["mIoU"] < 0.9


def test_a_void_label_that_is_predicted_is_a_miss_and_no_class_of_its_own(root):
    for path in sorted((root / "torn" / "a").iterdir()):
        values = np.asarray(Image.open(path)).copy()
        values[:2, :2] = 7
        label(path, values)
    counted = score(root, task="classes", void=(7,)).values["torn"]["mIoU"]
    as_class = score(root, task="classes").values["torn"]["mIoU"]
    classes = len(np.unique(np.asarray(Image.open(next((root / "truth" / "a").iterdir())))))
    assert as_class == pytest.approx(counted * classes / (classes + 1))


def test_sixteen_bit_labels_and_other_numbers_are_objects_too(root):
    for folder in ("torn", "truth"):
        for path in (root / folder / "a").iterdir():
            values = np.asarray(Image.open(path)).astype(np.uint16) * 1000
            Image.fromarray(values).save(path)
    assert 0.5 < score(root).values["torn"]["J"] < 1


def test_objects_numbered_otherwise_need_union(root):
    for path in (root / "torn" / "a").iterdir():
        label(path, np.asarray(Image.open(path)) * 12)
    assert "--union" in score(root).problems["torn"]
    assert score(root, union=True).values["torn"]["J"] > 0.5


def test_one_frame_has_accuracy_and_no_stability(tmp_path):
    write_clips(tmp_path, names=("a",), frames=1)
    values = score(tmp_path).values["torn"]
    assert values["J"] == 1
    assert np.isnan(values["E_cons"])
    assert np.isnan(values["TC"])


def test_a_system_with_too_few_masks_or_of_another_size_is_left_out(root):
    good = score(root).values["torn"]
    for name in ("short", "small", "colour"):
        for k, path in enumerate(sorted((root / "torn" / "a").iterdir())):
            target = root / name / "a" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            labels = np.asarray(Image.open(path))
            if name == "short" and k == 3:
                continue
            if name == "small":
                labels = cv2.resize(labels, (48, 32), interpolation=cv2.INTER_NEAREST)
            if name == "colour":
                Image.fromarray(np.stack([labels * 128] * 3, -1)).save(target)
            else:
                label(target, labels)
    scores = score(root, systems=("short", "torn", "small", "colour"))
    assert scores.values["torn"] == good
    assert set(scores.problems) == {"short", "small", "colour"}
    assert "1 are missing (00003" in scores.problems["short"]
    assert "expected 96 x 64 as the frame, got 48 x 32" in scores.problems["small"]
    assert "expected an indexed or grey picture, got colours" in scores.problems["colour"]


def test_soft_masks_and_frames_of_two_sizes_are_refused(root):
    ramp = np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))
    for path in (root / "torn" / "a").iterdir():
        Image.fromarray(ramp).save(path)
    assert "give hard labels" in score(root).problems["torn"]
    last = sorted((root / "frames" / "a").iterdir())[-1]
    Image.open(last).resize((48, 32)).save(last)
    with pytest.raises(InputError, match="expected 96 x 64 as the first frame, got 48 x 32"):
        score(root)


def test_the_flow_that_made_the_masks_is_read_from_the_run(tmp_path):
    (tmp_path / "out" / "a" / "masks").mkdir(parents=True)
    (tmp_path / "out" / "run.json").write_text('{"settings": {"flow": {"method": "gma"}}}')
    assert flow_used([tmp_path / "none", tmp_path / "out" / "a" / "masks"]) == "gma"
    assert flow_used([tmp_path]) == ""


def test_half_size_judges_nearly_as_full_size(root):
    full = score(root).values["torn"]["E_cons"]
    half = score(root, EstimatedFlow("deepflow", scale=0.5, radius=2, workers=2)).values["torn"][
        "E_cons"
    ]
    assert half == pytest.approx(full, rel=0.5)


def test_known_flow_judges_neighbours_and_only_what_both_see(root):
    masks = read(root / "torn")
    there = np.zeros((FRAMES - 1, 2, *SIZE), np.float32)
    there[:, 0] = 2  # the square moves two pixels to the right
    visible_pixels = np.zeros((FRAMES - 1, *SIZE), bool)
    visible_pixels[:, 15:50, 20:64] = True
    np.savez(
        root / "a.npz",
        forward=there,
        backward=-there,
        seen=visible_pixels,
        seen_back=visible_pixels,
    )
    values = score(root, KnownFlow(root / "a.npz"), systems=("torn", "good")).values
    same = [(masks[t][15:50, 20:64] == masks[t - 1][15:50, 18:62]).mean() for t in range(1, FRAMES)]
    assert values["torn"]["STB"] == pytest.approx(np.mean(same))
    assert values["good"]["STB"] == 1


def test_known_flow_of_other_frames_is_refused(root):
    with pytest.raises(InputError, match="expected flow as perturb writes it"):
        score(root, KnownFlow(root / "none.npz"))
    short = np.zeros((2, 2, *SIZE), np.float32)
    visible_pixels = np.ones((2, *SIZE), bool)
    np.savez(
        root / "a.npz", forward=short, backward=short, seen=visible_pixels, seen_back=visible_pixels
    )
    with pytest.raises(InputError, match=r"expected flow of 4 frames or more of \(64, 96\), got 3"):
        score(root, KnownFlow(root / "a.npz"))


def test_known_flow_counts_only_what_an_estimated_flow_tracks_too(root):
    masks, frames = read(root / "torn"), read(root / "frames")
    there = np.zeros((FRAMES - 1, 2, *SIZE), np.float32)
    there[:, 0] = 2
    visible_pixels = np.ones((FRAMES - 1, *SIZE), bool)
    np.savez(
        root / "a.npz",
        forward=there,
        backward=-there,
        seen=visible_pixels,
        seen_back=visible_pixels,
    )
    limited = score(root, KnownFlow(root / "a.npz", limit=JUDGE)).values["torn"]["STB"]
    shares = []
    search = DisFlow("medium")
    for t in range(1, FRAMES):
        own, back = search(frames[t], frames[t - 1]), search(frames[t - 1], frames[t])
        tracked = visible(own, back)[:, 2:]
        same = masks[t][:, 2:] == masks[t - 1][:, :-2]
        shares.append(same[tracked].mean())
    assert limited == pytest.approx(np.mean(shares))
    assert limited != score(root, KnownFlow(root / "a.npz")).values["torn"]["STB"]


def test_davis_leaves_out_the_first_and_the_last_frame(root):
    whole = score(root, systems=("torn",)).values["torn"]
    inner = score(root, systems=("torn",), protocol=PROTOCOLS["davis2017"]).values["torn"]
    masks, truths = read(root / "torn"), read(root / "truth")
    pairs = list(zip(masks, truths, strict=True))[1:-1]
    assert inner["J"] == pytest.approx(np.mean([jaccard(m > 0, t > 0) for m, t in pairs]))
    assert inner["J"] != pytest.approx(whole["J"])
    assert inner["E_cons"] == whole["E_cons"]


def test_a_protocol_without_its_truth_is_refused(root):
    sorted((root / "truth" / "a").iterdir())[3].unlink()
    with pytest.raises(InputError, match=r"a: protocol davis2016 .* 1 lack it \(00003, …\)"):
        score(root, protocol=PROTOCOLS["davis2016"])


def test_zero_and_255_are_a_class_and_void_for_vspw(root):
    for path in (root / "truth" / "a").iterdir():
        values = np.where(np.asarray(Image.open(path)) > 0, 255, 0).astype(np.uint8)
        label(path, values)
    values = score(root, task="classes", protocol=PROTOCOLS["vspw"]).values["torn"]
    assert values["mIoU_vspw"] == 1  # class 0 alone, outside of what is void
