"""What the pseudo-label stage leaves of a clip, made by the real pipeline."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.executor import InlineExecutor
from pipeline.plan import ClipPlan
from pipeline.scheduler import Run
from pipeline.stage import Clip
from pipeline.store.store import Store
from stages.arrays import neighbour_offsets
from stages.catalogue import build_steps
from stages.media.label_sets.clip_folder import PseudoLabelFolder
from stages.media.masks.palette import read_labels, write_indexed_png
from stages.ops.fixed_point import unpack_mask
from stages.ops.soft_masks import winning_classes
from stages.pseudo_labels.evidence import Demands, judged_frames, motion_lengths
from stages.pseudo_labels.stage import PseudoLabels
from steadymask.cli.main import main
from tests.support.small_library import SIZE, write_clip

FRAMES, CUT = 14, 9
IDS = np.array([0, 3, 7])


def run(root, *names, out="out", chunk=8, **fields):
    """Run clips below `root` with pseudo-labels; return what is told of failures."""
    clips = [Clip(n, {k: root / k / n for k in ("footage", "masks")}) for n in names]
    settings = {
        "ingest": {"cuts": [CUT]},
        "export": {"formats": ["png"]},
        "report": {"enabled": False},
        "pseudo_labels": {"enabled": True, "pictures": "png", **fields},
    }
    steps, _ = build_steps(settings, "test")
    store, events = Store(str(root / "store")), []

    def start():
        return InlineExecutor(store.url, 1)

    Run(steps, store, root / out, start, chunk=chunk, listener=events.append).go(clips)
    return [event.text for event in events if event.kind == "failed"]


def left(root, clip="a", out="out"):
    folder = root / out / clip / "pseudo_labels"
    return folder, json.loads((folder / "clip.json").read_text())


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    truth = write_clip(root, "a", FRAMES, cut=CUT)
    np.save(root / "truth.npy", np.stack(truth))
    return root


class Arrays:
    """The arrays of a clip, as a sink reads them."""

    def __init__(self, root):
        self._held = {}
        steps = build_steps({"ingest": {"cuts": [CUT]}}, "test")[0]
        store = Store(str(root / "store"))
        clip = Clip("a", {k: root / k / "a" for k in ("footage", "masks")})
        plan = ClipPlan(clip, steps, 8, str(root / "none"))
        while (task := plan.next_ready()) is not None:
            manifest = store.find(task.key)
            if manifest is not None:  # sinks keep nothing in the store
                plan.complete(task.node, manifest)
        self.facts = plan.facts
        for stage, array in (
            *(("ingest", "frames"), ("smooth", "masks"), ("smooth", "labels")),
            *(("refine", "masks"), ("flow", "flow"), ("visibility", "seen")),
        ):
            pieces = plan.find(stage, array, 0, FRAMES)
            self._held[stage, array] = np.concatenate([store.read(piece) for piece in pieces])

    def __getitem__(self, name):
        return self._held[name]

    def __call__(self, array, only=None):
        values = self._held[array.stage, array.name]
        yield from (values if only is None else values[list(only)])


@pytest.fixture(scope="module")
def arrays(library):
    assert run(library, "a") == []
    return Arrays(library)


def slow_passed(arrays, t, *, support, least_seen, passes_agree, radius=3):
    """Return the pixels of frame t that pass, one by one, from the definitions."""
    labels = arrays["smooth", "labels"]
    shot = (0, CUT) if t < CUT else (CUT, FRAMES)
    near = [j for j in range(t - radius, t + radius + 1) if j != t and shot[0] <= j < shot[1]]
    voted = winning_classes(unpack_mask(arrays["refine", "masks"][t]))
    out = np.zeros(SIZE, bool)
    flow, visible = arrays["flow", "flow"][t] / 64, arrays["visibility", "seen"][t]
    rows, columns = flow.shape[2:]
    for y, x in np.ndindex(SIZE):
        there = same = 0
        for j in near:
            k = neighbour_offsets(radius).index(j - t)
            u, v = bilinear(flow[k], y, x)
            if not visible[k, y * rows // SIZE[0], x * columns // SIZE[1]]:
                continue
            px, py = math.floor(x + u + 0.5), math.floor(y + v + 0.5)
            if 0 <= px < SIZE[1] and 0 <= py < SIZE[0]:
                there += 1
                same += labels[j, py, px] == labels[t, y, x]
        out[y, x] = there >= min(least_seen, len(near)) and same >= support * there
        if passes_agree:
            out[y, x] &= voted[y, x] == labels[t, y, x]
    return out


def bilinear(flow, y, x):
    """Return the flow at a pixel of the frame, in the frame's pixels."""
    rows, columns = flow.shape[1:]
    down, across = rows / SIZE[0], columns / SIZE[1]
    sy = min(max((y + 0.5) * down - 0.5, 0), rows - 1)
    sx = min(max((x + 0.5) * across - 0.5, 0), columns - 1)
    y0, x0 = int(sy), int(sx)
    y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
    fy, fx = sy - y0, sx - x0
    top = flow[:, y0, x0] * (1 - fx) + flow[:, y0, x1] * fx
    low = flow[:, y1, x0] * (1 - fx) + flow[:, y1, x1] * fx
    return (top * (1 - fy) + low * fy) * (1 / across, 1 / down)


