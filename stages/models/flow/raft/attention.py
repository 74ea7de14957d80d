"""What a pixel takes over from those of its frame that look alike (GMA)."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stages.models.flow.raft.pair_correlation import fits_square
from stages.models.flow.raft.update import product


class Attention(Protocol):
    """Weights between all pixels of a frame."""

    @property
    def nbytes(self) -> int:
        """How much memory they take."""

    def __call__(self, values: Tensor) -> Tensor:
        """Return the weighted sums (N, C) of the values (C, N) of all pixels."""


def attention_of(layer: Any, inputs: Tensor, dtype: torch.dtype) -> Attention:
    """Return the attention of a frame: its weights, or of large ones what they are made of.

    Jiang et al., "Learning to estimate hidden motions with global motion aggregation", ICCV 2021,
    eq. 2-3, content only.

    Parameters
    ----------
    layer : torch.nn.Module
        ``att`` of ptlflow's gma.
    inputs : tensor, shape (1, C, h, w), float32
        Of the context.
    dtype : torch.dtype
        In which values come and sums go.
    """
    if fits_square(inputs.shape[2] * inputs.shape[3]):
        return SquareAttention(layer(inputs)[0, 0].to(dtype).contiguous())
    query, key = layer.to_qk(inputs)[0].flatten(1).T.chunk(2, dim=1)
    return TiledAttention((layer.scale * query).to(dtype), key.to(dtype))


class SquareAttention:
    """Weights (N, N), kept."""

    def __init__(self, weights: Tensor) -> None:
        self._weights, self.nbytes = weights, weights.nbytes

    def room(self) -> SquareAttention:
        """Return one like this one, with zeros; see `put`."""
        return SquareAttention(torch.zeros_like(self._weights))

    def put(self, attention: SquareAttention) -> None:
        """Copy the weights of another."""
        self._weights.copy_(attention._weights)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the weighted sums."""
        return product(self._weights, values)


class TiledAttention:
    """Weights made again each time, some at a time: torch's attention never holds all of them."""

    def __init__(self, query: Tensor, key: Tensor) -> None:
        self._query, self._key = (part.contiguous()[None, None] for part in (query, key))
        self.nbytes = self._query.nbytes + self._key.nbytes

    def __call__(self, values: Tensor) -> Tensor:
        """Return the weighted sums."""
        return functional.scaled_dot_product_attention(
            self._query, self._key, values.T.contiguous()[None, None], scale=1.0
        )[0, 0]
