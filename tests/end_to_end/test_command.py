"""The command as a user gives it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.media.masks.palette import read_labels
from tests.stages.media.footage.test_video import write_video
from tests.support.small_library import scene, write_clip

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "run_pipeline.py")]
VOTED = ("--set", "refine.method=vote")  # changes every mask, whatever the default leaves alone


def give(*arguments, cwd=None):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def stabilise(root, *more, out="out", executor="inline"):
    return give(
        root / "footage", "--masks", root / "masks", "--out", root / out,
        "--executor", executor, "--workers", 2, *more,
    )  # fmt: skip


def masks(folder):
    return np.stack([read_labels(path) for path in sorted((folder / "masks").iterdir())])


def stages_of(root, out="out"):
    """Return how much of each stage was computed in the last run."""
    run = json.loads((root / out / "run.json").read_text())
    total = {}
    for clip in run["clips"].values():
        for stage, entry in clip["stages"].items():
            total[stage] = total.get(stage, 0) + entry["computed"]
    return total


def test_one_command_gives_one_mask_per_frame_and_everything_promised(tmp_path):
    truth = np.stack(write_clip(tmp_path, "a", 20))
    write_clip(tmp_path, "deep/b", 9)
    done = stabilise(tmp_path, executor="ray")
    assert done.returncode == 0, done.stderr
    assert "2 clips done, 0 failed" in done.stdout
    out = tmp_path / "out"
    actual = masks(out / "a")
    assert actual.shape == truth.shape
    assert set(np.unique(actual)) == {0, 3, 7}
    masks_in = np.stack([read_labels(p) for p in sorted((tmp_path / "masks" / "a").iterdir())])
    assert (actual != truth).mean() <= (masks_in != truth).mean()
    assert stabilise(tmp_path, *VOTED, out="voted").returncode == 0
    assert (masks(tmp_path / "voted" / "a") != truth).mean() < 0.6 * (masks_in != truth).mean()
    for name, frames in (("masks.mkv", 20), ("overlay.mp4", 20)):
        with av.open(str(out / "a" / name)) as container:
            assert sum(1 for _ in container.decode(video=0)) == frames
    with av.open(str(out / "a" / "masks.mkv")) as container:
        grey = np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])
    np.testing.assert_array_equal(grey, actual)
    run = json.loads((out / "run.json").read_text())
    assert run["state"] == "done"
    assert run["settings"]["refine"]["passes"] == 2
    assert set(json.loads((out / "metrics.json").read_text())["clips"]) == {"a", "deep/b"}


def test_a_plan_before_the_first_run_tells_frames_room_and_time(tmp_path):
    write_clip(tmp_path, "a", 6)
    plan = stabilise(tmp_path, "--plan")
    assert plan.returncode == 0
    assert "6 frames" in plan.stdout
    assert "never computed" in plan.stdout
    assert "to compute: about" in plan.stdout
    assert "not known" not in plan.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"footage", "masks"}


def test_a_second_run_computes_nothing_and_a_setting_only_what_depends_on_it(tmp_path):
    write_clip(tmp_path, "a", 12)
    stabilise(tmp_path, *VOTED)
    stabilise(tmp_path, *VOTED)
    assert sum(stages_of(tmp_path).values()) == 0
    plan = stabilise(tmp_path, "--plan", *VOTED, "--set", "smooth.eps=1e-2")
    assert "smooth.eps: 0.0001 → 0.01" in " ".join(plan.stdout.split())
    stabilise(tmp_path, *VOTED, "--set", "smooth.eps=1e-2")
    computed = {stage for stage, count in stages_of(tmp_path).items() if count}
    assert computed == {"smooth", "measure", "export", "scores", "review", "report"}
    stabilise(tmp_path, *VOTED)
    again = {stage for stage, count in stages_of(tmp_path).items() if count}
    assert again == {"export", "scores", "review", "report"}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_killed_run_is_taken_up_where_it_was(tmp_path, executor):
    for name in ("a", "b", "c"):
        write_clip(tmp_path, name, 24, size=(120, 160))
    arguments = [
        tmp_path / "footage", "--masks", tmp_path / "masks", "--out", tmp_path / "out",
        "--executor", executor, "--set", "engine.chunk=4",
    ]  # fmt: skip
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    objects = tmp_path / "out" / ".store" / "objects"
    while len(list(objects.glob("*/*/manifest.json"))) < 20:
        assert child.poll() is None
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    committed = len(list(objects.glob("*/*/manifest.json")))
    done = give(*arguments)
    assert done.returncode == 0, done.stderr
    sinks = {"export", "scores", "report"}
    total = sum(count for stage, count in stages_of(tmp_path).items() if stage not in sinks)
    assert total <= 3 * (2 + 5 * 6) - committed
    quiet = give(*arguments[:3], "--out", tmp_path / "quiet", "--executor", "inline")
    assert quiet.returncode == 0
    for path in (tmp_path / "quiet").rglob("*"):
        if (
            path.is_file() and path.name in ("masks.mkv", "overlay.mp4", "film.mp4")
        ) or path.suffix == ".png":
            other = tmp_path / "out" / path.relative_to(tmp_path / "quiet")
            assert other.read_bytes() == path.read_bytes()


def test_bad_clips_are_named_and_cost_the_good_one_nothing(tmp_path):
    write_clip(tmp_path, "good", 8)
    footage, mask_folder = tmp_path / "footage", tmp_path / "masks"
    (footage / "zero.mp4").touch()
    (footage / "text.mkv").write_text("no video\n" * 50)
    write_clip(tmp_path, "short", 8)
    (mask_folder / "short" / "00003.png").unlink()
    write_clip(tmp_path, "small", 8)
    cv2.imwrite(str(mask_folder / "small" / "00002.png"), np.zeros((9, 9), np.uint8))
    write_clip(tmp_path, "mixed", 8)
    cv2.imwrite(str(footage / "mixed" / "00004.png"), np.zeros((9, 9, 3), np.uint8))
    write_clip(tmp_path, "alone", 4)
    for path in (mask_folder / "alone").iterdir():
        path.unlink()
    for name in ("zero", "text"):
        (mask_folder / name).mkdir()
        cv2.imwrite(str(mask_folder / name / "0.png"), np.zeros((9, 9), np.uint8))
    done = stabilise(tmp_path)
    assert done.returncode == 1
    failures = json.loads((tmp_path / "out" / "run.json").read_text())["failures"]
    for name, reason in {
        "zero": "zero.mp4: the file is empty",
        "text": "text.mkv: not a readable video",
        "short": "1 of 8 frames has no mask (frame 3)",
        "small": "00002.png: expected 96x64 like the footage, got 9x9",
        "mixed": "00004.png: expected 96x64 like the other frames, got 9x9",
        "alone": "expected masks, got an empty folder",
    }.items():
        assert reason in failures[name], failures[name]
        assert f"failed: {name}: " in done.stdout
    assert set(failures) == {"zero", "text", "short", "small", "mixed", "alone"}
    assert len(masks(tmp_path / "out" / "good")) == 8


def test_odd_clips_work(tmp_path):
    """One frame; a shot shorter than a window; one pixel wide; empty masks; strange names."""
    write_clip(tmp_path, "one frame", 1)
    write_clip(tmp_path, "видео-猫", 5)
    write_clip(tmp_path, "n" * 200, 3)
    for name, size in (("thin", (40, 1)), ("empty", (20, 30))):
        for kind in ("footage", "masks"):
            (tmp_path / kind / name).mkdir()
            for t in range(4):
                array = np.zeros((*size, 3) if kind == "footage" else size, np.uint8)
                if name == "thin":
                    array[10 + t : 30] = 1 if kind == "masks" else 200
                cv2.imwrite(str(tmp_path / kind / name / f"{t}.png"), array)
    done = stabilise(tmp_path)
    assert done.returncode == 0, done.stdout
    for name, frames in (("one frame", 1), ("видео-猫", 5), ("n" * 200, 3), ("thin", 4)):
        assert len(masks(tmp_path / "out" / name)) == frames
    assert masks(tmp_path / "out" / "thin").shape == (4, 40, 1)
    assert not masks(tmp_path / "out" / "empty").any()
    scores = json.loads((tmp_path / "out" / "empty" / "metrics.json").read_text())
    assert scores["output"]["E_cons"] is None
    assert scores["notes"] == ["4 frames have no foreground in their mask"]
    assert [warning["kind"] for warning in scores["warnings"]] == ["empty"]


def test_clips_whose_names_differ_only_in_extension_are_kept_apart(tmp_path):
    for suffix in ("mp4", "mkv"):
        (tmp_path / "footage").mkdir(exist_ok=True)
        write_video(tmp_path / "footage" / f"x.{suffix}", 5)
        folder = tmp_path / "masks" / f"x.{suffix}"
        folder.mkdir(parents=True)
        for t in range(5):
            cv2.imwrite(str(folder / f"{t}.png"), np.eye(48, 64, dtype=np.uint8))
    assert stabilise(tmp_path).returncode == 0
    for suffix in ("mp4", "mkv"):
        assert len(masks(tmp_path / "out" / f"x.{suffix}")) == 5


def test_footage_larger_than_the_working_size_gives_masks_of_its_own_size(tmp_path):
    write_clip(tmp_path, "a", 6, size=(120, 160))
    assert stabilise(tmp_path, "--set", "ingest.short_side=60").returncode == 0
    actual = masks(tmp_path / "out" / "a")
    truth = np.stack([scene(t, (120, 160))[1] for t in range(6)])
    assert actual.shape == truth.shape
    assert (actual != truth).mean() < 0.05


def test_a_frame_that_cannot_be_read_is_told_and_shifts_nothing(tmp_path):
    write_clip(tmp_path, "a", 9)
    (tmp_path / "footage" / "a" / "00004.png").write_bytes(b"broken")
    done = stabilise(tmp_path)
    assert done.returncode == 0
    scores = json.loads((tmp_path / "out" / "a" / "metrics.json").read_text())
    assert scores["holes"] == [4]
    assert len(masks(tmp_path / "out" / "a")) == 9


def test_sound_and_variable_frame_rate_reach_the_overlay(tmp_path, data):
    footage = tmp_path / "kitten.mp4"
    footage.write_bytes((data / "videos" / "kitten-vfr-audio.mp4").read_bytes())
    done = give(
        footage, "--segmenter", "tests.stages.models.segmenters.test_load:bright",
        "--set", "segment.classes=[7]", "--set", "refine.method=none",
        "--set", "smooth.votes=0", "--set", "ingest.short_side=80",
        "--out", tmp_path / "out", "--executor", "inline", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with av.open(str(footage)) as container:
        base = container.streams.video[0].time_base
        wanted = sorted(p.pts * base for p in container.demux(video=0) if p.pts is not None)
    with av.open(str(tmp_path / "out" / "kitten" / "overlay.mp4")) as container:
        assert container.streams.audio
        base = container.streams.video[0].time_base
        actual = sorted(p.pts * base for p in container.demux(video=0) if p.pts is not None)
    assert len(actual) == len(wanted) == 149
    drift = [
        abs(float((a - actual[0]) - (b - wanted[0]))) for a, b in zip(actual, wanted, strict=True)
    ]
    assert max(drift) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "smoth.eps=1"], "no section 'smoth': did you mean 'smooth'?"),
        (["--set", "smooth.epps=1"], "no setting smooth.epps: did you mean 'eps'?"),
        (["--set", "smooth.spatial_kernel=big"], "smooth.spatial_kernel = 'big'"),
        (["--set", "smooth.radius=2"], "set flow.radius alone"),
        (["--config", "none.yaml"], "one of the presets cluster, default, fast"),
        (["--set", "flow.method=rafft"], "did you mean"),
        (["--out", "/proc/nowhere"], "cannot be written"),
    ],
)
def test_what_cannot_start_says_why_and_exits_with_two(tmp_path, arguments, message):
    write_clip(tmp_path, "a", 2)
    done = stabilise(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_library_without_clips_or_masks_says_so(tmp_path):
    (tmp_path / "footage").mkdir()
    (tmp_path / "masks").mkdir()
    assert "found none" in stabilise(tmp_path).stderr
    write_clip(tmp_path / "other", "a", 2)
    done = give(
        tmp_path / "other" / "footage", "--masks", tmp_path / "masks", "--out", tmp_path / "o"
    )
    assert done.returncode == 2
    assert "no masks for any clip" in done.stderr


def test_two_runs_cannot_share_an_output_folder(tmp_path):
    from pipeline.lock import locked

    write_clip(tmp_path, "a", 2)
    with locked(tmp_path / "out"):
        done = stabilise(tmp_path)
    assert done.returncode == 2
    assert f"another run is at work here (pid {os.getpid()}" in done.stderr


def test_settings_are_shown_in_full(tmp_path):
    done = give("--print-config", "--config", "configs/fast.yaml")
    assert done.returncode == 0
    assert "spatial_kernel: 8" in done.stdout
    assert "radius: 1" in done.stdout


def test_inline_does_not_import_ray(tmp_path):
    write_clip(tmp_path, "a", 3)
    code = (
        "import sys; from steadymask.cli.main import main; "
        "s = main(['footage', '--masks', 'masks', '--out', 'out', '--executor', 'inline']); "
        "print('loaded:', sorted({'ray', 'torch', 'ptlflow'} & set(sys.modules)), s)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "loaded: [] 0" in done.stdout


@pytest.mark.slow
def test_the_demo_runs_to_the_end_and_nears_the_truth(tmp_path):
    done = give("--demo", "--out", tmp_path / "demo", "--executor", "inline")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if "against the truth" in line]
    scores = [float(line.partition("J ")[2][:5]) for line in lines]
    assert len(scores) == 4
    assert all(
        after > before + 0.05 for before, after in zip(scores[::2], scores[1::2], strict=True)
    )


def test_failed_clips_alone_are_taken_up_again_and_the_others_stay_in_the_record(tmp_path):
    write_clip(tmp_path, "good", 4)
    write_clip(tmp_path, "bad", 4)
    mask = tmp_path / "masks" / "bad" / "00002.png"
    kept = mask.read_bytes()
    mask.write_bytes(b"not a mask")
    assert stabilise(tmp_path).returncode == 1
    before = json.loads((tmp_path / "out" / "run.json").read_text())
    assert list(before["failures"]) == ["bad"]
    mask.write_bytes(kept)
    done = stabilise(tmp_path, "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert "good: done" not in done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {name for name, clip in run["clips"].items() if clip["done"]} == {"bad", "good"}
    assert set(json.loads((tmp_path / "out" / "metrics.json").read_text())["clips"]) == {
        "bad",
        "good",
    }
    assert len(list((tmp_path / "out" / "report").glob("*.html"))) == 3
    again = stabilise(tmp_path, "--retry-failed")
    assert again.returncode == 0
    assert "2 clips done, 0 failed" in again.stdout


def test_a_store_is_kept_below_its_budget_and_results_stay(tmp_path):
    for name in ("a", "b", "c"):
        write_clip(tmp_path, name, 12)
    assert stabilise(tmp_path, "--store-budget", "3MB").returncode == 0
    listed = give("cache", "ls", tmp_path / "out", "--json")
    assert json.loads(listed.stdout)["bytes"] < 3_500_000
    again = stabilise(tmp_path, "--store-budget", "lots")
    assert again.returncode == 2
    assert "--store-budget: expected a size like" in again.stderr


@pytest.mark.slow
def test_a_long_clip_is_read_and_written_in_parts(tmp_path):
    write_clip(tmp_path, "a", 490, size=(24, 32))
    done = stabilise(tmp_path)
    assert done.returncode == 0, done.stderr
    computed, out = stages_of(tmp_path), tmp_path / "out" / "a"
    assert (computed["ingest"], computed["segment"], computed["export"]) == (2, 2, 3)
    actual = masks(out)
    with av.open(str(out / "masks.mkv")) as video:
        np.testing.assert_array_equal(actual, [f.to_ndarray() for f in video.decode(video=0)])
    with av.open(str(out / "overlay.mp4")) as video:
        times = [frame.pts for frame in video.decode(video=0)]
    assert np.unique(np.diff(times)).size == 1
    assert len(actual) == len(times) == 490
    again = stabilise(tmp_path)
    assert again.returncode == 0
    assert not any(stages_of(tmp_path).values())