@pytest.mark.parametrize(
    ("support", "least_seen", "passes_agree"),
    [(0.5, 1, True), (1.0, 4, False), (0.0, 2, False), (0.0, 0, True)],
)
def test_what_passes_matches_the_definitions(arrays, support, least_seen, passes_agree):
    chosen = [0, 1, 5, CUT - 1, CUT, FRAMES - 1]
    demands = Demands(support, least_seen, passes_agree, 3)
    actual = list(judged_frames(arrays, chosen, arrays.facts["shots"], demands))
    assert [judged_frame.frame for judged_frame in actual] == chosen
    for judged_frame in actual:
        wanted = slow_passed(
            arrays,
            judged_frame.frame,
            support=support,
            least_seen=least_seen,
            passes_agree=passes_agree,
        )
        # where flow points between two pixels the last bit decides
        assert (judged_frame.passed != wanted).mean() < 0.002
        assert 0 < judged_frame.passed.mean() < 1


def test_motion_is_the_mean_length_of_the_flow_in_working_pixels(arrays):
    actual = motion_lengths(arrays, 3, SIZE)
    for t in (0, 4):
        flow = arrays["flow", "flow"][t][3] / 64
        scale = SIZE[0] / flow.shape[1]
        assert actual[t] == pytest.approx(np.hypot(*flow).mean() * scale, rel=1e-4)


def test_files_hold_the_stabilised_labels_where_they_are_trusted(library, arrays):
    run(library, "a", out="files", soft=True)
    folder, text = left(library, out="files")
    assert [sample["frame"] for sample in text["samples"]] == list(range(FRAMES))
    trusted = 0
    for sample in text["samples"]:
        t, name = sample["frame"], sample["name"]
        mask = arrays["smooth", "masks"][t]
        wanted = IDS[arrays["smooth", "labels"][t]]
        actual = read_labels(folder / "labels" / f"{name}.png")
        np.testing.assert_array_equal(actual[actual != 255], wanted[actual != 255])
        everything = np.concatenate([255 - mask.sum(-1, keepdims=True, dtype=int), mask], axis=-1)
        sure = np.take_along_axis(everything, arrays["smooth", "labels"][t][..., None].astype(int),
                                  axis=-1)[..., 0]  # fmt: skip
        np.testing.assert_array_equal(read_labels(folder / "confidence" / f"{name}.png"), sure)
        assert (actual[sure < 0.8 * 255] == 255).all()
        assert sample["trusted"] == (actual != 255).sum()
        assert sample["time_s"] == pytest.approx(t / 24, abs=1e-6)
        picture = read_labels(folder / "images" / f"{name}.png")
        np.testing.assert_array_equal(picture, arrays["ingest", "frames"][t])
        soft = np.load(folder / "soft" / f"{name}.npz")
        np.testing.assert_array_equal(soft["soft"], mask)
        np.testing.assert_array_equal(soft["classes"], IDS[1:])
        trusted += (actual != 255).sum()
    assert trusted == sum(entry["trusted"] for entry in text["statistics"].values())


def test_trusted_labels_are_right_more_often(library, arrays):
    truth = np.load(library / "truth.npy")
    folder, _ = left(library)
    actual = np.stack([read_labels(path) for path in sorted((folder / "labels").iterdir())])
    stabilised = IDS[arrays["smooth", "labels"]]
    kept = actual != 255
    assert kept.mean() > 0.7
    assert (actual != truth)[kept].mean() < 0.5 * (stabilised != truth).mean()


def test_the_best_share_of_a_class_is_kept_and_thresholds_are_its_own(library):
    run(library, "a", out="best", support=0, least_seen=0, passes_agree=False, sure=0,
        keep_of={3: 0.3}, sure_of={7: 0.9})  # fmt: skip
    folder, text = left(library, out="best")
    counts = text["statistics"]
    assert counts["0"]["trusted"] == counts["0"]["pixels"]
    assert counts["7"]["least_sure"] == pytest.approx(0.9, abs=1 / 255)
    for label, entry in counts.items():
        kept, dropped = [], []
        for name in (f"{t:05d}.png" for t in range(FRAMES)):
            labels = read_labels(folder / "labels" / name)
            sure = read_labels(folder / "confidence" / name)
            kept.extend(sure[labels == int(label)])
            dropped.extend(sure[labels == 255])
        assert min(kept) >= round(entry["least_sure"] * 255)
        assert len(kept) == entry["trusted"]
    wanted = math.ceil(0.3 * counts["3"]["pixels"])
    assert wanted <= counts["3"]["trusted"] < counts["3"]["pixels"]


