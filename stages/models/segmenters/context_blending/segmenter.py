"""A video network as the pipeline's segmenter: it looks back over frames of the same shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.models.segmenters.base import Segmenter, at_most_one, resized
from stages.models.segmenters.context_blending.blending import remembered_regions
from stages.models.segmenters.context_blending.network import FrameContext, load_network
from stages.models.segmenters.context_blending.settings import network_file
from stages.models.torch_models import move_to_device, repeatable


class VideoSegmenter(Segmenter):
    """Makes a frame's masks from it and from frames before it; see `VideoNetwork`.

    Where the shot begins less than a dilation before a frame, its first frame stands for those
    that are missing; the memory begins with it.

    Parameters
    ----------
    spec : str
        ``tcb:FILE`` or ``per_frame:FILE``, the file as `train` writes it.
    device : str
        "cpu" or "cuda".

    Raises
    ------
    ConfigError
        If the file holds the other model, or there is no such device.
    InputError
        If it cannot be read.
    """

    most = 1.0

    def __init__(self, spec: str, device: str) -> None:
        path = network_file(spec)
        self._network = load_network(path)
        self._settings = self._network.settings
        move_to_device(self._network, device, setting="segment.device")
        self._device = device
        self.class_ids = self._settings.class_ids
        self.reach = self._settings.reach

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the probabilities of a frame that is a shot of its own."""
        return self._blended_masks({0: self._encoded_frame(frame)}, 0)

    def segment_after(
        self, frames: Sequence[NDArray[np.uint8]], first: int
    ) -> list[NDArray[np.float32]]:
        """Return the masks of ``frames[first:]``; those before may be looked at."""
        needed = {t for now in range(first, len(frames)) for t in self._looked_at(now)}
        contexts = {t: self._encoded_frame(frames[t]) for t in sorted(needed)}
        rows, columns = frames[0].shape[:2]
        return [
            at_most_one(resized(self._blended_masks(contexts, t), rows, columns))
            for t in range(first, len(frames))
        ]

    def _support_frames(self, now: int) -> list[int]:
        return [now, *(max(now - back, 0) for back in self._settings.dilations)]

    def _memory_frames(self, now: int) -> list[int]:
        """Return the frames that are in a frame's memory, the oldest first."""
        step = self._settings.dilations[0] if self._settings.dilations else 1
        backs = range(0, self._settings.memory + 1, step)
        return [now - back for back in reversed(backs) if now - back >= 0]

    def _looked_at(self, now: int) -> set[int]:
        memory = self._memory_frames(now) if self._settings.memory else []
        return {*self._support_frames(now), *memory}

    def _encoded_frame(self, frame: NDArray[np.uint8]) -> FrameContext:
        import torch

        picture = np.ascontiguousarray(frame.transpose(2, 0, 1)).astype(np.float32) / 255
        with repeatable():
            return self._network.encode(torch.from_numpy(picture)[None].to(self._device))

    def _blended_masks(self, contexts: Mapping[int, FrameContext], now: int) -> NDArray[np.float32]:
        """Return the foreground's probabilities of a frame, at the size of the features."""
        with repeatable():
            memory = None
            if self._settings.memory:
                older = [contexts[t].regions for t in self._memory_frames(now)]
                memory = remembered_regions(older, self._settings.share)
            frames = [contexts[t] for t in self._support_frames(now)]
            soft = self._network.blend(frames, regions=memory).float().softmax(dim=1)
            masks: NDArray[np.float32] = soft[0, 1:].cpu().numpy()
        return masks
