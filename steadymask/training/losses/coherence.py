"""Coherent losses: neighbours agree at boundaries, and everywhere the surer one is right."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.ops.shapes import bind_shapes
from steadymask.training.losses.consistency import warp_torch
from steadymask.training.losses.flow_agreement import LEAST
from steadymask.training.losses.label_agreement import lovasz_softmax

WIDTH = 15  # θ, pixels
MARGIN = 0.05  # γ


@torch.no_grad()
def label_band(labels: Tensor, *, width: int = WIDTH) -> Tensor:
    """Mark the pixels in a band around the edges between labels.

    `stages.metrics.temporal.edge_band` for batches.

    Parameters
    ----------
    labels : Tensor, shape (B, H, W), integer
    width : int, odd
        Pixels.

    Returns
    -------
    Tensor, shape (B, H, W), bool
    """
    bind_shapes(labels=(labels, "B H W"))
    values = labels[:, None].float()
    most = functional.max_pool2d(values, width, 1, width // 2)
    least = -functional.max_pool2d(-values, width, 1, width // 2)
    return (most != least)[:, 0]


def boundary_coherency_loss(
    here: Tensor, there: Tensor, flow: Tensor, back: Tensor, *, width: int = WIDTH
) -> Tensor:
    """Return the Lovász-Softmax loss of carried masks near the boundaries of those carried to.

    ``½ LS(M'_t, l_t) over B_t + ½ LS(M'_{t−1}, l_{t−1}) over B_{t−1}`` [1]_: l are the labels that
    win in the prediction and B the band around their edges; M' is the other frame's mask, carried.
    Read here: no gradient flows to labels and band; pixels that come from outside are left out.

    Parameters
    ----------
    here, there : Tensor, shape (B, C, H, W), float
        Masks of two neighbouring frames, sum over classes 1.
    flow, back : Tensor, shape (B, 2, H, W), float
        From `here` to `there` and from `there` to `here`, pixels, x before y.
    width : int, odd
        θ, pixels.

    Returns
    -------
    Tensor, scalar, in [0, 1]
        Mean over items.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] "Coherent Loss: A generic framework for stable video segmentation", eq. 1.
    """
    _check_shapes(here, there, flow, back)
    forward, backward = _at_edges(here, there, flow, width), _at_edges(there, here, back, width)
    return (forward + backward) / 2


def global_coherency_loss(
    here: Tensor,
    there: Tensor,
    flow: Tensor,
    back: Tensor,
    visible: Tensor,
    visible_back: Tensor,
    *,
    margin: float = MARGIN,
) -> Tensor:
    """Return the cross-entropy of carried masks against those they are carried to, where surer.

    ``−½ Σ y_t·log p'_t − ½ Σ y_{t−1}·log p'_{t−1}`` [1]_, summed over the pixels of a picture that
    pass the forward-backward check and whose best class is surer by more than γ than that of the
    carried mask p'. Read here: no gradient flows to y.

    Parameters
    ----------
    here, there : Tensor, shape (B, C, H, W), float
        Masks of two neighbouring frames, sum over classes 1.
    flow, back : Tensor, shape (B, 2, H, W), float
        From `here` to `there` and from `there` to `here`, pixels, x before y.
    visible, visible_back : Tensor, shape (B, 1, H, W), bool
        Pixels of `here` that `there` shows, and the other way; see `visible_torch`.
    margin : float, >= 0
        γ.

    Returns
    -------
    Tensor, scalar, >= 0, in nats
        A sum over pixels, the mean over items.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] "Coherent Loss: A generic framework for stable video segmentation", eq. 2.
    """
    _check_shapes(here, there, flow, back)
    bind_shapes(
        here=(here, "B C H W"), visible=(visible, "B 1 H W"), visible_back=(visible_back, "B 1 H W")
    )
    forward = _where_surer(here, there, flow, visible, margin)
    backward = _where_surer(there, here, back, visible_back, margin)
    return (forward + backward) / 2


def _check_shapes(here: Tensor, there: Tensor, flow: Tensor, back: Tensor) -> None:
    bind_shapes(
        here=(here, "B C H W"),
        there=(there, "B C H W"),
        flow=(flow, "B 2 H W"),
        back=(back, "B 2 H W"),
    )


def _at_edges(here: Tensor, there: Tensor, flow: Tensor, width: int) -> Tensor:
    labels = here.argmax(dim=1)
    warped, inside = warp_torch(there, flow)
    return lovasz_softmax(warped, labels, label_band(labels, width=width) & inside[:, 0])


def _where_surer(
    here: Tensor, there: Tensor, flow: Tensor, visible: Tensor, margin: float
) -> Tensor:
    target = here.detach()
    warped, inside = warp_torch(there, flow)
    surer = target.amax(dim=1) - warped.detach().amax(dim=1) > margin
    counted = surer & (visible & inside)[:, 0]
    entropy = -(target * warped.clamp(min=LEAST).log()).sum(dim=1)
    return (entropy * counted).sum(dim=(1, 2)).mean()
