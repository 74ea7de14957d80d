"""Learned optical flow: any model of ptlflow."""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.weights import download, file_digest, load_state

SMALLEST = 128  # rows and columns; correlation pyramids have no level below
RANDOM = "random"  # weights for tests: seeded, and good for nothing
SEED = 0


def load_flow_network(
    name: str, weights: str, device: str = "cpu"
) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
    """Return a network that estimates flow between two RGB pictures (H, W, 3).

    Parameters
    ----------
    name : str
        Of a ptlflow model: gma, raft, raft_small, sea_raft_s, …
    weights : str
        Name of one of the model's checkpoints ("things", "sintel", …), a path, or "random".
    device : str
        "cpu" or "cuda".

    Returns
    -------
    callable
        Gives flow (2, H, W) float32, pixels, x before y.

    Raises
    ------
    ConfigError
        If there is no such model or checkpoint; names the nearest, or those there are.
    InputError
        If the weights cannot be had, or are another model's.
    """
    import torch

    with _quiet():
        import ptlflow
    _check_name(name, ptlflow.get_model_names())
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = ptlflow.get_model(name)
    path = _weights_path(type(model), name, weights)
    if path is not None:
        try:
            model.load_state_dict(load_state(path))
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not weights of {name}: {why}") from error
    model.eval().to(device)

    def estimate(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows, columns = first.shape[:2]
        pair = np.stack([_padded(first), _padded(second)])[..., ::-1]  # ptlflow wants BGR
        images = torch.from_numpy(np.ascontiguousarray(pair.transpose(0, 3, 1, 2)))
        with torch.inference_mode(), _quiet():
            answer = model({"images": images[None].to(device).float() / 255})
        flow: NDArray[np.float32] = answer["flows"][0, 0].float().cpu().numpy()
        return np.ascontiguousarray(flow[:, :rows, :columns])

    return estimate


def weights_digest(name: str, weights: str) -> str:
    """Return the SHA-256 of the weights that `load_flow_network` would take, for keys.

    Raises
    ------
    ConfigError, InputError
        As `load_flow_network`.
    """
    if weights == RANDOM:
        return f"{RANDOM}-{SEED}"
    with _quiet():
        import ptlflow
    _check_name(name, ptlflow.get_model_names())
    path = _weights_path(ptlflow.get_model_reference(name), name, weights)
    return file_digest(path) if path is not None else ""


def _check_name(name: str, known: list[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"flow.method = {name!r}: neither dis nor a ptlflow model{hint}")


def _weights_path(model: Any, name: str, weights: str) -> Path | None:
    """Return the file of the weights, None for random ones."""
    if weights == RANDOM:
        return None
    offered: dict[str, str] = getattr(model, "pretrained_checkpoints", None) or {}
    if weights in offered:
        return download(offered[weights], setting="flow.weights")
    if weights and Path(weights).exists():
        return Path(weights)
    raise ConfigError(
        f"flow.weights = {weights!r}: expected a path, or one of {name}'s checkpoints: "
        f"{', '.join(offered) or 'none'}"
    )


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the border of a picture that is too small for the network."""
    below, right = (max(SMALLEST - size, 0) for size in image.shape[:2])
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the many warnings of ptlflow and of what it imports; errors still come."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        from loguru import logger  # ptlflow's own

        logger.disable("ptlflow")
    except ImportError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
