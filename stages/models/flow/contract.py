"""What a flow estimator is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span

Pair = tuple[int, int]


class FlowModel(Protocol):
    """From two RGB pictures (H, W, 3) to the flow between them: (2, H, W), pixels, x before y."""

    def __call__(  # noqa: D102 (above)
        self, first: NDArray[np.uint8], second: NDArray[np.uint8], /
    ) -> NDArray[np.float32]: ...


class FlowRun(Protocol):
    """Flows between frames of a run, each computed once."""

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        """Return F[i→j]: (2, H, W), pixels, x before y."""

    def forget(self, frame: int) -> None:
        """Drop all of the frames up to `frame`."""


@runtime_checkable
class RunModel(FlowModel, Protocol):
    """A model that shares work between the pairs of a run."""

    def run(self, frames: Span, pairs: Collection[Pair], *, reach: int) -> FlowRun:
        """Return the flows of `pairs`; see `stages.models.flow.raft.family.RaftFamily.run`."""
