"""The counts behind the measures for torch tensors, on whatever device these are.

Each gives exactly the numbers of its namesake for arrays; what is made of the counts is the same.
"""

from __future__ import annotations

import torch

from stages.ops.ignored_label import IGNORE


def places_of(flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the nearest pixels that flow leads to.

    Parameters
    ----------
    flow : tensor, shape (2, H, W), float32
        From frame i to frame j on i's grid, pixels, x before y.

    Returns
    -------
    (row, column, inside) : tensors, shape (H, W)
        Rows and columns of j as integers, held inside the picture; and whether they were.
    """
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    x = torch.floor(columns + flow[0] + 0.5).long()
    y = torch.floor(rows + flow[1] + 0.5).long()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.clamp(0, height - 1), x.clamp(0, width - 1), inside


def carried_labels(
    labels: torch.Tensor, flow: torch.Tensor, *, outside: int = IGNORE
) -> torch.Tensor:
    """Return the labels of frame j as frame i sees them; see `temporal.carried_labels`.

    Parameters
    ----------
    labels : tensor, shape (H, W), integer
    flow : tensor, shape (2, H, W), float32
    outside : int
    """
    y, x, inside = places_of(flow)
    return torch.where(inside, labels[y, x], torch.full_like(labels, outside))


def disagreement(
    labels: torch.Tensor, others: torch.Tensor, flow: torch.Tensor, visible: torch.Tensor
) -> tuple[int, int]:
    """Count the visible pixels whose label the other frame does not share, and the visible ones.

    See `stability.disagreement`: for `stability.Consistency.add`; and, with `labels` of t and
    `others` of t−1, what `temporal.StabilityRate` takes the share of.

    Parameters
    ----------
    labels, others : tensors, shape (H, W), integer
    flow : tensor, shape (2, H, W), float32
    visible : tensor, shape (H, W), bool
    """
    y, x, inside = places_of(flow)
    counted = visible & inside
    wrong = (labels != others[y, x]) & counted
    return int(wrong.sum()), int(counted.sum())


def confusion_counts(
    prediction: torch.Tensor, truth: torch.Tensor, *, classes: int, ignore: int = IGNORE
) -> torch.Tensor:
    """Return the pixels by true and predicted class; add them to `semantic.Confusion.counts`.

    Parameters
    ----------
    prediction, truth : tensors, shape (H, W), integer
    classes : int
    ignore : int
        Label in the truth of pixels that do not count.

    Returns
    -------
    tensor, shape (classes, classes + 1), int64
        The last column counts predictions outside the classes.
    """
    true = truth.long()
    counted = (true != ignore) & (true < classes)
    pairs = true * (classes + 1) + prediction.long().clamp(max=classes)
    counts = torch.bincount(pairs[counted], minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)
