"""What a decoder is trained with: the measures of stability as functions with a gradient.

Imports torch: import it where a network is trained, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import InputError, ShapeError
from stages.ops.shapes import bind_shapes

Pair = tuple[int, int]
"""(i, j): from frame i of a window to frame j."""


def check_finite(**tensors: Tensor) -> None:
    """Refuse tensors that hold NaN or infinity; one of them would spoil every weight.

    Raises
    ------
    InputError
        Naming the tensor, how many of its values are bad, and where the first one is.
    """
    for name, values in tensors.items():
        bad = ~torch.isfinite(values)
        if bool(bad.any()):
            first = tuple(bad.nonzero()[0].tolist())
            raise InputError(
                f"{name}: expected finite numbers, got {int(bad.sum())} of {bad.numel()} that are "
                f"NaN or infinite, the first at {first}: check what made them, or lower the "
                "learning rate"
            )


def warp_torch(values: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return `values` of frame j seen from frame i's grid: ``values(x + F[i→j](x))``.

    The same as `stages.ops.warp.warp`, for batches, with a gradient for both arguments.

    Parameters
    ----------
    values : Tensor, shape (B, C, H, W), float
        On frame j's grid.
    flow : Tensor, shape (B, 2, H, W), float
        From i to j, pixels, x before y, pixel centres at integers.

    Returns
    -------
    warped : Tensor, shape (B, C, H, W)
        Bilinear; 0 where the sample lies outside the image, it is not clamped.
    inside : Tensor, shape (B, 1, H, W), bool
        False where it does.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    dims = bind_shapes(values=(values, "B C H W"), flow=(flow, "B 2 H W"))
    right, bottom = dims["W"] - 1, dims["H"] - 1
    x = flow[:, 0] + torch.arange(right + 1, dtype=flow.dtype, device=flow.device)
    y = flow[:, 1] + torch.arange(bottom + 1, dtype=flow.dtype, device=flow.device)[:, None]
    inside = ((x >= 0) & (y >= 0) & (x <= right) & (y <= bottom))[:, None]
    # In a picture one pixel wide every place is the same one: there is nothing to divide by.
    grid = torch.stack([x * (2 / max(right, 1)) - 1, y * (2 / max(bottom, 1)) - 1], dim=-1)
    # "border": rounding may put a sample on the last pixel a hair outside, and zeros would dim it.
    warped = functional.grid_sample(
        values, grid.to(values.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )
    return warped.where(inside, warped.new_zeros(())), inside


@torch.no_grad()
def visible_torch(there: Tensor, back: Tensor, slack: float = 0.01, floor: float = 0.5) -> Tensor:
    """Mark the pixels of frame i that come home after going to frame j and back.

    The inequality of `stages.ops.visibility.visible` [1]_, for batches, in float64 as there. It is
    a decision: no gradient flows through it.

    Parameters
    ----------
    there, back : Tensor, shape (B, 2, H, W), float
        Flow from i to j on i's grid and from j to i on j's grid, pixels, x before y.
    slack : float, >= 0
        Error allowed per squared pixel of motion.
    floor : float, >= 0
        Error always allowed, in squared pixels.

    Returns
    -------
    Tensor, shape (B, 1, H, W), bool

    Raises
    ------
    ShapeError
        If the two flows differ in shape or are not (B, 2, H, W).

    References
    ----------
    .. [1] Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated large displacement
       optical flow", ECCV 2010; constants as in Ruder, Dosovitskiy, Brox, "Artistic style transfer
       for videos", GCPR 2016, eq. 5.
    """
    bind_shapes(there=(there, "B 2 H W"), back=(back, "B 2 H W"))
    there, back = there.double(), back.double()
    home, inside = warp_torch(back, there)
    gap = (there + home).square().sum(dim=1, keepdim=True)
    motion = (there.square() + home.square()).sum(dim=1, keepdim=True)
    return inside & (gap < slack * motion + floor)


def soft_disagreement(here: Tensor, there_masks: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Return for each item the share of its visible pixels that frame j labels otherwise.

    D(i,j) of Azulay et al., "Temporally stable video segmentation without video annotations", eq.
    3, with ``½‖P_i − warp(P_j, F[i→j])‖₁`` over the classes in place of the test whether two
    labels differ. Equals `stages.metrics.stability.disagreement` for one-hot masks and a flow of
    whole pixels.

    Parameters
    ----------
    here, there_masks : Tensor, shape (B, C, H, W), float
        Masks of frames i and j, background included, sum over classes 1.
    flow : Tensor, shape (B, 2, H, W), float
        From i to j on i's grid, pixels, x before y.
    visible : Tensor, shape (B, 1, H, W), bool
        Pixels of i that j shows; one that lands outside the image is not counted.

    Returns
    -------
    Tensor, shape (B,), in [0, 1]
        0 where the masks agree along the flow. NaN, without a gradient, for an item of which no
        pixel is visible.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    InputError
        If masks or flow hold NaN or infinity.
    """
    bind_shapes(
        here=(here, "B C H W"),
        there_masks=(there_masks, "B C H W"),
        flow=(flow, "B 2 H W"),
        visible=(visible, "B 1 H W"),
    )
    check_finite(here=here, there_masks=there_masks, flow=flow)
    warped, inside = warp_torch(there_masks, flow)
    counted = (visible & inside).to(here.dtype)
    wrong = ((here - warped).abs().sum(dim=1, keepdim=True) / 2 * counted).sum(dim=(1, 2, 3))
    pixels = counted.sum(dim=(1, 2, 3))
    return (wrong / pixels.clamp(min=1)).where(pixels > 0, wrong.new_full((), torch.nan))


