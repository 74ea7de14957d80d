"""What a student is trained with: cross-entropy, and each term of the papers by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import ConfigError
from stages.ops.ignored_label import IGNORE
from steadymask.training.loop import Batch, Losses
from steadymask.training.losses.coherence import (
    MARGIN,
    WIDTH,
    boundary_coherency_loss,
    global_coherency_loss,
)
from steadymask.training.losses.consistency import consistency_loss, warp_torch
from steadymask.training.losses.distillation import (
    ConvLSTM,
    multi_frame_loss,
    pair_wise_loss,
    single_frame_loss,
)
from steadymask.training.losses.flow_agreement import (
    motion_guided_loss,
    normalised_motion_loss,
    transform_invariance_loss,
)
from steadymask.training.losses.label_agreement import cross_entropy, lovasz_softmax
from steadymask.training.students import Student
from steadymask.training.triplets import PAIRS

MIDDLE = 1  # the labelled frame of a triplet
NEIGHBOURS = ((0, 1), (1, 2))
PAPER_PIXELS = 473**2  # of the pictures that β of Coherent Loss is for: its term is a sum
ENLARGE = 0.1  # how much a teacher's embedding that is too small counts beside its distance
EXTENT = 1.0  # squared size from which it is large enough: at 8, all of it is saturated


@dataclass(frozen=True)
class Triplet:
    """All that a term may look at; three frames of each item.

    Attributes
    ----------
    scores, masks : Tensor, shape (B, 3, C, H, W)
        The student's scores before the softmax, and its probabilities.
    features : Tensor, shape (B, 3, D, h, w)
        Its features before the last layer.
    teacher_masks, teacher_features : Tensor, shape (B, 3, …)
        The same of the teacher.
    of_moved : Tensor, shape (B, C, H, W), optional
        The student's probabilities for the labelled frame transformed, where a term needs them.
    lstm : ConvLSTM, optional
        Where a term needs it.
    batch : dict
        Of `steadymask.training.triplets.Triplets`.
    band : int, odd
        θ of Coherent Loss: width of the band around edges, pixels.
    margin : float
        γ of Coherent Loss: probability by which another frame is surer.
    """

    scores: Tensor
    masks: Tensor
    features: Tensor
    teacher_masks: Tensor
    teacher_features: Tensor
    of_moved: Tensor | None
    lstm: ConvLSTM | None
    batch: Batch
    band: int = WIDTH
    margin: float = MARGIN

    def flow(self, i: int, j: int) -> Tensor:
        """Return the flow from frame i to frame j, (B, 2, H, W)."""
        return self.batch["flow"][:, PAIRS.index((i, j))]

    def visible(self, i: int, j: int) -> Tensor:
        """Return the pixels of frame i that frame j shows, (B, 1, H, W)."""
        return self.batch["seen"][:, PAIRS.index((i, j))]


def temporal_term(triplet: Triplet) -> Tensor:
    """Return PFI's temporal loss as its authors' program has it, mean over the neighbours."""
    frames, scores = triplet.batch["frames"], triplet.scores
    return _mean_of_known(
        [
            normalised_motion_loss(
                scores[:, i], scores[:, j], triplet.flow(i, j), frames[:, i], frames[:, j]
            )
            for i, j in NEIGHBOURS
        ]
    )


def temporal_divergence_term(triplet: Triplet) -> Tensor:
    """Return PFI's eq. 3 as it is printed, mean over the pairs of neighbours."""
    frames, masks = triplet.batch["frames"], triplet.masks
    return _mean_of_known(
        [
            motion_guided_loss(
                masks[:, i], masks[:, j], triplet.flow(i, j), frames[:, i], frames[:, j]
            )
            for i, j in NEIGHBOURS
        ]
    )


def pair_wise_term(triplet: Triplet) -> Tensor:
    """Return PFI's eq. 2, mean over the pairs of neighbours."""
    masks, wanted = triplet.masks, triplet.teacher_masks
    return _mean_of_known(
        [
            pair_wise_loss((masks[:, i], masks[:, j]), (wanted[:, i], wanted[:, j]))
            for i, j in NEIGHBOURS
        ]
    )


def single_frame_term(triplet: Triplet) -> Tensor:
    """Return the single-frame term of PFI's conference version, for the labelled frame."""
    wanted = triplet.teacher_masks[:, MIDDLE]
    return single_frame_loss(triplet.masks[:, MIDDLE], wanted)


def multi_frame_term(triplet: Triplet) -> Tensor:
    """Return PFI's multi-frame term, and what its embedding lacks in size.

    The paper enlarges the teacher's embedding without an end; it then saturates and says nothing
    of the frames. Here it is enlarged until its square is `EXTENT`.
    """
    if triplet.lstm is None:
        raise ConfigError("multi_frame: expected a ConvLSTM that learns with the student, got none")
    distance, extent = multi_frame_loss(triplet.lstm, triplet.features, triplet.teacher_features)
    return distance + ENLARGE * functional.relu(EXTENT - extent)


def boundary_term(triplet: Triplet) -> Tensor:
    """Return eq. 1 of Coherent Loss, mean over the pairs of neighbours."""
    masks = triplet.masks
    return _mean_of_known(
        [
            boundary_coherency_loss(
                masks[:, i],
                masks[:, j],
                triplet.flow(i, j),
                triplet.flow(j, i),
                width=triplet.band,
            )
            for i, j in NEIGHBOURS
        ]
    )


def global_term(triplet: Triplet) -> Tensor:
    """Return eq. 2 of Coherent Loss for a picture of the paper's size, mean over neighbours."""
    masks = triplet.masks
    sums = [
        global_coherency_loss(
            masks[:, i], masks[:, j], triplet.flow(i, j), triplet.flow(j, i),
            triplet.visible(i, j), triplet.visible(j, i), margin=triplet.margin,
        )
        for i, j in NEIGHBOURS
    ]  # fmt: skip
    return _mean_of_known(sums) * (PAPER_PIXELS / (masks.shape[-1] * masks.shape[-2]))


