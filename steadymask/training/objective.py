"""What a decoder is fitted to, without annotations: consistency, and staying near its teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stages.models.decoders.aligned import VOTED, log_odds
from stages.models.decoders.windows import refined, refined_logits
from steadymask.training.losses.consistency import consistency_loss, data_loss

Losses = dict[str, Tensor]
"""`total`, `consistency` and `data`; scalars."""


def aligned_losses(decoder: nn.Module, batch: dict[str, Tensor], *, data_weight: float) -> Losses:
    """Return ``E_soft(i, j) + λ·CE(P_out, P_voted)`` of pairs of frames.

    Azulay et al., "Temporally stable video segmentation without video annotations", sec. 5.1; the
    teacher is the voted mask.

    Parameters
    ----------
    decoder : AlignedDecoder
    batch : dict
        Of `steadymask.training.samples.AlignedSamples`.
    data_weight : float
        λ.
    """
    planes, near = batch["planes"].flatten(0, 1), batch["near"].flatten(0, 1)
    odds = log_odds(planes[:, VOTED]) + decoder(planes, near).float()
    logits = torch.cat([torch.zeros_like(odds), odds], dim=1)
    teacher = batch["teacher"].flatten(0, 1)
    both = torch.cat([1 - teacher, teacher], dim=1)
    masks = logits.softmax(dim=1)
    masks = masks.reshape(-1, 2, *masks.shape[1:])
    flows = {(0, 1): batch["flow"][:, 0], (1, 0): batch["flow"][:, 1]}
    visible = {(0, 1): batch["seen"][:, 0], (1, 0): batch["seen"][:, 1]}
    return _summed_losses(
        consistency_loss(masks, flows, visible), data_loss(logits, both), data_weight
    )


def window_losses(
    decoder: nn.Module,
    batch: dict[str, Tensor],
    *,
    pairs: Sequence[tuple[int, int]],
    data_weight: float,
) -> Losses:
    """Return the same over all `pairs` of a window; the teacher is the masks that came in.

    Parameters
    ----------
    decoder : DeepLabDecoder
    batch : dict
        Of `steadymask.training.samples.WindowSamples`.
    pairs : sequence of (i, j)
        Those of the batch's `flow` and `seen`.
    data_weight : float
    """
    residuals = decoder(batch["frames"], batch["masks"]).float()
    masks = refined(batch["masks"], residuals)
    flows = {pair: batch["flow"][:, k] for k, pair in enumerate(pairs)}
    visible = {pair: batch["seen"][:, k] for k, pair in enumerate(pairs)}
    data = data_loss(refined_logits(batch["masks"], residuals), batch["masks"])
    return _summed_losses(consistency_loss(masks, flows, visible), data, data_weight)


def _summed_losses(consistency: Tensor, data: Tensor, data_weight: float) -> Losses:
    total = consistency + data_weight * data
    return {"total": total, "consistency": consistency, "data": data}
