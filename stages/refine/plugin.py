"""A refine method of the user's: one function, named by ``refine.method``.

``module:function``, or an entry point of the group ``steadymask.refine_methods``, is called for
each frame::

    def refine(masks, frames, flows, index, **options):
        return masks[index]

Parameters
----------
masks : ndarray, shape (N, H, W, C), float32
    Soft masks in [0, 1] of the frame and of its neighbours within ``refine.reach``, in order.
frames : ndarray, shape (N, H, W, 3), uint8
    Their pictures, RGB.
flows : dict of int to ndarray, shape (2, H, W), float32
    By offset, -1 for the frame before: where each pixel of the frame is in that neighbour, pixels,
    x before y; within ``flow.radius``.
index : int
    Of the frame in `masks` and `frames`.
options
    The setting ``refine.options``.

It returns the frame's mask, (H, W, C) in [0, 1], and must depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.plugins import code_digest, let_import, load_plugin, plugin_points
from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.warp import resize_flow

ENTRY_POINTS = "steadymask.refine_methods"

Refiner = Callable[..., NDArray[np.float32]]


def is_plugin(method: str) -> bool:
    """Return whether a method is a user's own.

    >>> is_plugin("mine:refine"), is_plugin("vote")
    (True, False)
    """
    return ":" in method or method in plugin_points(ENTRY_POINTS)


def plugin_digest(method: str, modules: str) -> str:
    """Return the digest of the file that defines a method, for keys."""
    let_import(modules or str(Path.cwd()))
    return code_digest(method, ENTRY_POINTS)


def refine_by_plugin(
    method: str,
    options: Mapping[str, Any],
    modules: str,
    masks: Span,
    frames: Span,
    flow: Span,
    wanted: range,
    *,
    reach: int,
    radius: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield the masks (H, W, C) that a user's method gives for the frames `wanted`.

    Raises
    ------
    ConfigError
        If the method cannot be imported.
    InputError
        If it fails, or its answer is not a mask.
    """
    if modules:
        let_import(modules)
    function: Refiner = load_plugin(method, setting="refine.method", group=ENTRY_POINTS, known=())
    for t in wanted:
        near = range(max(t - reach, masks.start), min(t + reach + 1, masks.stop))
        soft = np.stack([unpack_mask(masks[j]) for j in near])
        size = soft.shape[1], soft.shape[2]
        flows = {
            step: resize_flow(unpack_flow(flow[t][k]), size)
            for k, step in enumerate(neighbour_offsets(radius))
            if t + step in near
        }
        pictures = frames.between(near.start, near.stop).copy()
        yield _checked_answer(method, function, soft, pictures, flows, t - near.start, options)


def _checked_answer(
    method: str,
    function: Refiner,
    masks: NDArray[np.float32],
    frames: NDArray[np.uint8],
    flows: Mapping[int, NDArray[np.float32]],
    index: int,
    options: Mapping[str, Any],
) -> NDArray[np.float32]:
    try:
        answer = np.asarray(function(masks, frames, flows, index, **options))
    except Exception as error:
        raise InputError(f"{method}: {type(error).__name__}: {error}") from error
    shape = masks.shape[1:]
    fits = answer.shape == shape and answer.dtype.kind == "f"
    if not fits or not (answer.min(initial=0) >= 0 and answer.max(initial=0) <= 1):  # NaN is not
        raise InputError(
            f"{method}: expected floats {shape} in [0, 1], got {answer.dtype} {answer.shape}"
        )
    return answer.astype(np.float32)
