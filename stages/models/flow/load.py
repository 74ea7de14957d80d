"""One door to all flow estimators."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.models.flow.contract import FlowModel, FlowRun, Pair, RunModel
from stages.models.flow.deepflow import DeepFlow
from stages.models.flow.dis import DisFlow, Preset
from stages.models.flow.settings import NetworkSettings

WITHOUT_WEIGHTS = ("dis", "deepflow")
DEFAULTS = NetworkSettings()

_held = threading.local()


def load_flow(
    method: str,
    preset: Preset,
    weights: str,
    device: str,
    network: NetworkSettings = DEFAULTS,
) -> FlowModel:
    """Return the estimator called `method`; kept by the thread, so that it is loaded once.

    Parameters
    ----------
    method : str
        ``"dis"``, ``"deepflow"`` or the name of a ptlflow model.
    preset : {"ultrafast", "fast", "medium"}
        Of ``"dis"``.
    weights, device : str
        Of a ptlflow model; see `stages.models.flow.ptlflow.load_flow_network`.
    network : NetworkSettings
        Of raft, raft_small and gma.

    Raises
    ------
    ConfigError
        If `network` is not for this method, or as `load_flow_network`.
    """
    network.check(method)
    wanted = (method, preset, weights, device, network)
    if getattr(_held, "name", None) != wanted:
        if method == "dis":
            _held.model = DisFlow(preset)
        elif method == "deepflow":
            _held.model = DeepFlow()
        else:
            from stages.models.flow.ptlflow import load_flow_network

            _held.model = load_flow_network(method, weights, device, network)
        _held.name = wanted
    model: FlowModel = _held.model
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


def weights_id(method: str, weights: str) -> str:
    """Return the digest of a network's weights, for the key; empty for what has none."""
    if method in WITHOUT_WEIGHTS:
        return ""
    from stages.models.flow.ptlflow import weights_digest

    return weights_digest(method, weights)
