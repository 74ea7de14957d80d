"""A small plan of numbers: what the engine does with it, it does with video."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.errors import InputError, LostError
from pipeline.stage import ArrayHandle, Clip, Input, PartedSink, Sink, Source, Stage


class Numbers(Source):
    """One number a line of a text file; an empty line is a cut."""

    name: ClassVar[str] = "numbers"
    version: ClassVar[int] = 1
    reads: ClassVar[str] = "text"

    def identity(self, clip):
        return clip.files["text"].read_text()

    def run(self, clip, facts, part, emit):
        shots, values = [], []
        for part in clip.files["text"].read_text().split("\n\n"):
            some = [float(line) for line in part.split()]
            shots.append([len(values), len(values) + len(some)])
            values += some
        if not values:
            raise InputError(f"{clip.files['text']}: no number")
        for k in range(0, len(values), 3):
            emit({"x": np.array(values[k : k + 3])[:, None]})
        return {"frames": len(values), "shots": shots, "colour": "red"}


class Mean(Stage):
    """Mean over neighbours."""

    name: ClassVar[str] = "mean"
    version: ClassVar[int] = 1

    reach: int = Field(2, ge=0)
    scale: float = 1.0

    def inputs(self, facts):
        return (Input("numbers", "x", self.reach),)

    def run(self, window):
        x = window["numbers.x"]
        out = []
        for t in window.frames:
            near = range(max(t - self.reach, x.start), min(t + self.reach + 1, x.stop))
            out.append(self.scale * sum(x[j] for j in near) / len(near))
        if any(value[0] == 666 for value in x.array):
            raise ValueError("the number of the beast")
        return {"y": np.stack(out)}


class Difference(Stage):
    """Difference to the next value."""

    name: ClassVar[str] = "difference"
    version: ClassVar[int] = 1

    step: int = 1

    def inputs(self, facts):
        return (Input("mean", "y", self.step),)

    def run(self, window):
        y = window["mean.y"]
        return {"d": np.stack([y[min(t + self.step, y.stop - 1)] - y[t] for t in window.frames])}


class Page(Sink):
    """All values on a page."""

    name: ClassVar[str] = "page"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("colour",)

    def inputs(self, facts):
        return (Input("difference", "d"),)

    def run(self, clip, facts, read, folder):
        lines = [repr(value.tolist()) for value in read(ArrayHandle("difference", "d"))]
        (folder / "page.txt").write_text("\n".join([facts["colour"], *lines]))
        return ["page.txt"]


class Some(Sink):
    """Some of the numbers."""

    name: ClassVar[str] = "some"
    version: ClassVar[int] = 1

    frames: tuple[int, ...] = ()

    def inputs(self, facts):
        return (Input("numbers", "x"),)

    def run(self, clip, facts, read, folder):
        values = [float(value[0]) for value in read(ArrayHandle("numbers", "x"), self.frames)]
        (folder / "some.txt").write_text(repr(values))
        return ["some.txt"]


class Book(PartedSink):
    """All values, a leaf for every eight, bound together."""

    name: ClassVar[str] = "book"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("frames",)

    def inputs(self, facts):
        return (Input("difference", "d"),)

    def parts(self, facts):
        return list(pairwise([*range(0, facts["frames"], 8), facts["frames"]]))

    def write(self, clip, facts, part, read, folder):
        lines = [f"{float(value[0])!r}\n" for value in read(ArrayHandle("difference", "d"))]
        assert len(lines) == part[1] - part[0]
        (folder / "leaf.txt").write_text("".join(lines))
        with (clip.files["text"].parent / "written.log").open("a") as log:
            log.write(f"{part[0]}\n")

    def join(self, clip, facts, parts, folder):
        if (clip.files["text"].parent / "no binding").exists():
            raise OSError("no binding")
        (folder / "book.txt").write_text("".join((p / "leaf.txt").read_text() for p in parts))
        return ["book.txt"]


STEPS = (Numbers(), Mean(), Difference(), Page())


def clip_of(folder, name, text):
    path = folder / f"{name}.txt"
    path.write_text(text)
    return Clip(name, {"text": path})


def numbers(count, seed=0):
    return "\n".join(map(str, np.random.default_rng(seed).integers(0, 100, count)))


class Parted(Numbers):
    """The same, a part at a time; one shot."""

    version: ClassVar[int] = 2

    edges: tuple[int, ...]

    def parts(self, facts):
        return list(pairwise(self.edges))

    def run(self, clip, facts, part, emit):
        values = [float(line) for line in clip.files["text"].read_text().split()]
        emit({"x": np.array(values[part[0] : part[1]])[:, None]})
        return {"frames": part[1] - part[0]}

    def conclude(self, part_facts):
        total = sum(facts["frames"] for facts in part_facts)
        return {"frames": total, "shots": [[0, total]], "colour": "red"}


class Trap(Mean):
    """The same, but what the file `trap` of the clip says happens first: once, or always."""

    version: ClassVar[int] = 3

    folder: str
    always: bool = False

    def run(self, window):
        marker = Path(self.folder, f"sprung-{window.start}")
        trap = Path(self.folder, "trap")
        if trap.exists() and (self.always or not marker.exists()):
            marker.write_text(str(os.getpid()))
            what = trap.read_text()
            if what == "abort":
                os.abort()
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "lose":
                raise LostError("GPU 0 does not answer")
            if what == "hang":
                time.sleep(600)
        Path(self.folder, f"by-{window.start}").write_text(str(os.getpid()))
        time.sleep(0.3)
        return super().run(window)
