"""Flow estimators as the stage uses them: loaded once a thread, run over pairs of frames."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.models.flow.contract import FlowModel, FlowRun, Pair, RunModel
from stages.models.flow.registry import FlowChoice, find_method

_loaded = threading.local()


def load_flow(choice: FlowChoice) -> FlowModel:
    """Return the estimator of a choice; kept by the thread, so that it is loaded once.

    Raises
    ------
    ConfigError
        If there is no such method, or a setting is not for it.
    InputError
        If weights cannot be had.
    """
    if getattr(_loaded, "choice", None) != choice:
        method = find_method(choice.method)
        method.check(choice)
        _loaded.model = method.build(choice)
        _loaded.choice = choice
    model: FlowModel = _loaded.model
    return model


def open_run(model: FlowModel, frames: Span, pairs: Collection[Pair], *, reach: int) -> FlowRun:
    """Return the flows of many pairs of frames, estimated as they are asked for.

    Parameters
    ----------
    model : FlowModel
        From `load_flow`.
    frames : Span of (T, H, W, 3) uint8
        RGB; all of the shot that lie within `reach` of a frame that flow is asked from.
    pairs : collection of (i, j)
        What will be asked for, i != j.
    reach : int, >= 1
        How far apart the frames of a pair may be.
    """
    if isinstance(model, RunModel):
        return model.run(frames, pairs, reach=reach)
    return _PairByPair(model, frames)


class _PairByPair:
    """Flows that have nothing in common."""

    def __init__(self, model: FlowModel, frames: Span) -> None:
        self._model, self._frames = model, frames
        self._known: dict[Pair, NDArray[np.float32]] = {}

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        if (i, j) not in self._known:
            self._known[i, j] = self._model(self._frames[i], self._frames[j])
        return self._known[i, j]

    def forget(self, frame: int) -> None:
        self._known = {pair: flow for pair, flow in self._known.items() if pair[0] > frame}
