"""The losses of STCNN: eq. 1 and 2 of the frame that is predicted, eq. 3 of masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stages.ops.ignored_label import IGNORE

ADVERSARIAL = 1e-3  # λ_adv


def discriminator_loss(real: Tensor, predicted: Tensor) -> Tensor:
    """Return STCNN's eq. 1, ``−log(1 − D(X̂)) − log D(X)``, the mean over a batch.

    Parameters
    ----------
    real, predicted : Tensor, shape (B,)
        What the discriminator says of frames and of predicted ones, before its sigmoid.
    """
    return (functional.softplus(predicted) + functional.softplus(-real)).mean()


def generator_loss(
    frames: Tensor, predictions: Tensor, predicted: Tensor, weight: float = ADVERSARIAL
) -> Tensor:
    """Return STCNN's eq. 2, ``‖X − X̂‖² − λ_adv log D(X̂)``; the first is the mean square error.

    Parameters
    ----------
    frames, predictions : Tensor, shape (B, 3, H, W)
        In [0, 1].
    predicted : Tensor, shape (B,)
        What the discriminator says of the predictions, before its sigmoid.
    weight : float
        ``λ_adv``.
    """
    error = functional.mse_loss(predictions.float(), frames.float())
    return error + weight * functional.softplus(-predicted).mean()


def multi_scale_loss(scores: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return STCNN's eq. 3 of the predictions of all scales, added up.

    Each is the mean over pixels of the cross-entropy, where the paper has the sum.

    Parameters
    ----------
    scores : sequence of Tensor, shape (B, 2, h, w)
        Of background and object before the softmax; enlarged bilinearly to the labels.
    labels : Tensor, shape (B, H, W), int64
        1 is the object, 0 the background, `IGNORE` counts for nothing.

    Returns
    -------
    Tensor, shape ()
        0 where all labels are ignored.
    """
    size = (labels.shape[-2], labels.shape[-1])
    counted = (labels != IGNORE).sum().clamp(min=1)
    total = torch.zeros((), device=labels.device)
    for part in scores:
        enlarged = functional.interpolate(
            part.float(), size=size, mode="bilinear", align_corners=False
        )
        total = (
            total
            + functional.cross_entropy(enlarged, labels, ignore_index=IGNORE, reduction="sum")
            / counted
        )
    return total
