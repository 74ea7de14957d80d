"""Learned optical flow: any model of ptlflow.

Those of `stages.models.flow.settings.FAMILY` are run by `stages.models.flow.raft.family`, all
others by ptlflow's own forward, pair by pair.
"""

from __future__ import annotations

import difflib
import io
import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.models.flow.contract import FlowModel
from stages.models.flow.settings import FAMILY, NetworkSettings
from stages.models.torch_models import (
    RANDOM,
    RANDOM_DIGEST,
    explained,
    fill,
    move_to_device,
    repeatable,
    seeded,
)
from stages.models.weights import download, file_digest, load_checkpoint, tensors

DEFAULTS = NetworkSettings()


def load_flow_network(
    name: str,
    weights: str,
    device: str = "cpu",
    settings: NetworkSettings = DEFAULTS,
    *,
    known: Collection[str] = (),
) -> FlowModel:
    """Return a network that estimates flow between two RGB pictures (H, W, 3).

    Parameters
    ----------
    name : str
        Of a ptlflow model, such as sea_raft_s.
    weights : str
        Name of one of the model's checkpoints ("things", "sintel", …), a path, or "random": seeded,
        for tests only.
    device : str
        "cpu" or "cuda".
    settings : NetworkSettings
        Of the models of `FAMILY`.
    known : collection of str
        Names that the setting takes besides, for messages.

    Returns
    -------
    callable
        Gives flow (2, H, W) float32, pixels, x before y. Any size will do: the border is repeated
        up to what the network needs. The result depends on nothing but the pair. Models of
        `FAMILY` are a `stages.models.flow.raft.family.RaftFamily`, which runs many pairs faster.

    Raises
    ------
    ConfigError
        If there is no such model, checkpoint or device; names the nearest, or those there are. If
        `settings` are not for this model.
    InputError
        If the weights cannot be had, or are another model's.
    """
    model_type = _find_model(name, known)
    settings.check(name)
    path = _weights_path(model_type, name, weights)
    with _without_warnings(), seeded():
        import ptlflow

        model = ptlflow.get_model(name)
    if path is not None:
        checkpoint = load_checkpoint(path)
        apply_training_facts(model, checkpoint.get("hyper_parameters") or {})
        fill(model, tensors(checkpoint), path=path, name=name)
    move_to_device(model, device, setting="flow.device")

    if name not in FAMILY:
        return _OwnForward(model, device)
    from stages.models.flow.raft.family import RaftFamily

    return RaftFamily(model, settings)


class _OwnForward:
    """A model's own forward."""

    def __init__(self, model: Any, device: str) -> None:
        self._model, self._device = model, device

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        from stages.models.flow.network_pictures import cut_back, network_images

        rows, columns = first.shape[:2]
        advice = "lower flow.scale"
        with explained(f"flow of {columns}x{rows}", advice), repeatable(), _without_warnings():
            images = network_images([first, second], self._device)
            answer = self._model({"images": images[None]})
        return cut_back(answer["flows"][0, 0].float().cpu().numpy(), first.shape[:2])


def weights_digest(name: str, weights: str, *, known: Collection[str] = ()) -> str:
    """Return the SHA-256 of the weights that `load_flow_network` would take, for keys.

    Parameters
    ----------
    name, weights, known
        As for `load_flow_network`.

    Raises
    ------
    ConfigError, InputError
        As `load_flow_network`.
    """
    path = _weights_path(_find_model(name, known), name, weights)
    return file_digest(path) if path is not None else RANDOM_DIGEST


def _find_model(name: str, known: Collection[str]) -> Any:
    """Return the class of a model; the first import of ptlflow also prints."""
    with _without_warnings(), redirect_stdout(io.StringIO()):
        import ptlflow

        networks = ptlflow.get_model_names()
        if name in networks:
            return ptlflow.get_model_reference(name)
    near = difflib.get_close_matches(name, [*known, *networks], n=3)
    hint = f": did you mean {', '.join(near)}?" if near else f", such as {', '.join(FAMILY)}"
    others = "".join(f"{other}, " for other in known)
    raise ConfigError(
        f"flow.method = {name!r}: expected {others}module:function, or one of ptlflow's "
        f"{len(networks)} networks{hint}"
    )


def _weights_path(model_type: Any, name: str, weights: str) -> Path | None:
    """Return the file of the weights, None for random ones."""
    if weights == RANDOM:
        return None
    offered: dict[str, str] = getattr(model_type, "pretrained_checkpoints", None) or {}
    if weights in offered:
        return download(offered[weights], setting="flow.weights")
    if Path(weights).is_file():
        return Path(weights)
    raise ConfigError(
        f"flow.weights = {weights!r}: expected the path of a file, or one of {name}'s "
        f"checkpoints: {', '.join(offered) or 'none'}"
    )


def apply_training_facts(model: Any, facts: dict[str, Any]) -> None:
    """Tell a model what ptlflow stores beside the tensors; a few run otherwise without it."""
    for name in ("train_size", "train_avg_length"):
        if name in facts:
            setattr(model, name, facts[name])
    for name, value in (facts.get("extra_params") or {}).items():
        model.add_extra_param(name, value)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep back the many warnings of ptlflow and of what it imports; errors still come."""
    before = logging.root.manager.disable
    try:
        from loguru import logger  # ptlflow's own
    except ImportError:
        pass
    else:
        logger.disable("ptlflow")
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
