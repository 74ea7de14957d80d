"""Damaged and crafted inputs in one library: no crash, no hang, each told, the good ones done.

    python benchmarks/endurance/hostile.py [--count 300] [--seed 0] [--executor inline|ray]
        [--terminal]

Makes videos, folders of frames, masks and presets; changes bits, lengths, parts and numbers of them
or writes headers that lie; runs the command on all of it and on the good clips alone. With
``--terminal`` every command is typed into an interactive shell under a pseudo-terminal. Prints a
Markdown table; the exit status is 1 if anything was lost, and every such input is named.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support import hostile_files  # noqa: E402 (the project is beside this folder)
from tests.support.small_library import write_clip  # noqa: E402
from tests.support.terminal_session import TerminalSession  # noqa: E402

COMMAND = [sys.executable, str(ROOT / "run_pipeline.py")]
GOOD = ("good-1", "good-2", "good-3")
FRAMES, SIZE = 6, (48, 64)
LIMIT_S, PRESET_LIMIT_S = 7200, 120
SHARES = {"video": 0.5, "frames": 0.15, "masks": 0.2, "preset": 0.15}
CODECS = {"mp4": "libx264", "mkv": "mpeg4", "avi": "mpeg4", "ts": "mpeg2video", "mov": "rawvideo"}
# A reason that is only the name of an exception says neither where nor what to do.
UNEXPLAINED = re.compile(r"^\w+(, frames \d+-\d+)?: \w*(Error|Exception|Exit|Interrupt)\b")

Mutation = Callable[[bytes, np.random.Generator], bytes]


def main() -> int:
    """Make, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=("inline", "ray"), default="inline")
    parser.add_argument("--terminal", action="store_true", help="type the commands")
    parser.add_argument("--keep", type=Path, help="folder to leave everything in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work_folder = options.keep or Path(scratch)
        work_folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(options.seed)
        kinds = {kind: round(share * options.count) for kind, share in SHARES.items()}
        kinds["video"] += options.count - sum(kinds.values())
        clips = make_library(work_folder, rng, kinds)
        outcomes, lost, seconds = run_library(
            work_folder, clips, options.executor, options.terminal
        )
        some, wrong = run_presets(work_folder, rng, kinds["preset"], options.terminal)
        lost += wrong
    print_table(outcomes | {"preset": some})
    good = sum("good" in name for name in lost)
    print(
        f"\n{len(GOOD) - good} of {len(GOOD)} good clips as in a run of their own; {seconds:.0f} s"
    )
    for why in lost:
        print(f"lost: {why}")
    return 1 if lost else 0


def make_library(
    work_folder: Path, rng: np.random.Generator, kinds: dict[str, int]
) -> dict[str, str]:
    """Write footage and masks; return the kind of every hostile clip by name."""
    write_clip(work_folder, GOOD[0], FRAMES, SIZE)
    write_clip(work_folder, GOOD[1], FRAMES, SIZE)
    masks = work_folder / "masks" / GOOD[0]
    bases = work_folder / "bases"
    bases.mkdir()
    videos = {
        suffix: hostile_files.video(
            bases / f"a.{suffix}", codec, FRAMES, SIZE, sound=suffix in ("mov", "avi")
        )
        for suffix, codec in CODECS.items()
    }
    shutil.copy(videos["mp4"], work_folder / "footage" / f"{GOOD[2]}.mp4")
    shutil.copytree(masks, work_folder / "masks" / GOOD[2])
    clips: dict[str, str] = {}
    for name, content in hostile_videos(videos, rng, kinds["video"]):
        (work_folder / "footage" / name).write_bytes(content)
        clips[Path(name).stem] = "video"
        shutil.copytree(masks, work_folder / "masks" / Path(name).stem)
    for k in range(kinds["frames"]):
        name, folder = f"frames-{k}", work_folder / "footage" / f"frames-{k}"
        shutil.copytree(work_folder / "footage" / GOOD[0], folder)
        spoil_frames(folder, rng, k)
        clips[name] = "frames"
        shutil.copytree(masks, work_folder / "masks" / name)
    for k in range(kinds["masks"]):
        name = f"masks-{k}"
        shutil.copytree(work_folder / "footage" / GOOD[0], work_folder / "footage" / name)
        write_masks(work_folder / "masks" / name, masks, rng, k)
        clips[name] = "masks"
    return clips


def hostile_videos(
    videos: dict[str, Path], rng: np.random.Generator, count: int
) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: first those that lie, then damaged ones."""
    mov, mp4 = videos["mov"].read_bytes(), videos["mp4"].read_bytes()
    target = videos["mp4"]
    lies = [
        hostile_files.huge_y4m(),
        hostile_files.huge_y4m(9000, 9000),
        hostile_files.huge_y4m(10, 20000),
        hostile_files.huge_y4m(8000, 8000),
        hostile_files.huge_gif(),
        hostile_files.huge_gif(8000),
        hostile_files.many_frames(mov),
        hostile_files.many_frames(mov, 4_000_000),
        hostile_files.long_frames(mov),
        hostile_files.with_reference(mov, target),
        hostile_files.patched(mov, b"mdhd", (12, 0)),
        hostile_files.patched(mov, b"stts", (12, 0)),
        hostile_files.patched(mov, b"stts", (12, 0xFFFFFFFF)),
        hostile_files.patched(mov, b"raw ", (24, 0xFFFFFFFF)),
        hostile_files.patched(mp4, b"avc1", (24, 0xFFFFFFFF)),
        *(hostile_files.playlist(kind, f"file:{target}") for kind in hostile_files.PLAYLISTS),
        *(hostile_files.playlist(kind, "http://127.0.0.1:9/x") for kind in ("m3u8", "ffconcat")),
        b"",
        b"\0" * 4096,
        bytes(rng.bytes(4096)),
    ]
    for k, content in enumerate(lies[:count]):
        yield f"lie-{k}.mp4", content
    ways, suffixes = list(hostile_files.MUTATIONS.values()), list(videos)
    for k in range(max(count - len(lies), 0)):
        suffix = suffixes[k % len(suffixes)]
        way: Mutation = ways[k // len(suffixes) % len(ways)]
        yield f"damaged-{k}.{suffix}", way(videos[suffix].read_bytes(), rng)


def spoil_frames(folder: Path, rng: np.random.Generator, k: int) -> None:
    """Damage one or all frames of a clip."""
    lies = [
        hostile_files.png(100_000, 100_000, 4),
        hostile_files.png(9000, 9000),
        hostile_files.png(*SIZE, extra=hostile_files.text_bomb(64)),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\nshowpage\n",
    ]
    files = sorted(folder.iterdir())
    chosen = files if k % 2 else files[1:2]
    ways = list(hostile_files.MUTATIONS.values())
    for file in chosen:
        whole = file.read_bytes()
        file.write_bytes(lies[k] if k < len(lies) else ways[k % len(ways)](whole, rng))


def write_masks(folder: Path, good: Path, rng: np.random.Generator, k: int) -> None:
    """Write damaged masks of one of the formats."""
    from stages.media.masks.folder import read_png

    lies = mask_lies()
    if k < len(lies):
        suffix, content = lies[k]
        folder.with_suffix(suffix).write_bytes(content)
        return
    labels = np.stack([read_png(path).values for path in sorted(good.iterdir())])
    way: Mutation = list(hostile_files.MUTATIONS.values())[k // 5 % len(hostile_files.MUTATIONS)]
    if k % 5 in (0, 1):
        shutil.copytree(good, folder)
        for file in sorted(folder.iterdir())[: 1 if k % 5 else None]:
            file.write_bytes(way(file.read_bytes(), rng))
        return
    path = folder.with_suffix((".npy", ".npz", ".json")[k % 5 - 2])
    if path.suffix == ".json":
        from tests.support.mask_samples import rle

        shapes = [{"segmentations": [rle(frame > 0) for frame in labels]}]
        path.write_text(json.dumps({"videos": [{}], "annotations": shapes}))
    elif path.suffix == ".npy":
        np.save(path, labels)
    else:
        np.savez_compressed(path, labels)
    path.write_bytes(way(path.read_bytes(), rng))


def mask_lies() -> list[tuple[str, bytes]]:
    """Return suffixes and contents of masks for the whole clip that lie about what they are."""
    far = [[0, 0, 1e9, 0, 1e9, 1e9]]  # pycocotools crashes at it
    runs = {"size": list(SIZE), "counts": "PPPPo"}
    shapes = [
        {"videos": [{}], "annotations": [{"segmentations": [x] * FRAMES}]} for x in (far, runs)
    ]
    return [
        *((".json", json.dumps(shape).encode()) for shape in shapes),
        (".json", b"[" * 100_000),
        (".npy", hostile_files.npy_header((FRAMES, *SIZE), "|O") + bytes(9999)),
        (".npy", hostile_files.npy_header((2**40, *SIZE))),
        (".npz", hostile_files.npz_bomb((FRAMES, 2**16, *SIZE), stored=2**28)),
        (".npz", hostile_files.npz_bomb((FRAMES, *SIZE), "<U99", stored=99)),
        (".mp4", hostile_files.playlist("m3u8", "http://127.0.0.1:9/x")),
        (".mp4", hostile_files.huge_y4m()),
    ]


def run_library(
    work_folder: Path, clips: dict[str, str], executor: str, terminal: bool
) -> tuple[dict[str, Counter[str]], list[str], float]:
    """Run good clips alone, then all; return what became of each kind, what was lost, seconds."""
    alone = work_folder / "alone"
    for part in ("footage", "masks"):
        (alone / part).mkdir(parents=True)
        for path in (work_folder / part).iterdir():
            if path.stem in GOOD:
                (shutil.copytree if path.is_dir() else shutil.copy)(path, alone / part / path.name)
    lost = []
    status, messages, _ = command(alone, executor, terminal)
    if status:
        lost.append(f"good clips alone: exit status {status}: {messages[-500:]}")
    began = time.monotonic()
    status, messages, shown = command(work_folder, executor, terminal)
    seconds = time.monotonic() - began
    if status not in (0, 1) or "Traceback" in messages + shown:
        return {}, [*lost, f"the run: exit status {status}: {messages[-2000:]}"], seconds
    run = json.loads((work_folder / "out" / "run.json").read_text())
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in dict.fromkeys(clips.values())}
    for name, kind in clips.items():
        state = state_of(work_folder / "out", name, run)
        outcomes[kind][state] += 1
        if state == "lost":
            lost.append(f"{name}: {run['failures'].get(name, 'neither done nor failed')}")
    lost += [name for name in GOOD if not alike(alone / "out" / name, work_folder / "out" / name)]
    return outcomes, lost, seconds


def command(work_folder: Path, executor: str, terminal: bool) -> tuple[int, str, str]:
    """Run the command on a library; return its status and what it said."""
    arguments = [
        *COMMAND,
        *(
            str(work_folder / "footage"),
            "--masks",
            str(work_folder / "masks"),
            "--out",
            str(work_folder / "out"),
        ),
        *("--executor", executor, "--workers", "2"),
    ]
    if terminal:
        with TerminalSession(work_folder) as session:
            return typed_command(session, arguments, LIMIT_S)
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"not done after {LIMIT_S} s", ""
    return done.returncode, done.stderr, done.stdout


def typed_command(
    session: TerminalSession, arguments: list[str], limit_s: float
) -> tuple[int, str, str]:
    """Type a command; return its status and all it said, as of standard error."""
    try:
        status, shown = session.run(shlex.join(arguments), limit_s)
    except AssertionError as error:
        return -1, str(error), ""
    told = re.search(r"^\r?(error: .*)", shown, re.MULTILINE | re.DOTALL)  # after what was typed
    return status, told[1] if told else shown, ""


def state_of(out: Path, name: str, run: dict[str, dict[str, str]]) -> str:
    """Return whether a clip was refused with a reason, or done with a mask for every frame."""
    why = run["failures"].get(name)
    if why is not None:
        return "lost" if UNEXPLAINED.match(why) or not name_in(why, name) else "refused"
    metrics = out / name / "metrics.json"
    if not metrics.exists():
        return "lost"
    frames = json.loads(metrics.read_text())["frames"]
    masks = len(list((out / name / "masks").iterdir()))
    return "done" if masks == frames else "lost"


def name_in(why: str, name: str) -> bool:
    """Return whether a reason says which file it is about."""
    return f"{name}." in why or f"{name}/" in why or f"{name}:" in why


def alike(first: Path, other: Path) -> bool:
    """Return whether the masks of a clip are the same, byte for byte."""
    names = [path.name for path in sorted((first / "masks").glob("*"))]
    same, _, _ = filecmp.cmpfiles(first / "masks", other / "masks", names, shallow=False)
    return len(same) == len(names) > 0


def run_presets(
    work_folder: Path, rng: np.random.Generator, count: int, terminal: bool
) -> tuple[Counter[str], list[str]]:
    """Give damaged presets to the command; return what became of them, and what was lost."""
    folder = work_folder / "presets"
    folder.mkdir()
    whole = subprocess.run(
        [*COMMAND, "--print-config"], capture_output=True, check=True
    ).stdout  # every setting there is
    bombs = [f"{chr(98 + k)}: &{chr(98 + k)} [{f'*{chr(97 + k)},' * 9}]\n" for k in range(20)]
    lies = [
        ("a: &a [x]\n" + "".join(bombs)).encode(),
        b"flow: !!python/object/apply:os.system ['true']\n",
        b"flow: " + b"[" * 9999,
        b"smooth: {eps: " + b"9" * 9999 + b"}",
        b"smooth: {eps: 2026-99-99}",
    ]
    ways = list(hostile_files.MUTATIONS.values())
    for k in range(count):
        content = lies[k] if k < len(lies) else ways[k % len(ways)](whole, rng)
        (folder / f"{k}.yaml").write_bytes(content)
    paths = sorted(folder.iterdir())
    if terminal:
        with TerminalSession(work_folder) as session:
            answers = [preset(path, session) for path in paths]
    else:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(preset, paths))
    lost = [
        f"{path.name}: {messages[-500:]}" for path, state, messages in answers if state == "lost"
    ]
    return Counter(state for _, state, _ in answers), lost


def preset(path: Path, session: TerminalSession | None = None) -> tuple[Path, str, str]:
    """Return what becomes of a preset."""
    arguments = [*COMMAND, "--print-config", "--config", str(path)]
    if session is not None:
        status, messages, _ = typed_command(session, arguments, PRESET_LIMIT_S)
    else:
        try:
            done = subprocess.run(
                arguments, capture_output=True, timeout=PRESET_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return path, "lost", f"not done after {PRESET_LIMIT_S} s"
        status, messages = done.returncode, done.stderr.decode(errors="replace")
    if status == 2 and "Traceback" not in messages and messages.startswith("error: "):
        return path, "refused", messages
    return path, "done" if status == 0 else "lost", messages


def print_table(outcomes: dict[str, Counter[str]]) -> None:
    """Print what became of each kind."""
    print("| inputs | number | refused, with the reason | harmless: done in full | lost |")
    print("|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for kind, states in [*outcomes.items(), ("all", total)]:
        if kind != "all":
            total += states
        cells = (sum(states.values()), *(states[state] for state in ("refused", "done", "lost")))
        print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    sys.exit(main())
