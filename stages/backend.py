"""Voting, filtering and the check of flow by name: on a CPU as compiled code, elsewhere in torch.

A stage asks for the arithmetic of its device and hands arrays over with `put`; what comes back are
arrays of that device, for `get` to bring home. Results differ in their last bits only, and on one
device are always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.stage import Span
from stages.device_cache import PlacedSpan
from stages.ops import guided, voting
from stages.ops.fixed_point import FLOW_STEPS, pack_mask, unpack_flow, unpack_mask
from stages.ops.tiles import flat_tiles
from stages.ops.visibility import visible
from stages.ops.warp import resize_flow

if TYPE_CHECKING:
    from torch import Tensor

Array = Any
"""Of NumPy, or a tensor on the device."""
Frames = Any
"""One array of several frames, or a sequence of one array a frame."""


class Placed(Protocol):
    """Frames of a `Span` as arrays of a device."""

    def __getitem__(self, frame: int) -> Array:
        """Return frame number `frame` of the clip."""

    def between(self, start: int, stop: int) -> Frames:
        """Return frames `start` to `stop` of the clip."""


class Arithmetic(Protocol):
    """What the formulas of `stages.ops` are called on all devices; arrays as described there."""

    def running(self, what: str) -> AbstractContextManager[None]:
        """Say inside what to do where the device's memory ends, or the device is lost."""

    def put(self, values: Array) -> Array:
        """Return an array as one of the device; one that is there already stays."""

    def placed(self, span: Span) -> Placed:
        """Return a span's frames as arrays of the device; they stay there for later tasks."""

    def get(self, values: Array) -> NDArray[Any]:
        """Return an array of the device as one of NumPy."""

    def rounded(self, mask: Array) -> Array:
        """Return a mask in full 255ths."""

    def flow(self, packed: Array, size: tuple[int, ...] | None = None) -> Array:
        """Return flow in pixels from 1/64 px; of a grid of another size if asked for."""

    def visible(self, forward: Array, backward: Array, *, slack: float, floor: float) -> Array:
        """See `stages.ops.visibility.visible`."""

    def flat_tiles(self, mask: Array) -> Array:
        """Return the flat tiles of each mask, which `vote` skips; see `stages.ops.tiles`."""

    def vote(
        self,
        masks: Sequence[Array],
        images: Sequence[Array],
        flows: Sequence[Array],
        *,
        table: Array,
        flat: Sequence[Array],
    ) -> Array:
        """See `stages.ops.voting.vote`."""

    def carried(
        self, guide: Array, other: Array, mask: Array, weight: Array, flow: Array, *, table: Array
    ) -> tuple[Array, Array, Array]:
        """See `stages.ops.voting.carried`."""

    def fitted(
        self, guide: Frames, mask: Frames, weight: Frames, *, size: int, eps: float
    ) -> Array:
        """Return the coefficients of a box of frames, averaged over boxes: `stages.ops.guided`."""

    def applied(self, fits: Sequence[Array], guide: Array) -> Array:
        """Return the mask that the mean of several fits makes of a guide."""


