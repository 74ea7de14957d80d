"""The flow that masks are judged with: estimated for every pair, both ways, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.models.flow.load import load_flow
from stages.models.flow.registry import FlowChoice
from stages.ops.visibility import visible
from stages.ops.warp import resize_flow
from steadymask.record import RunRecord

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Link:
    """Flow between two frames, there and back: (2, H, W) pixels, and what each sees: (H, W)."""

    there: NDArray[np.float32]
    back: NDArray[np.float32]
    visible: NDArray[np.bool_]
    visible_back: NDArray[np.bool_]


class Judge(Protocol):
    """What stability is judged with.

    Attributes
    ----------
    radius : int
        Pairs up to so many frames apart.
    """

    @property
    def radius(self) -> int: ...  # noqa: D102 (above)

    def links(self, frames: Iterable[Picture]) -> Iterator[list[Link]]:
        """Yield for each frame the links to the frames 1, 2, … `radius` before it."""


@dataclass(frozen=True)
class KnownFlow:
    """Exact flow between neighbouring frames, as `perturb` writes it.

    Attributes
    ----------
    path : Path
        An ``.npz`` with `forward`, `backward`, `seen` and `seen_back`.
    limit : EstimatedFlow, optional
        Of what the other frame shows, only the pixels that this flow tracks too count: the
        {Ō ∩ O} of "Coherent Loss", eq. 4. None: all of them.
    """

    path: Path
    radius: int = 1
    limit: EstimatedFlow | None = None

    def links(self, frames: Iterable[Picture]) -> Iterator[list[Link]]:
        """Yield for each frame the link to the one before it.

        Raises
        ------
        InputError
            If there is no flow for the clip, or not that of its frames.
        """
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                names = ("backward", "forward", "seen_back", "seen")
                parts = [archive[name] for name in names]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{self.path}: expected flow as perturb writes it ({error})"
            ) from error
        count, before = 0, None
        for t, frame in enumerate(frames):
            count += 1
            earlier, before = before, frame
            if earlier is None:
                yield []
                continue
            if t > len(parts[0]) or parts[0].shape[-2:] != frame.shape[:2]:
                raise InputError(
                    f"{self.path}: expected flow of {count} frames or more of {frame.shape[:2]}, "
                    f"got {len(parts[0]) + 1} of {parts[0].shape[-2:]}"
                )
            link = Link(*(part[t - 1] for part in parts))
            yield [link if self.limit is None else self.limit.tracked_link(link, frame, earlier)]


@dataclass(frozen=True)
class EstimatedFlow:
    """Flow by an estimator.

    Attributes
    ----------
    method : str
        See `stages.models.flow.load.load_flow`.
    scale : float, in (0, 1]
        Share of the frames' size that it works at.
    radius : int
        Pairs up to so many frames apart.
    workers : int
        Pairs at a time; a network takes one after the other.
    weights, device : str
        Of a network: see `stages.models.flow.ptlflow.load_flow_network`.
    """

    method: str
    scale: float = 1.0
    radius: int = 3
    workers: int = 1
    weights: str = ""
    device: str = "cpu"

    def links(self, frames: Iterable[Picture]) -> Iterator[list[Link]]:
        """Yield for each frame the links to the frames 1, 2, … `radius` before it.

        Holds `radius` frames, and works on a frame's links while those of the last are used.
        """
        earlier: deque[Picture] = deque(maxlen=self.radius)
        with ThreadPoolExecutor(self.workers) as pool:
            coming: list[Future[Link]] | None = None
            for frame in frames:
                begun = [pool.submit(self._link, frame, other) for other in reversed(earlier)]
                earlier.append(frame)
                if coming is not None:
                    yield [link.result() for link in coming]
                coming = begun
            if coming is not None:
                yield [link.result() for link in coming]

    def tracked_link(self, link: Link, frame: Picture, other: Picture) -> Link:
        """Return a link with what is visible limited to what this flow tracks as well."""
        own = self._link(frame, other)
        return replace(
            link,
            visible=link.visible & own.visible,
            visible_back=link.visible_back & own.visible_back,
        )

    def _link(self, frame: Picture, other: Picture) -> Link:
        model = load_flow(FlowChoice(self.method, weights=self.weights, device=self.device))
        small = [self._shrunk_picture(picture) for picture in (frame, other)]
        size = frame.shape[0], frame.shape[1]
        there = resize_flow(model(small[0], small[1]), size)
        back = resize_flow(model(small[1], small[0]), size)
        return Link(there, back, visible(there, back), visible(back, there))

    def _shrunk_picture(self, picture: Picture) -> Picture:
        if self.scale == 1:
            return picture
        rows, columns = (max(round(n * self.scale), 1) for n in picture.shape[:2])
        return np.asarray(
            cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8
        )


def flow_used(folders: Sequence[Path]) -> str:
    """Return the flow method that made the masks in one of the folders, from its ``run.json``.

    Empty if none of them is the result of a run.
    """
    for folder in folders:
        for out_folder in (folder, *folder.resolve().parents[:2]):
            record = RunRecord.load_if_any(out_folder)
            if record is not None and "flow" in record.settings:
                return str(record.settings["flow"]["method"])
    return ""