@pytest.mark.parametrize(
    "fields",
    [
        {"sample": "every", "every": 4},
        {"sample": "motion", "motion": 3.0},
        {"sample": "diversity", "count": 5},
    ],
)
def test_frames_are_sampled_and_two_runs_give_the_same_bytes(library, fields):
    for out, chunk in (("one", 8), ("two", 3)):
        run(library, "a", out=out, chunk=chunk, keep=0.6, soft=True, **fields)
    (first, text), (second, _) = left(library, out="one"), left(library, out="two")
    assert files(first) == files(second)
    frames = [sample["frame"] for sample in text["samples"]]
    assert frames == sorted(set(frames))
    if fields["sample"] == "every":
        assert frames == [0, 4, 8, 12]
    elif fields["sample"] == "motion":
        assert {0, CUT} <= set(frames)
        assert len(frames) < FRAMES
    else:
        assert len(frames) == 5
        assert {t < CUT for t in frames} == {True, False}


def test_a_clip_of_which_nothing_is_trusted_says_so_and_is_left_out(tmp_path, capsys):
    write_clip(tmp_path, "a", 3)
    _unsure(tmp_path)
    run(tmp_path, "a", sure=1.0)
    folder, text = left(tmp_path)
    assert text["warnings"][0].startswith("no pixel is trusted")
    assert all((read_labels(p) == 255).all() for p in (folder / "labels").iterdir())
    (tmp_path / "out" / "run.json").write_text('{"clips": {"a": {}}}')
    status = main(["labels", str(tmp_path / "out"), "--to", str(tmp_path / "set")])
    assert status == 2
    assert "a: no pixel is trusted" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def _unsure(root):
    """Make the clip's masks soft ones that are nowhere certain."""
    for t in range(3):
        np.save(root / "masks" / "a" / f"{t:05d}.npy", np.full((1, *SIZE), 0.5, np.float32))
        (root / "masks" / "a" / f"{t:05d}.png").unlink()


def test_a_class_that_does_not_occur_in_the_frames_chosen_is_counted_and_named(tmp_path):
    write_clip(tmp_path, "a", 4)
    for t, path in enumerate(sorted((tmp_path / "masks" / "a").iterdir())):
        labels = np.zeros(SIZE, np.uint16)
        labels[10:40, 20:60] = 3
        if t == 3:
            labels[44:60, 60:90] = 7
        write_indexed_png(path, labels)
    run(tmp_path, "a", every=9)
    _, text = left(tmp_path)
    assert text["statistics"]["7"]["trusted"] == 0
    assert any(warning.startswith("class 7") for warning in text["warnings"])


def test_a_class_called_255_is_refused_before_anything_is_read(tmp_path):
    clip = Clip("a", {"footage": tmp_path})
    with pytest.raises(InputError, match="class 255: expected other labels"):
        PseudoLabels(enabled=True).run(clip, {"classes": [3, 255]}, None, tmp_path)


def test_an_interrupted_clip_leaves_what_was_there_or_nothing(library, tmp_path, monkeypatch):
    write_clip(tmp_path, "a", 3)
    kept, calls = PseudoLabelFolder.write, []

    def dies(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("the disk has gone")
        kept(self, *arguments)

    monkeypatch.setattr(PseudoLabelFolder, "write", dies)
    assert "the disk has gone" in run(tmp_path, "a")[0]
    names = {path.name for path in (tmp_path / "out" / "a").iterdir()}
    assert not {"pseudo_labels", ".draft-pseudo_labels", ".pseudo_labels.json"} & names
    monkeypatch.undo()
    assert run(tmp_path, "a") == []
    assert len(left(tmp_path)[1]["samples"]) == 3


@pytest.mark.parametrize(("killed_at", "left"), [(1, 1), (2, None), (3, 2)])
def test_killed_while_old_labels_are_replaced_they_are_whole_or_absent(
    tmp_path, monkeypatch, killed_at, left
):
    label_file = tmp_path / "pseudo_labels" / "labels" / "00000.png"

    def write(value):
        values = np.full((2, 2), value, np.uint8)
        with PseudoLabelFolder(tmp_path, suffix=".png", quality=95) as folder:
            folder.write("00000", np.zeros((2, 2, 3), np.uint8), values, values)

    write(1)
    steps, rename, remove = [], Path.rename, shutil.rmtree

    def step(act, *arguments, **named):
        if act is rename or arguments[0].exists():
            steps.append(act)
            if len(steps) == killed_at:
                raise KeyboardInterrupt
        return act(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *paths: step(rename, *paths))
        patched.setattr(shutil, "rmtree", lambda *paths, **named: step(remove, *paths, **named))
        with pytest.raises(KeyboardInterrupt):
            write(2)
    assert (int(read_labels(label_file)[0, 0]) if label_file.exists() else None) == left
    assert (tmp_path / "pseudo_labels" / "clip.json").exists() == (left is not None)
    write(3)
    assert read_labels(label_file)[0, 0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["pseudo_labels"]


def test_switched_off_there_is_no_such_step():
    steps, _ = build_steps({}, "test")
    assert "pseudo_labels" not in [step.name for step in steps]
    assert "report" in [s.name for s in build_steps({"report": {"enabled": False}}, "test")[0]]