def arithmetic_on(device: str, *, setting: str) -> Arithmetic:
    """Return the arithmetic of a device.

    Parameters
    ----------
    device : str
        "cpu", or one of torch's, such as "cuda".
    setting : str
        The field that asked for it.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    return HOST if device == "cpu" else TorchArithmetic(device, setting=setting)


class HostArithmetic:
    """Compiled for the CPU."""

    vote = staticmethod(voting.vote)
    carried = staticmethod(voting.carried)
    visible = staticmethod(visible)
    flat_tiles = staticmethod(flat_tiles)

    def running(self, what: str) -> AbstractContextManager[None]:
        """Do nothing: the engine says it of this machine."""
        return nullcontext()

    def put(self, values: Array) -> Array:
        """Return the array."""
        return values

    def placed(self, span: Span) -> Span:
        """Return the span."""
        return span

    def get(self, values: Array) -> NDArray[Any]:
        """Return the array."""
        array: NDArray[Any] = values
        return array

    def rounded(self, mask: Array) -> Array:
        """Return a mask in full 255ths."""
        return unpack_mask(pack_mask(mask))

    def flow(self, packed: Array, size: tuple[int, ...] | None = None) -> Array:
        """Return flow in pixels."""
        flow = unpack_flow(packed)
        return flow if size is None else resize_flow(flow, (size[0], size[1]))

    def fitted(
        self, guide: Frames, mask: Frames, weight: Frames, *, size: int, eps: float
    ) -> Array:
        """Return the coefficients of a box of frames."""
        parts = (np.asarray(guide), np.asarray(mask), np.stack(weight))
        return guided.mean_over_boxes(
            guided.fit_coefficients(*parts, size=size, eps=eps), size=size
        )

    def applied(self, fits: Sequence[Array], guide: Array) -> Array:
        """Return the mask that the mean of several fits makes of a guide."""
        return guided.apply_coefficients(fits, guide)


HOST = HostArithmetic()


class TorchArithmetic:
    """In torch, on any of its devices.

    Parameters
    ----------
    device, setting : str
        See `arithmetic_on`.
    """

    def __init__(self, device: str, *, setting: str = "device") -> None:
        import torch

        from stages.models.weights import reason
        from stages.ops import torch_guided, torch_visibility, torch_voting

        self._torch, self._guided, self._voting = torch, torch_guided, torch_voting
        self.visible = torch_visibility.visible
        try:
            self._device = torch.zeros(1, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            raise ConfigError(
                f"{setting} = {device!r}: expected a device of this machine, such as cpu: "
                f"{reason(error)}"
            ) from error

    def running(self, what: str) -> AbstractContextManager[None]:
        """Say inside what to do where the device's memory ends, or the device is lost."""
        from stages.models.torch_models import explained

        return explained(what, f"set {what}.device=cpu, or lower ingest.short_side")

    def put(self, values: Array) -> Tensor:
        """Return an array as a tensor of the device."""
        if isinstance(values, np.ndarray):
            values = self._torch.from_numpy(np.ascontiguousarray(values))
        placed: Tensor = values.to(self._device)
        return placed

    def placed(self, span: Span) -> PlacedSpan:
        """Return a span's frames as tensors; they stay on the device for later tasks."""
        return PlacedSpan(span, self._device, self.put)

    def get(self, values: Array) -> NDArray[Any]:
        """Return a tensor as an array."""
        if isinstance(values, np.ndarray):
            return values
        array: NDArray[Any] = values.cpu().numpy()
        return array

    def rounded(self, mask: Array) -> Tensor:
        """Return a mask in full 255ths."""
        return (self.put(mask).clamp(0, 1) * 255).round() * (1 / 255)

    def flow(self, packed: Array, size: tuple[int, ...] | None = None) -> Tensor:
        """Return flow in pixels."""
        flow = self.put(packed).float() * (1 / FLOW_STEPS)
        return flow if size is None else self._voting.resized(flow, size)

    def flat_tiles(self, mask: Array) -> None:
        """Return nothing: all pixels are looked at."""

    def vote(
        self,
        masks: Sequence[Array],
        images: Sequence[Array],
        flows: Sequence[Array],
        *,
        table: Array,
        flat: Sequence[Array],
    ) -> Tensor:
        """See `stages.ops.torch_voting.vote`."""
        del flat
        placed = [[self.put(part) for part in parts] for parts in (masks, images, flows)]
        return self._voting.vote(placed[0], placed[1], placed[2], table=self.put(table))

    def carried(
        self, guide: Array, other: Array, mask: Array, weight: Array, flow: Array, *, table: Array
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `stages.ops.torch_voting.carried`."""
        placed = [self.put(part) for part in (guide, other, mask, weight, flow)]
        return self._voting.carried(*placed, table=self.put(table))

    def fitted(
        self, guide: Frames, mask: Frames, weight: Frames, *, size: int, eps: float
    ) -> Tensor:
        """Return the coefficients of a box of frames."""
        stacks = [
            self._torch.stack([self.put(part) for part in parts]) for parts in (guide, mask, weight)
        ]
        fit = self._guided.fit_coefficients(stacks[0], stacks[1], stacks[2], size=size, eps=eps)
        return self._guided.mean_over_boxes(fit, size=size)

    def applied(self, fits: Sequence[Array], guide: Array) -> Tensor:
        """Return the mask that the mean of several fits makes of a guide."""
        return self._guided.apply_coefficients(fits, self.put(guide))
