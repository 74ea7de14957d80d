"""Agreement with labels: cross-entropy, and the Lovász extension of 1 − IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import InputError
from stages.ops.ignored_label import IGNORE
from stages.ops.shapes import bind_shapes


def cross_entropy(logits: Tensor, labels: Tensor, *, ignore: int = IGNORE) -> Tensor:
    """Return the mean of ``−log softmax(logits)[label]`` over the pixels that have a label.

    Parameters
    ----------
    logits : Tensor, shape (B, C, H, W), float
    labels : Tensor, shape (B, H, W), int64
        Below C, or `ignore`.
    ignore : int

    Returns
    -------
    Tensor, scalar, >= 0, in nats
        0, with a gradient of 0, where no pixel has a label.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    InputError
        If a label is none of the C classes.
    """
    dims = bind_shapes(logits=(logits, "B C H W"), labels=(labels, "B H W"))
    known = labels != ignore
    wrong = known & ((labels < 0) | (labels >= dims["C"]))
    if bool(wrong.any()):
        raise InputError(
            f"labels: expected 0 to {dims['C'] - 1}, or {ignore}, got {int(labels[wrong][0])}: "
            "the network has too few classes"
        )
    total = functional.cross_entropy(logits, labels, ignore_index=ignore, reduction="sum")
    return total / known.sum().clamp(min=1)


def lovasz_softmax(masks: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Return the Lovász-Softmax loss [1]_ of some pixels, mean over the classes in their labels.

    Parameters
    ----------
    masks : Tensor, shape (B, C, H, W), float
        Probabilities, sum over classes 1.
    labels : Tensor, shape (B, H, W), int64
        Below C where counted.
    counted : Tensor, shape (B, H, W), bool
        The pixels that count; each item's are one set.

    Returns
    -------
    Tensor, scalar, in [0, 1]
        The mean over items. An item of which no pixel counts adds 0.

    Raises
    ------
    ShapeError
        If sizes do not agree.

    References
    ----------
    .. [1] Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, eq. 8-12 and alg. 1.
    """
    bind_shapes(masks=(masks, "B C H W"), labels=(labels, "B H W"), counted=(counted, "B H W"))
    items = [
        _lovasz_loss(mask[:, some], label[some])
        for mask, label, some in zip(masks, labels, counted, strict=True)
    ]
    return torch.stack(items).mean()


def _lovasz_loss(masks: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of one set of pixels: masks (C, N), labels (N)."""
    terms = []
    for label in torch.unique(labels).tolist():
        own = (labels == label).to(masks.dtype)
        errors, order = (own - masks[label]).abs().sort(descending=True)
        terms.append(errors @ _iou_steps(own[order]))
    return torch.stack(terms).mean() if terms else masks.sum()


def _iou_steps(own: Tensor) -> Tensor:
    """Return by how much 1 − IoU grows with each pixel, were they wrong in this order; alg. 1."""
    shared = own.sum() - own.cumsum(0)
    either = own.sum() + (1 - own).cumsum(0)
    loss = 1 - shared / either
    return torch.cat([loss[:1], loss.diff()])
