"""Frames that stay on a GPU from one task to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.stage import Span
from pipeline.store.frame_cache import LastUsed

if TYPE_CHECKING:
    import torch

Bring = Callable[[NDArray[Any]], "torch.Tensor"]
"""Makes a tensor of an array on a device."""


class Resident:
    """Tensors by content, the last ones used, up to a share of their device's memory.

    Parameters
    ----------
    share : float
        Of a GPU's memory.
    elsewhere : int
        Bytes, on a device that is no GPU.
    """

    def __init__(self, share: float, elsewhere: int) -> None:
        self._share, self._elsewhere = share, elsewhere
        self._kept: dict[torch.device, LastUsed[torch.Tensor]] = {}

    def get(
        self, device: torch.device, name: str, bring: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """Return the tensor of this name; brought to the device if it is not there."""
        kept = self._kept.get(device)
        if kept is None:
            kept = self._kept.setdefault(device, LastUsed(self._byte_limit(device)))
        tensor = kept.find(name)
        if tensor is None:
            tensor = bring()
            kept.put_values(name, tensor)
        return tensor

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()

    def _byte_limit(self, device: torch.device) -> int:
        if device.type != "cuda":
            return self._elsewhere
        import torch

        return int(self._share * torch.cuda.get_device_properties(device).total_memory)


RESIDENT = Resident(share=0.1, elsewhere=1 << 28)


class PlacedSpan:
    """Frames of a span as tensors, each brought to the device when it is first asked for.

    Those whose content is known by name stay: what one task has brought the next one finds.
    """

    def __init__(self, span: Span, device: torch.device, bring: Bring) -> None:
        self._span, self._device, self._bring = span, device, bring

    def __getitem__(self, frame: int) -> torch.Tensor:
        """Return frame number `frame` of the clip."""
        values = self._span[frame]
        if not self._span.names:
            return self._bring(values)
        name = self._span.names[frame - self._span.start]
        return RESIDENT.get(self._device, name, lambda: self._bring(values))

    def between(self, start: int, stop: int) -> list[torch.Tensor]:
        """Return frames `start` to `stop` of the clip."""
        return [self[frame] for frame in range(start, stop)]