def lovasz_term(triplet: Triplet) -> Tensor:
    """Return the Lovász-Softmax loss of the labels: beside cross-entropy in Coherent Loss."""
    labels = triplet.batch["labels"].flatten(0, 1)
    return lovasz_softmax(triplet.masks.flatten(0, 1), labels, labels < IGNORE)


def consistency_term(triplet: Triplet) -> Tensor:
    """Return TSS's E_pair of eq. 3, soft, mean over the pairs of neighbours: its section 5.5."""
    flows = {pair: triplet.flow(*pair) for pair in PAIRS}
    visible = {pair: triplet.visible(*pair) for pair in PAIRS}
    return consistency_loss(triplet.masks, flows, visible)


def transform_term(triplet: Triplet) -> Tensor:
    """Return TSS's eq. 1 for the labelled frame."""
    if triplet.of_moved is None:
        raise ConfigError("transform: expected masks of the transformed frames, got none")
    masks, move = triplet.masks[:, MIDDLE], triplet.batch["move"]
    return transform_invariance_loss(triplet.of_moved, masks, move)


TERMS: Mapping[str, Callable[[Triplet], Tensor]] = {
    "temporal": temporal_term,
    "temporal_divergence": temporal_divergence_term,
    "single_frame": single_frame_term,
    "pair_wise": pair_wise_term,
    "multi_frame": multi_frame_term,
    "boundary": boundary_term,
    "global": global_term,
    "lovasz": lovasz_term,
    "consistency": consistency_term,
    "transform": transform_term,
}

WEIGHTS: Mapping[str, float] = {
    "temporal": 0.1, "temporal_divergence": 0.1, "single_frame": 0.1,
    "pair_wise": 0.1, "multi_frame": 0.1,  # λ of PFI, section III-A
    "boundary": 1.0, "global": 5e-5,  # α and β of Coherent Loss, "Experiment settings"
    "lovasz": 1.0,  # "balanced" with the cross-entropy, the same
    "consistency": 1.0, "transform": 0.1,  # ours: the paper names none
}  # fmt: skip


TAUGHT = frozenset(("single_frame", "pair_wise", "multi_frame"))
"""The terms that learn from a teacher."""


def student_losses(
    student: Student,
    batch: Batch,
    weights: Mapping[str, float],
    *,
    teacher: Student | None = None,
    lstm: ConvLSTM | None = None,
    band: int = WIDTH,
    margin: float = MARGIN,
) -> Losses:
    """Return the cross-entropy of a batch of triplets, the terms asked for, and their sum.

    Parameters
    ----------
    student : Student
    batch : dict
        Of `steadymask.training.triplets.Triplets`.
    weights : mapping
        By names of `TERMS`; the terms to add to the cross-entropy.
    teacher : Student, optional
        For the terms in `TAUGHT`; without one the stabilised soft masks teach, and stand
        in for its features.
    lstm : ConvLSTM, optional
        For `multi_frame`.
    band, margin
        θ and γ of Coherent Loss; see `Triplet`.

    Returns
    -------
    dict
        `total`, `labels` (the cross-entropy over all three frames), and each term unweighted.
    """
    frames, items = batch["frames"].flatten(0, 1), len(batch["frames"])
    scores, features = student.with_features(frames)
    of_moved = _of_moved(student, batch) if "transform" in weights else None
    taught = batch["soft"], batch["soft"]
    if teacher is not None and TAUGHT & set(weights):
        taught = _teacher_outputs(teacher, frames, items)
    with torch.autocast(frames.device.type, enabled=False):  # sums over pixels need all bits
        entropy = cross_entropy(_full_precision(scores), batch["labels"].flatten(0, 1))
        by_item = _by_item(_full_precision(scores), items)
        features = _by_item(_full_precision(features), items)
        triplet = Triplet(
            by_item, by_item.softmax(dim=2), features, *taught, of_moved, lstm, batch, band, margin
        )
        terms = {name: TERMS[name](triplet) for name in weights}
        total = entropy + sum(weights[name] * value for name, value in terms.items())
    return {"total": total, "labels": entropy, **terms}


@torch.no_grad()
def class_sums(student: Student, batch: Batch) -> Tensor:
    """Return by class the pixels of a batch that are right, labelled and predicted: (3, C)."""
    labels = batch["labels"].flatten(0, 1)
    predicted = student(batch["frames"].flatten(0, 1)).argmax(dim=1)
    counted = labels < IGNORE
    labels, predicted = labels[counted], predicted[counted]
    parts = labels[labels == predicted], labels, predicted
    classes = 1 + len(student.class_ids)
    return torch.stack([torch.bincount(part, minlength=classes) for part in parts])


def _of_moved(student: Student, batch: Batch) -> Tensor:
    moved, _ = warp_torch(batch["frames"][:, MIDDLE], batch["move"])
    return _full_precision(student(moved)).softmax(dim=1)


def _full_precision(values: Tensor) -> Tensor:
    """Return numbers of 16 bits in 32; wider ones as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@torch.no_grad()
def _teacher_outputs(teacher: Student, frames: Tensor, items: int) -> tuple[Tensor, Tensor]:
    """Return a teacher's masks and features of all frames, three an item."""
    scores, features = teacher.with_features(frames)
    return _by_item(_full_precision(scores).softmax(dim=1), items), _by_item(
        _full_precision(features), items
    )


def _by_item(values: Tensor, items: int) -> Tensor:
    return values.reshape(items, -1, *values.shape[1:])


def _mean_of_known(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
