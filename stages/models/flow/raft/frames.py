"""What a network of the RAFT family makes of frames, once for all pairs they are in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.stage import Span
from stages.models.flow.network_pictures import Landing, network_images
from stages.models.flow.raft.attention import Attention, attention_of
from stages.models.flow.raft.pair_correlation import Volume, correlate
from stages.models.flow.raft.update import Update

Pair = tuple[int, int]

ATTENTION_BYTES = 700 << 20  # of frames' attention kept (GMA): four of 854 x 480; more are remade


@dataclass(frozen=True)
class Context:
    """What the update knows of a frame besides motion.

    Attributes
    ----------
    state : tensor, shape (1, hidden, h, w)
        First one of the GRU.
    gates : list of tensor
        See `stages.models.flow.raft.update.Update.context`.
    inputs : tensor, shape (1, context, h, w), float32
        What they are made of.
    """

    state: Tensor
    gates: list[Tensor]
    inputs: Tensor


class EncodedFrames:
    """Features, context and attention of frames, and correlations between two of them.

    Parameters
    ----------
    model : torch.nn.Module
        ptlflow's network.
    update : Update
        Of that network.
    frames : Span of (T, H, W, 3) uint8
        RGB.
    """

    def __init__(self, model: Any, update: Update, frames: Span) -> None:
        self._model, self._update, self._frames = model, update, frames
        self._device = next(model.parameters()).device
        self._images: dict[int, Tensor] = {}
        self._features: dict[int, Tensor] = {}
        self._contexts: dict[int, Context] = {}
        self._attention: OrderedDict[int, Attention] = OrderedDict()
        self._volumes: dict[Pair, tuple[Volume, Volume]] = {}
        stride = int(model.output_stride)
        height, width = self._frame_image(frames.start).shape[-2:]
        self.size = height // stride, width // stride

    @property
    def pixels(self) -> int:
        """How many the network sees of a frame, on its own grid."""
        return self.size[0] * self.size[1]

    def context(self, frame: int) -> Context:
        """Return the context of a frame."""
        if frame not in self._contexts:
            model = self._model
            encoded = model.cnet(self._frame_image(frame))
            state, inputs = encoded.split([model.hidden_dim, model.context_dim], dim=1)
            state = state.tanh().to(self._update.dtype)
            inputs = inputs.relu().contiguous(memory_format=torch.channels_last)
            self._contexts[frame] = Context(state, self._update.context(inputs), inputs)
        return self._contexts[frame]

    def attention(self, frame: int) -> list[Attention]:
        """Return the attention between a frame's pixels; nothing but with gma."""
        if not hasattr(self._model, "att"):
            return []
        if frame not in self._attention:
            inputs, dtype = self.context(frame).inputs, self._update.dtype
            weights = attention_of(self._model.att, inputs, dtype)
            self._attention[frame] = weights
            most = max(1, ATTENTION_BYTES // weights.nbytes)
            while len(self._attention) > most:
                self._attention.popitem(last=False)
        self._attention.move_to_end(frame)
        return [self._attention[frame]]

    def correlations(self, i: int, j: int) -> Volume:
        """Return those of i with j; those of j with i are kept until others are asked for."""
        pair = min(i, j), max(i, j)
        if pair not in self._volumes:
            self._volumes.clear()  # each is as large as all else together
            model = self._model
            self._volumes[pair] = correlate(
                self._encoded_frame(pair[0]),
                self._encoded_frame(pair[1]),
                size=self.size,
                levels=model.corr_levels,
                radius=model.corr_radius,
            )
        return self._volumes[pair][i > j]

    def forget_correlations(self) -> None:
        """Drop those kept for the other direction."""
        self._volumes.clear()

    def full_size(self, flow: Tensor, state: Tensor) -> Landing:
        """Return flows (B, 2, h, w) at the frames' size, by the network's own way up."""
        model = self._model
        flow = flow.contiguous()
        if hasattr(model.update_block, "mask"):
            weights = 0.25 * model.update_block.mask(state.float())
            wide = model.upsample_flow(flow, weights.contiguous())
        else:
            from ptlflow.models.raft.utils import upflow8

            wide = upflow8(flow)
        wide = model.postprocess_predictions(wide, self._resizer, is_flow=True)
        rows, columns = self._frames.array.shape[1:3]
        return Landing(wide[..., :rows, :columns].contiguous())

    def forget(self, frame: int) -> None:
        """Drop all of the frames up to `frame`."""
        caches: tuple[dict[int, Any], ...] = (
            self._images,
            self._features,
            self._contexts,
            self._attention,
        )
        for parts in caches:
            for k in [k for k in parts if k <= frame]:
                del parts[k]

    def _frame_image(self, frame: int) -> Tensor:
        """Return a frame as the encoders take it: (1, 3, H, W), padded as ptlflow pads."""
        if frame not in self._images:
            images, self._resizer = self._model.preprocess_images(
                network_images([self._frames[frame]], self._device),
                bgr_add=-0.5,
                bgr_mult=2.0,
                bgr_to_rgb=True,
                resize_mode="pad",
                pad_mode="replicate",
                pad_two_side=True,
            )
            self._images[frame] = images.contiguous(memory_format=torch.channels_last)
        return self._images[frame]

    def _encoded_frame(self, frame: int) -> Tensor:
        """Return a frame's features for correlation: (h w, C), float32."""
        if frame not in self._features:
            features = self._model.fnet(self._frame_image(frame))
            self._features[frame] = features.permute(0, 2, 3, 1).flatten(0, 2).contiguous()
        return self._features[frame]