def consistency_loss(
    masks: Tensor, flows: Mapping[Pair, Tensor], visible: Mapping[Pair, Tensor]
) -> Tensor:
    """Return the mean of E_pair(i,j) = D(i,j) + D(j,i) over the pairs of frames of a window.

    Azulay et al., eq. 3 and 4 without the constants, soft; see `soft_disagreement`.

    Parameters
    ----------
    masks : Tensor, shape (B, K, C, H, W), float
        Masks of K frames of one shot, background included, sum over classes 1.
    flows : mapping from (i, j) to Tensor, shape (B, 2, H, W)
        From frame i to frame j, 0 <= i, j < K, pixels, x before y. Each pair of frames comes in
        both directions; those that count are the ones given.
    visible : mapping from (i, j) to Tensor, shape (B, 1, H, W), bool
        Pixels of i that j shows, for each of `flows`; see `visible_torch`.

    Returns
    -------
    Tensor, scalar, in [0, 2]
        0 where all masks agree along the flow. The mean is over all pairs of all items; a pair
        that sees no pixel in one direction is left out. 0 if none remains, also for K = 1.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    InputError
        If a direction or a visibility is missing, or a number is NaN or infinite.
    """
    dims = bind_shapes(masks=(masks, "B K C H W"))
    _check_pairs(flows, visible, dims["K"])
    errors = [
        soft_disagreement(masks[:, i], masks[:, j], flows[i, j], visible[i, j])
        + soft_disagreement(masks[:, j], masks[:, i], flows[j, i], visible[j, i])
        for i, j in sorted(flows)
        if i < j
    ]
    if not errors:
        return masks.sum() * 0
    stacked = torch.stack(errors)
    counts = ~stacked.isnan()
    return stacked.where(counts, stacked.new_zeros(())).sum() / counts.sum().clamp(min=1)


def data_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cross-entropy of an output against the masks of a soft teacher.

    ``mean_x − Σ_c teacher_c log softmax(logits)_c``, L_D of Azulay et al., section 5.1 and figure
    2: it keeps the decoder from reaching consistency by giving up the masks.

    Parameters
    ----------
    logits : Tensor, shape (…, C, H, W), float
        Of any number of frames; the softmax is taken here. For an output that is given as masks
        P > 0 take ``P.log()``.
    teacher : Tensor, shape as `logits`, float
        Probabilities, background included, sum over classes 1; zeros are fine.

    Returns
    -------
    Tensor, scalar, >= 0, in nats
        Least where the output equals the teacher: it is then the teacher's entropy, not 0.

    Raises
    ------
    ShapeError
        If the two differ in shape, or have fewer than three axes.
    InputError
        If either holds NaN or infinity.
    """
    if logits.ndim < 3 or logits.shape != teacher.shape:
        raise ShapeError(
            f"teacher: expected (… C H W) as in logits {tuple(logits.shape)}, "
            f"got {tuple(teacher.shape)}"
        )
    check_finite(logits=logits, teacher=teacher)
    return -(teacher * functional.log_softmax(logits, dim=-3)).sum(dim=-3).mean()


def _check_pairs(flows: Mapping[Pair, Tensor], visible: Mapping[Pair, Tensor], frames: int) -> None:
    """Refuse pairs of frames that are not there, or of which a part is missing."""
    for i, j in flows:
        if not (0 <= i < frames and 0 <= j < frames and i != j):
            raise InputError(
                f"flows: expected pairs of two of the {frames} frames of masks, got {(i, j)}"
            )
        if (j, i) not in flows:
            raise InputError(f"flows: expected {(j, i)} too, got only {(i, j)}: give both ways")
        if (i, j) not in visible:
            raise InputError(f"seen: expected an entry for {(i, j)} as in flows, got none")
