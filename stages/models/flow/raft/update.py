"""One iteration of the RAFT family, from the weights of ptlflow's update block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PASSES = (("1", "2"), ("",))  # of the GRU: along rows, then columns; or both at once


@dataclass(frozen=True)
class Convolution:
    """Weights of a convolution that keeps the size of what it is given."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(
        cls, layers: Sequence[Any], dtype: torch.dtype, kept: Sequence[slice] = ()
    ) -> Convolution:
        """Return several layers with the same input as one; of the input, the channels `kept`."""
        weight = torch.cat([layer.weight for layer in layers]).detach()
        if kept:
            weight = torch.cat([weight[:, part] for part in kept], dim=1)
        bias = torch.cat([layer.bias for layer in layers]).detach().to(dtype)
        return cls(weight.to(dtype).contiguous(memory_format=torch.channels_last), bias)

    def unbiased(self) -> Convolution:
        """Return it without its bias."""
        return Convolution(self.weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the convolution of x, shape (B, C, H, W), channels last in memory."""
        rows, columns = self.weight.shape[-2:]
        border = (rows // 2, columns // 2)
        if _by_one_dnn(x):
            # conv2d leaves some shapes to slower code: of one thread, all 1 x 1 kernels
            out: Tensor = torch.mkldnn_convolution(
                x, self.weight, self.bias, border, (1, 1), (1, 1), 1
            )
            return out
        return functional.conv2d(x, self.weight, self.bias, padding=border)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right.T`` of (N, C) and (M, C), both contiguous: (N, M).

    On a CPU as a convolution: twice to three times as fast as MKL on some of them (measured).
    """
    if not _by_one_dnn(left):
        return left @ right.T
    rows, channels = left.shape
    pixels = left.view(1, rows, 1, channels).permute(0, 3, 1, 2)  # channels last in memory
    out = Convolution(right.view(-1, 1, 1, channels).permute(0, 3, 1, 2), None)(pixels)
    return out.permute(0, 2, 3, 1).view(rows, -1)


@lru_cache
def _knows_type(dtype: torch.dtype) -> bool:
    """Say whether oneDNN is there, and computes with this type on this CPU."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _by_one_dnn(x: Tensor) -> bool:
    return x.device.type == "cpu" and _knows_type(x.dtype)


class Update:
    """GRU, motion encoder and flow head as ptlflow's block has them, rearranged to do less.

    Teed, Deng, "RAFT", ECCV 2020, sec. 3.3; Jiang et al., "Learning to estimate hidden motions
    with global motion aggregation", ICCV 2021, sec. 3.2. What the context alone contributes to the
    GRU's gates is computed once a frame and not in every iteration, and gates with the same input
    are one convolution.

    Parameters
    ----------
    block : torch.nn.Module
        ``update_block`` of ptlflow's raft, raft_small or gma, in evaluation mode.
    hidden, context : int
        Channels of the GRU's state and of the context.
    dtype : torch.dtype
        In which it computes: float32 or bfloat16.
    """

    def __init__(self, block: Any, *, hidden: int, context: int, dtype: torch.dtype) -> None:
        self.dtype, self._hidden = dtype, hidden
        encoder, gru, head = block.encoder, block.gru, block.flow_head
        names = ("convc1", "convc2") if hasattr(encoder, "convc2") else ("convc1",)
        self._seen = [Convolution.of([getattr(encoder, name)], dtype) for name in names]
        self._moved = [
            Convolution.of([getattr(encoder, name)], dtype) for name in ("convf1", "convf2")
        ]
        self._motion = Convolution.of([encoder.conv], dtype)
        self._head = [Convolution.of([layer], dtype) for layer in (head.conv1, head.conv2)]
        constant = [slice(hidden, hidden + context)]
        varying = [slice(0, hidden), slice(hidden + context, None)]
        self._constant, self._gates, self._candidates = [], [], []
        for suffix in PASSES[0] if hasattr(gru, "convz1") else PASSES[1]:
            z, r, q = (getattr(gru, f"conv{gate}{suffix}") for gate in "zrq")
            self._constant.append(Convolution.of([z, r, q], torch.float32, constant))
            self._gates.append(Convolution.of([z, r], dtype, varying).unbiased())
            self._candidates.append(Convolution.of([q], dtype, varying).unbiased())
        self._values = _values(block.aggregator, dtype) if hasattr(block, "aggregator") else None

    def context(self, inputs: Tensor) -> list[Tensor]:
        """Return the context's (1, C, H, W), float32, share in the gates, by pass of the GRU."""
        return [constant(inputs).to(self.dtype) for constant in self._constant]

    def __call__(
        self,
        state: Tensor,
        context: Sequence[Tensor],
        correlation: Tensor,
        flow: Tensor,
        attention: Sequence[Callable[[Tensor], Tensor]],
    ) -> tuple[Tensor, Tensor]:
        """Return the GRU's next state and what to add to the flow.

        Parameters
        ----------
        state : tensor, shape (B, hidden, H, W), dtype of the update
        context : sequence of tensor
            From `context`, of each pass of the GRU.
        correlation : tensor, shape (B, levels (2 radius + 1)², H, W)
            See `stages.ops.correlation.look_up`.
        flow : tensor, shape (B, 2, H, W), float32
            So far, in pixels of this grid.
        attention : sequence of `stages.models.flow.raft.attention.Attention`, one a member of
            the batch
            Of gma; empty for others.

        Returns
        -------
        (state, step) : tensors
            As `state`, and (B, 2, H, W) float32.
        """
        motion = self._encode_motion(correlation.to(self.dtype), flow.to(self.dtype))
        parts = [motion]
        if self._values is not None:
            parts.append(_aggregated_motion(motion, self._values(motion), attention))
        # one buffer holds [state, motion]: only the state's channels change from gate to gate
        gate_inputs = torch.cat([state, *parts], dim=1)
        for k, (gates, candidate) in enumerate(zip(self._gates, self._candidates, strict=True)):
            if k:
                gate_inputs[:, : self._hidden] = state
            both, last = context[k].tensor_split([2 * self._hidden], dim=1)
            update, reset = gates(gate_inputs).add_(both).sigmoid_().chunk(2, dim=1)
            torch.mul(reset, state, out=gate_inputs[:, : self._hidden])
            new = candidate(gate_inputs).add_(last).tanh_()
            state = torch.lerp(state, new, update)
        step = self._head[1](self._head[0](state).relu_())
        return state, step.float()

    def _encode_motion(self, correlation: Tensor, flow: Tensor) -> Tensor:
        """Return motion features; their last two channels are the flow."""
        features, moved = correlation, flow
        for layer in self._seen:
            features = layer(features).relu_()
        for layer in self._moved:
            moved = layer(moved).relu_()
        motion = self._motion(torch.cat([features, moved], dim=1)).relu_()
        return torch.cat([motion, flow], dim=1)


def _aggregated_motion(
    motion: Tensor, values: Tensor, attention: Sequence[Callable[[Tensor], Tensor]]
) -> Tensor:
    """Return motion features with those of pixels that look alike added (GMA, sec. 3.2)."""
    out = torch.empty_like(motion)
    for k, carry in enumerate(attention):
        carried = carry(values[k].flatten(1).contiguous())
        out[k] = carried.T.reshape(motion.shape[1:])
    return out.add_(motion)


def _values(aggregator: Any, dtype: torch.dtype) -> Convolution:
    """Return the projection to values with the learned factor of the sum inside."""
    weight = (aggregator.gamma * aggregator.to_v.weight).detach().to(dtype)
    return Convolution(weight.contiguous(memory_format=torch.channels_last), None)
