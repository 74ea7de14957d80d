"""One door to all flow estimators."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stages.models.deepflow import DeepFlow
from stages.models.dis import DisFlow, Preset

FlowModel = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]
"""From two RGB pictures (H, W, 3) to the flow between them: (2, H, W), pixels, x before y."""

WITHOUT_WEIGHTS = ("dis", "deepflow")

_held = threading.local()


def load_flow(method: str, preset: Preset, weights: str, device: str) -> FlowModel:
    """Return the estimator called `method`; kept by the thread, so that it is loaded once.

    Parameters
    ----------
    method : str
        ``"dis"``, ``"deepflow"`` or the name of a ptlflow model.
    preset : {"ultrafast", "fast", "medium"}
        Of ``"dis"``.
    weights, device : str
        Of a ptlflow model; see `stages.models.flow_networks.load_flow_network`.
    """
    wanted = (method, preset, weights, device)
    if getattr(_held, "name", None) != wanted:
        if method == "dis":
            _held.model = DisFlow(preset)
        elif method == "deepflow":
            _held.model = DeepFlow()
        else:
            from stages.models.flow_networks import load_flow_network

            _held.model = load_flow_network(method, weights, device)
        _held.name = wanted
    model: FlowModel = _held.model
    return model


def weights_id(method: str, weights: str) -> str:
    """Return the digest of a network's weights, for the key; empty for what has none."""
    if method in WITHOUT_WEIGHTS:
        return ""
    from stages.models.flow_networks import weights_digest

    return weights_digest(method, weights)
