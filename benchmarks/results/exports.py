"""Formats with alpha, read back by another program: frames, times, pixels; and how fast they are.

    python -m benchmarks.results.exports VIDEO … [--frames 60] [--speed]

Each video gets a soft disc as its mask, is written in parts of 17 frames with its sound, and
decoded by the FFmpeg program (not by the library that wrote it). PSNR is that of the picture on
white against the same of the source, and of the alpha. `--speed` writes 1080p with masks of 480
lines, as a run does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Clip
from stages.export import Export
from stages.media.footage.ffmpeg import ffmpeg_path
from stages.media.footage.timeline import Timeline, probe
from stages.media.footage.video import read_frames
from stages.media.results.registry import build_results
from stages.media.results.result import ResultClip, ResultFrame, select_frames
from stages.media.results.settings import ResultSettings

PART = 17
SPEED = (("prores", "exr"), ("png",), ("matte",), ("exr",), ("prores",), ("webm",))
FILES = {
    "prores": "prores.mov", "webm": "webm.webm", "rgba": "rgba/%05d.png", "tiff": "tiff/%05d.tif",
}  # fmt: skip


def disc(size: tuple[int, int], t: int) -> NDArray[np.float32]:
    """Return a soft disc (H, W, 1) that moves."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(x - size[1] * (0.3 + 0.005 * t), y - size[0] / 2)
    soft = np.clip((min(size) * 0.3 - away) / 6, 0, 1)
    return np.asarray(soft[..., None], np.float32)


def write(clip: ResultClip, name: str, folder: Path) -> None:
    """Write a format of a clip in parts, as the export does."""
    (result,) = build_results(clip, ResultSettings(formats=(name,)))
    line, parts = clip.timeline, []
    writer: Any = None
    for t, picture in enumerate(islice(read_frames(clip.source, line), line.frames)):
        if t % PART == 0:
            if writer is not None:
                writer.close()
            parts.append(folder / f".part-{t}")
            parts[-1].mkdir(parents=True)
            writer = result.part(parts[-1])
        alpha = disc(line.size, t)
        labels = (alpha[..., 0] > 0.5).astype(np.uint16)
        frame = ResultFrame(t, t, Fraction(0), labels, picture, partial(np.asarray, alpha))
        writer.write(frame)
    writer.close()
    result.join(parts, folder)
    for part in parts:
        shutil.rmtree(part)


def decode(path: Path, name: str, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield frames (H, W, 4) that the FFmpeg program decodes."""
    decoder = ["-c:v", "libvpx-vp9"] if name == "webm" else []
    command = [
        ffmpeg_path(), "-v", "error", *decoder, "-i", str(path), "-map", "0:v",
        "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "-",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while data := child.stdout.read(size[0] * size[1] * 4):
            yield np.frombuffer(data, np.uint8).reshape(*size, 4)


def times(path: Path) -> list[Fraction]:
    """Return the seconds at which frames of a video are shown."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(p.pts * p.time_base for p in container.demux(stream) if p.pts is not None)


def psnr(error: float) -> float:
    """Return the ratio in dB of a mean squared error in grey levels."""
    return 99.0 if error < 1e-9 else float(10 * np.log10(255**2 / error))


def compare(video: Path, name: str, frames: int, folder: Path) -> str:
    """Return a row of the table."""
    whole = probe(video)
    line = select_frames(whole, 0, min(frames, whole.frames))
    clip = ResultClip(video.stem, video, line, {1: "disc"})
    write(clip, name, folder)
    path = folder / FILES[name]
    sources = islice(read_frames(video, line), line.frames)
    colour, alpha, count = 0.0, 0.0, 0
    for t, (decoded, picture) in enumerate(
        zip(decode(path, name, line.size), sources, strict=True)
    ):
        soft = disc(line.size, t)
        shown = decoded[..., 3:] / np.float32(255)
        mixed = decoded[..., :3] * shown + 255 * (1 - shown)
        colour += float(((mixed - (picture * soft + 255 * (1 - soft))) ** 2).mean())
        alpha += float(((decoded[..., 3] - 255 * soft[..., 0]) ** 2).mean())
        count += 1
    late = "-"
    if path.suffix in (".mov", ".webm"):
        base = Fraction(*line.time_base)
        wanted = [(pts - line.origin) * base for pts in line.pts]
        late = f"{1000 * float(max(map(abs, map(Fraction.__sub__, times(path), wanted)))):.2f}"
    with av.open(str(path)) as container:
        sounds = len(container.streams.audio)
    return (
        f"| {video.name} | {name} | {count} of {line.frames} | {late} | {psnr(colour / count):.1f} "
        f"| {psnr(alpha / count):.1f} | {sounds} |"
    )


def speed(names: Sequence[str], frames: int, folder: Path) -> None:
    """Print the processor's time for a frame of 1080p, and the frames per second of two cores."""
    import skimage.data

    size, small = (1080, 1920), (480, 853)
    photograph = cv2.resize(skimage.data.coffee(), size[::-1], interpolation=cv2.INTER_CUBIC)
    video = folder / "source.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size[::-1], "yuv420p"
        for t in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(photograph, 2 * t, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    line: Timeline = probe(video)
    facts = {
        "size": list(small), "source_size": list(size), "timeline": line.to_json(),
        "parts": [[0, frames]], "classes": [1], "shots": [[0, frames]], "hard_masks": True,
        "source_masks": "",
    }  # fmt: skip

    masks = [disc(small, t) for t in range(frames)]
    stored = {
        "smooth.masks": [(255 * mask).astype(np.uint8) for mask in masks],
        "smooth.labels": [(mask[..., 0] > 0.5).astype(np.uint8) for mask in masks],
        "ingest.frames": list(read_frames(video, line, size=small)),
    }

    def read(array: Any, only: object = None) -> Iterator[NDArray[Any]]:
        return iter(stored[str(array)])

    export = Export(formats=tuple(names))
    cv2.setNumThreads(1)
    clip = Clip("speed", {"footage": video})
    (folder / "warm").mkdir()
    export.write(clip, facts, (0, frames), read, folder / "warm")  # compiles what is compiled
    (folder / "part").mkdir()
    began = sum(os.times()[:4])  # of the processor, decoders included
    export.write(clip, facts, (0, frames), read, folder / "part")
    took = sum(os.times()[:4]) - began
    print(f"| {' + '.join(names)} | {took / frames:.3f} | {2 * frames / took:.1f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    if options.videos:
        print(
            "| video | format | frames | worst time, ms | PSNR on white | PSNR of alpha | sounds |"
        )
        print("|---|---|---|---|---|---|---|")
    for video in options.videos:
        for name in FILES:
            with TemporaryDirectory() as folder:
                print(compare(video, name, options.frames, Path(folder)), flush=True)
    if options.speed:
        print("| formats, 1080p | CPU s a frame | frames/s of two cores |\n|---|---|---|")
        for names in SPEED:
            with TemporaryDirectory() as folder:
                speed(names, options.frames, Path(folder))


if __name__ == "__main__":
    main()
