"""Flow: where every pixel of a frame is in the frames around it."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Arrays, Facts, Input, Resources, Span, Stage, Window
from stages.artifacts import offsets
from stages.models.flow import FlowModel, load_flow, weights_id
from stages.ops.fixed_point import pack_flow
from stages.ops.warp import compose_flows


class Flow(Stage):
    """Flow to all neighbours within `radius`, both ways; see `stages.models.flow`."""

    name: ClassVar[str] = "flow"
    version: ClassVar[int] = 1
    resources: ClassVar[Resources] = Resources(cpus=1)
    outside_key: ClassVar[tuple[str, ...]] = ("weights", "device")

    method: str = Field(
        "dis", description="dis, deepflow, or the name of a ptlflow model: gma, raft, …"
    )
    preset: Literal["ultrafast", "fast", "medium"] = Field("medium", description="of dis")
    weights: str = Field("", description="of a ptlflow model: name of a checkpoint, or a path")
    weights_digest: str = Field("", description="filled in from the weights file")
    scale: float = Field(0.5, gt=0, le=1, description="share of the working size")
    radius: int = Field(3, ge=1, le=8, description="frames to either side")
    far: Literal["composed", "direct"] = Field(
        "composed", description="flow to frames beyond the next: composed, or estimated"
    )
    device: str = Field("cpu", description="of a ptlflow model: cpu or cuda")

    def model_post_init(self, context: object) -> None:
        """Put the digest of the weights where the key sees it."""
        if not self.weights_digest:
            object.__setattr__(self, "weights_digest", weights_id(self.method, self.weights))

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read the frames as far as the neighbours reach."""
        return (Input("ingest", "frames", self.radius),)

    def run(self, window: Window) -> Arrays:
        """Return the flow from each frame to its neighbours, 0 where there is none."""
        small = _shrunk(window["ingest.frames"], self.scale)
        model = load_flow(self.method, self.preset, self.weights, self.device)
        pairs = _Pairs(small, model, composed=self.far == "composed")
        shape = small.array.shape[1:3]
        out = np.zeros((len(window.frames), 2 * self.radius, 2, *shape), np.int16)
        for t in window.frames:
            for k, step in enumerate(offsets(self.radius)):
                if small.start <= t + step < small.stop:
                    out[t - window.start, k] = pack_flow(pairs.flow(t, t + step))
            pairs.forget(t - self.radius)
        return {"flow": out}


class _Pairs:
    """Flows between frames of a window, each computed once and dropped when done with."""

    def __init__(self, frames: Span, model: FlowModel, *, composed: bool) -> None:
        self._frames, self._model, self._composed = frames, model, composed
        self._known: dict[tuple[int, int], NDArray[np.float32]] = {}

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        """Return F[i→j]."""
        if (i, j) not in self._known:
            step = 1 if j > i else -1
            if j == i + step or not self._composed:
                self._known[i, j] = self._model(self._frames[i], self._frames[j])
            else:
                self._known[i, j] = compose_flows(self.flow(i, j - step), self.flow(j - step, j))
        return self._known[i, j]

    def forget(self, frame: int) -> None:
        """Drop the flows that start at `frame` or before."""
        self._known = {pair: flow for pair, flow in self._known.items() if pair[0] > frame}


def _shrunk(frames: Span, scale: float) -> Span:
    rows, columns = frames.array.shape[1:3]
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    if size == (columns, rows):
        return frames
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames.array]
    return Span(frames.start, np.stack(small))
