"""Flow: where every pixel of a frame is in the frames around it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field

from pipeline.errors import ConfigError
from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Resources, Span, Stage, Window
from stages.arrays import FLOW, FRAMES, neighbour_offsets
from stages.models.flow.contract import FlowRun
from stages.models.flow.load import load_flow, open_run
from stages.models.flow.registry import FAMILY_NAMES, METHOD_NAMES, FlowChoice, find_method
from stages.models.flow.settings import NetworkSettings, Precision
from stages.ops.fixed_point import pack_flow
from stages.ops.warp import compose_flows
from stages.shared_settings import DEFAULT_RADIUS, Radius


class Flow(Stage):
    """Flow to all neighbours within `radius`, both ways; see `stages.models.flow.load`."""

    name: ClassVar[str] = "flow"
    version: ClassVar[int] = 1
    writes: ClassVar[tuple[ArrayHandle, ...]] = (FLOW,)
    resources: ClassVar[Resources] = Resources(cpus=1)
    outside_key: ClassVar[tuple[str, ...]] = ("weights", "device", "recorded", "modules")
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ("options",)

    method: str = Field(
        "dis",
        description=f"{METHOD_NAMES}, the name of a ptlflow model ({FAMILY_NAMES}, …), or "
        "module:function",
    )
    preset: Literal["ultrafast", "fast", "medium"] = Field("medium", description="of dis")
    weights: str = Field("", description="of a ptlflow model: name of a checkpoint, or a path")
    scale: float = Field(0.5, gt=0, le=1, description="share of the working size")
    radius: Radius = DEFAULT_RADIUS
    far: Literal["composed", "direct"] = Field(
        "composed", description="flow to frames beyond the next: composed, or estimated"
    )
    iterations: int = Field(
        0, ge=0, description=f"of {FAMILY_NAMES}; 0: as many as the network takes by itself"
    )
    far_iterations: int = Field(
        0,
        ge=0,
        description="of them, to frames beyond the next, starting from composed flows; 0: as the "
        "next, from nothing",
    )
    precision: Precision = Field(
        "fp32", description=f"of the update of {FAMILY_NAMES}: fp32 or bf16"
    )
    steps: Literal[64, 32, 16] = Field(
        64, description="to a pixel that are kept; 32 takes a fifth less room, 16 a third"
    )
    device: str = Field("cpu", description="of a ptlflow model: cpu or cuda")
    recorded: bool = Field(True, description=f"{FAMILY_NAMES} on a GPU: iterations as a CUDA graph")

    options: dict[str, Any] = Field(
        default_factory=dict, description="of a method of your own: its keyword arguments"
    )
    modules: str = Field("", description="folder of a method of your own; empty: this one")

    def model_post_init(self, context: object) -> None:
        """Refuse settings that the method does not know."""
        find_method(self.method).check(self._flow_choice)
        if self.far_iterations and self.far == "composed":
            raise ConfigError(
                f"flow.far_iterations = {self.far_iterations}: expected 0 with flow.far = "
                "'composed', which estimates no such flow; or set flow.far=direct"
            )

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def weights_digest(self) -> str:
        """Digest of a network's weights or of a user's code, for keys."""
        return find_method(self.method).digest(self._flow_choice)

    def resolve(self) -> Self:
        """Return the step with the folder of the user's modules, and its digest known."""
        folder = self.modules or (str(Path.cwd()) if ":" in self.method else "")
        step = self.model_copy(update={"modules": folder})
        step.weights_digest  # noqa: B018 - looked up now: errors come before the run
        return step

    @property
    def _flow_choice(self) -> FlowChoice:
        network = NetworkSettings(
            self.iterations, self.far_iterations, self.precision, self.recorded
        )
        options = tuple(sorted(self.options.items()))
        return FlowChoice(
            self.method, self.preset, self.weights, self.device, network, options, self.modules
        )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read the frames as far as the neighbours reach."""
        return (FRAMES.within(self.radius),)

    def run(self, window: Window) -> Arrays:
        """Return the flow from each frame to its neighbours, 0 where there is none."""
        small = _shrunk_frames(window[FRAMES], self.scale)
        model = load_flow(self._flow_choice)
        reach = 1 if self.far == "composed" else self.radius
        pairs = self._estimated_pairs(window, small)
        flows = _ComposedFlows(open_run(model, small, pairs, reach=reach), reach)
        shape = small.array.shape[1:3]
        out = np.zeros((len(window.frames), 2 * self.radius, 2, *shape), np.int16)
        for t in window.frames:
            for k, step in enumerate(neighbour_offsets(self.radius)):
                if small.start <= t + step < small.stop:
                    out[t - window.start, k] = pack_flow(flows.flow(t, t + step), steps=self.steps)
            flows.forget(t - self.radius)
        return {"flow": out}

    def _estimated_pairs(self, window: Window, frames: Span) -> set[tuple[int, int]]:
        """Return the pairs that are estimated: to all neighbours, or what those are composed of."""
        pairs = set()
        for t in window.frames:
            for step in neighbour_offsets(self.radius):
                way = 1 if step > 0 else -1
                first = t + step - way if self.far == "composed" else t
                if frames.start <= t + step < frames.stop:
                    pairs.add((first, t + step))
        return pairs


class _ComposedFlows:
    """Flows estimated to frames within `reach`, and composed of such to those beyond."""

    def __init__(self, near: FlowRun, reach: int) -> None:
        self._near, self._reach = near, reach
        self._far: dict[tuple[int, int], NDArray[np.float32]] = {}

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        """Return F[i→j]."""
        if abs(i - j) <= self._reach:
            return self._near.flow(i, j)
        if (i, j) not in self._far:
            step = 1 if j > i else -1
            self._far[i, j] = compose_flows(self.flow(i, j - step), self.flow(j - step, j))
        return self._far[i, j]

    def forget(self, frame: int) -> None:
        """Drop the flows that start at `frame` or before."""
        self._near.forget(frame)
        self._far = {pair: flow for pair, flow in self._far.items() if pair[0] > frame}


def _shrunk_frames(frames: Span, scale: float) -> Span:
    rows, columns = frames.array.shape[1:3]
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    if size == (columns, rows):
        return frames
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames.array]
    return Span(frames.start, np.stack(small))
