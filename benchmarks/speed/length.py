"""Memory of clips of very different length: it must not grow with the number of frames.

    python benchmarks/speed/length.py FRAMES MASKS [--frames 100 3000 100000] [--width 128]

FRAMES and MASKS are folders of one sequence's frames and labels. They are repeated, shrunk so that
the many frames take minutes and not hours, into a video and a mask video. Memory is counted as in
speed.py; the driver's by itself, too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
from speed import INTERVAL_S, memory_of, proportional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stages.media.footage.ffmpeg import ffmpeg_path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, metavar="FRAMES")
    parser.add_argument("masks", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 3000, 100_000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print("| frames | s | frames/s | all processes, MB | driver, MB | masks written |")
    print("|---|---|---|---|---|---|")
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as scratch:
            print(row(options, frames, Path(scratch)), flush=True)


def row(options: argparse.Namespace, frames: int, scratch: Path) -> str:
    """Return the table's row of a clip of `frames` frames."""
    pictures, masks, out = scratch / "footage", scratch / "masks", scratch / "out"
    repeat(options.pictures, pictures, frames, f"scale={options.width}:-2", "libx264", ".mp4")
    nearest = f"scale={options.width}:-2:flags=neighbor,format=gray"
    repeat(options.masks, masks, frames, nearest, "ffv1", ".mkv")
    command = [
        sys.executable, str(ROOT / "run_pipeline.py"), str(pictures), "--masks", str(masks),
        "--out", str(out), "--workers", str(options.workers), "--set", "segment.union=true",
    ]  # fmt: skip
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    everything, driver = watched(child, memory_of), watched(child, proportional)
    if child.wait():
        raise SystemExit(f"{' '.join(command)}: exit status {child.returncode}")
    seconds = time.monotonic() - began
    with av.open(str(out / "clip" / "masks.mkv")) as video:
        written = sum(packet.size > 0 for packet in video.demux(video=0))
    return (
        f"| {frames} | {seconds:.0f} | {frames / seconds:.1f} | {everything() / 1e6:.0f} "
        f"| {driver() / 1e6:.0f} | {written} |"
    )


def repeat(files: Path, to: Path, frames: int, scale: str, codec: str, suffix: str) -> None:
    """Write a video that shows a folder's files over and over."""
    to.mkdir()
    first = min(path for path in files.iterdir() if path.stem.isdigit())
    pattern = files / f"%0{len(first.stem)}d{first.suffix}"
    subprocess.run(
        [
            ffmpeg_path(), "-v", "error", "-stream_loop", "-1", "-framerate", "24",
            "-i", str(pattern), "-frames:v", str(frames), "-vf", scale, "-c:v", codec,
            str(to / f"clip{suffix}"),
        ],
        check=True,
    )  # fmt: skip


def watched(child: subprocess.Popen[bytes], measure: Callable[[int], int]) -> Callable[[], int]:
    """Return what gives the most that `measure` says of a child while it runs, bytes."""
    most = [0]

    def watch() -> None:
        while child.poll() is None:
            most[0] = max(most[0], measure(child.pid))
            time.sleep(INTERVAL_S)

    thread = threading.Thread(target=watch)
    thread.start()

    def highest_use() -> int:
        thread.join()
        return most[0]

    return highest_use


if __name__ == "__main__":
    main()
