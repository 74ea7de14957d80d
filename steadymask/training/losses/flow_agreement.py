"""Agreement of neighbouring frames along the flow, and of a picture with itself transformed."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.models.segmenters.base import IMAGENET
from stages.ops.shapes import bind_shapes
from steadymask.training.losses.consistency import warp_torch

LEAST = 1e-7  # probability, so that a logarithm is finite


def motion_guided_loss(
    here: Tensor, there: Tensor, flow: Tensor, picture: Tensor, other: Tensor
) -> Tensor:
    """Return how far the masks of two frames are apart where the frames look alike.

    ``1/N Σ_x V(x) · KL(Q_t(x) ‖ Q̂(x))`` with ``Q̂ = warp(Q_{t+k}, F[t→t+k])`` and
    ``V = exp(−|I_t − warp(I_{t+k})|)`` [1]_. Read here: the norm is the sum over RGB in [0, 1];
    what comes from outside the picture has V = 0; the gradient flows to both frames.

    Parameters
    ----------
    here, there : Tensor, shape (B, C, H, W), float
        Masks of frames t and t+k, sum over classes 1.
    flow : Tensor, shape (B, 2, H, W), float
        From t to t+k on t's grid, pixels, x before y.
    picture, other : Tensor, shape (B, 3, H, W), float
        Frames t and t+k, RGB in [0, 1].

    Returns
    -------
    Tensor, scalar, >= 0, in nats
        Mean over all pixels of all items.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] Liu, Shen, Yu, Wang, "Efficient video segmentation models with per-frame inference",
       eq. 3.
    """
    bind_shapes(
        here=(here, "B C H W"),
        there=(there, "B C H W"),
        flow=(flow, "B 2 H W"),
        picture=(picture, "B 3 H W"),
        other=(other, "B 3 H W"),
    )
    warped, inside = warp_torch(there, flow)
    warped_picture, _ = warp_torch(other, flow)
    alike = torch.exp(-(picture - warped_picture).abs().sum(dim=1)) * inside[:, 0]
    ratio = here.clamp(min=LEAST).log() - warped.clamp(min=LEAST).log()
    return (alike * (here * ratio).sum(dim=1)).mean()


def normalised_motion_loss(
    here: Tensor, there: Tensor, flow: Tensor, picture: Tensor, other: Tensor
) -> Tensor:
    """Return how far the scores of two frames are apart where the frames look alike.

    ``mean (V · (S_t − Ŝ))²`` over pixels and classes, with ``Ŝ = warp(S_{t+k}, F[t→t+k])`` and
    ``V = exp(−|Σ_c (I_t − warp(I_{t+k}))_c|)``: the temporal loss as the program of its authors
    computes it, where their paper (see `motion_guided_loss`) has a divergence of probabilities and
    a norm over colours. Pictures are normalised by ImageNet's mean and deviation, so that unlike
    colours count for less; scores are those before the softmax, so that the loss is of the size of
    the cross-entropy. What comes from outside the picture has V = 0.

    Parameters
    ----------
    here, there : Tensor, shape (B, C, H, W), float
        Scores of frames t and t+k, before the softmax.
    flow : Tensor, shape (B, 2, H, W), float
        From t to t+k on t's grid, pixels, x before y.
    picture, other : Tensor, shape (B, 3, H, W), float
        Frames t and t+k, RGB in [0, 1].

    Returns
    -------
    Tensor, scalar, >= 0
        Mean over all pixels and classes of all items.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(
        here=(here, "B C H W"),
        there=(there, "B C H W"),
        flow=(flow, "B 2 H W"),
        picture=(picture, "B 3 H W"),
        other=(other, "B 3 H W"),
    )
    warped, inside = warp_torch(there, flow)
    warped_picture, _ = warp_torch(other, flow)
    deviation = picture.new_tensor(IMAGENET[1])[:, None, None]
    difference = ((picture - warped_picture) / deviation).sum(dim=1)
    alike = torch.exp(-difference.abs()) * inside[:, 0]
    return (alike[:, None] * (here - warped)).square().mean()


def transform_invariance_loss(of_transformed: Tensor, masks: Tensor, move: Tensor) -> Tensor:
    """Return ``‖f(A(x)) − A(f(x))‖₂`` [1]_, a pixel: its root mean square.

    Read here: the norm is divided by the root of the number of pixels, so that it does not grow
    with the picture; pixels that A brings in from outside are left out.

    Parameters
    ----------
    of_transformed : Tensor, shape (B, C, H, W), float
        f(A(x)), masks of the transformed picture.
    masks : Tensor, shape (B, C, H, W), float
        f(x), masks of the picture itself; they are transformed here.
    move : Tensor, shape (B, 2, H, W), float
        A as a flow: A(x) at a pixel is x at the pixel plus `move`; pixels, x before y.

    Returns
    -------
    Tensor, scalar, >= 0
        Mean over items; one of which all comes from outside adds 0.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] Azulay et al., "Temporally stable video segmentation without video annotations", eq. 1,
       after Eilertsen et al., "Single-frame regularization for temporally stable CNNs", CVPR 2019.
    """
    bind_shapes(
        of_transformed=(of_transformed, "B C H W"),
        masks=(masks, "B C H W"),
        move=(move, "B 2 H W"),
    )
    moved, inside = warp_torch(masks, move)
    apart = ((of_transformed - moved) * inside).flatten(1)
    pixels = inside.flatten(1).sum(dim=1).clamp(min=1)
    norms: Tensor = torch.linalg.vector_norm(apart, dim=1)
    return (norms / pixels.sqrt()).mean()
