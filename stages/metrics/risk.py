"""Risk: how likely a frame's mask of an object is wrong, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.metrics.harm import name_frames, runs_of
from stages.ops.shapes import bind_shapes

POOL = 8  # frames to either side whose quantities count as well
FLOOR, COLOUR_FLOOR = 0.02, 0.1  # added before logarithms: what is noise
# Offset and slope of the logistic curves: fitted by benchmarks/quality/risk.py, which also says how
# well they hold; with trust, and without (fitted with refine.method=vote).
TRUST_CURVE, PLAIN_CURVE = (7.24, 1.79), (8.5, 1.92)
MISSING, HALF, LARGER = 0.05, 0.6, 1.7  # share of the area that an object has around the frame
# Mean over `POOL` frames from which masks have nothing to do with one another; the disagreement of
# true masks of nine clips with the next frame, small and fast things among them, stays below 0.75.
UNRELATED = 0.85
DISAGREES, CHANGED, DOUBTED, MISFIT = 0.35, 0.3, 0.3, 0.5


@dataclass(frozen=True)
class Evidence:
    """Quantities of a clip that tell of wrong masks, each (T, C); NaN where there is nothing.

    Attributes
    ----------
    changed : ndarray
        1 less the IoU of the masks in and out.
    earlier, later : ndarray
        1 less the IoU of the mask out with those of the frames before, or after, carried here.
    misfit : ndarray
        See `stages.metrics.colour_fit`.
    area : ndarray
        Pixels of the masks out.
    untrusted : ndarray or None
        Share of the mask in that is not trusted, see `stages.trust.shares`; None without trust.
    """

    changed: NDArray[np.float64]
    earlier: NDArray[np.float64]
    later: NDArray[np.float64]
    misfit: NDArray[np.float64]
    area: NDArray[np.int64]
    untrusted: NDArray[np.float64] | None = None


def gather_evidence(
    carried: NDArray[np.int64],
    objects: NDArray[np.int64],
    areas: NDArray[np.int64],
    misfit: NDArray[np.float64],
    shares: NDArray[np.float64] | None = None,
) -> Evidence:
    """Return the evidence of a clip.

    Parameters
    ----------
    carried : ndarray, shape (T, 2, K2, L, 3), int64
    objects : ndarray, shape (T, C, 2), int64
    areas : ndarray, shape (T, 2, L), int64
        All as `measure` makes them; L = C + 1.
    misfit : ndarray, shape (T, C), float64
    shares : ndarray, shape (T, C, 2), float64, or None
        Of `stages.trust.shares`, frame by frame.
    """
    bind_shapes(carried=(carried, "T 2 K L 3"), areas=(areas, "T 2 L"), misfit=(misfit, "T C"))
    own, other, both = np.moveaxis(carried[:, 1, :, 1:].astype(np.float64), -1, 0)
    union = own + other - both
    apart = np.where(union > 0, 1 - both / np.maximum(union, 1), np.nan)  # (T, K, C)
    middle = apart.shape[1] // 2
    agreed, either = np.moveaxis(objects.astype(np.float64), -1, 0)
    return Evidence(
        changed=np.where(either > 0, 1 - agreed / np.maximum(either, 1), np.nan),
        earlier=_mean_without_nan(apart[:, :middle], axis=1),
        later=_mean_without_nan(apart[:, middle:], axis=1),
        misfit=misfit,
        area=areas[:, 1, 1:],
        untrusted=None if shares is None else shares[..., 1],
    )


def frame_risk(evidence: Evidence, shots: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the probability that a frame's mask of an object has an IoU with the truth under .8.

    A logistic curve over the sum of logarithms of which share is not trusted (without trust: was
    changed), how far neighbours disagree, and how badly colours fit, here and over `POOL` frames
    to either side within the shot. Where the masks of a stretch have nothing to do with one another
    nobody can vouch for any of them, and an object that is taken out of a whole stretch may have
    been there after all: then the risk is at least the share of such frames.

    Parameters
    ----------
    evidence : Evidence
    shots : sequence of (start, stop)

    Returns
    -------
    ndarray, shape (T, C), float64
        In [0, 1]; 0 where neither the masks in nor those out have the object, here or in those
        frames.
    """
    offset, slope = PLAIN_CURVE if evidence.untrusted is None else TRUST_CURVE
    score = risk_score(evidence, shots)
    there = pool((~np.isnan(evidence.changed)).astype(np.float64), shots) > 0
    risk = 1 / (1 + np.exp(-(offset + slope * score)))
    taken_out = (~np.isnan(evidence.changed) & (evidence.area == 0)).astype(np.float64)
    for share in (pool(_disagreement(evidence), shots), pool(taken_out, shots)):
        risk = np.where(share > UNRELATED, np.maximum(risk, share), risk)
    return np.where(there, risk, 0.0)


def risk_score(evidence: Evidence, shots: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the sum of logarithms that `frame_risk` turns into a probability; higher is worse."""
    neighbours = _disagreement(evidence)
    doubted = evidence.changed if evidence.untrusted is None else evidence.untrusted
    score = np.zeros(doubted.shape)
    for values in (doubted, neighbours):
        here = np.nan_to_num(values)
        score += 0.5 * (np.log(here + FLOOR) + np.log(pool(values, shots) + FLOOR))
    return score + np.log(pool(evidence.misfit, shots) + COLOUR_FLOOR)


def _disagreement(evidence: Evidence) -> NDArray[np.float64]:
    """Return how far each mask and those of both sides disagree: (T, C)."""
    return _mean_without_nan(np.stack([evidence.earlier, evidence.later]), axis=0)


def pool(values: NDArray[np.float64], shots: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return means over the frames within `POOL` of each, of its shot; NaN are passed over, or 0.

    Parameters
    ----------
    values : ndarray, shape (T, C), float64
    shots : sequence of (start, stop)
    """
    out = np.zeros(values.shape)
    for start, stop in shots:
        part = values[start:stop]
        known = np.concatenate([[np.zeros(part.shape[1])], np.cumsum(~np.isnan(part), axis=0)])
        sums = np.concatenate([[np.zeros(part.shape[1])], np.cumsum(np.nan_to_num(part), axis=0)])
        frames = np.arange(len(part))
        low, high = np.maximum(frames - POOL, 0), np.minimum(frames + POOL + 1, len(part))
        count = known[high] - known[low]
        out[start:stop] = np.maximum(sums[high] - sums[low], 0) / np.maximum(count, 1)
    return out


def review_rows(
    risk: NDArray[np.float64],
    evidence: Evidence,
    labels: Sequence[int],
    shots: Sequence[Sequence[int]],
    *,
    least: float,
) -> list[dict[str, Any]]:
    """Return the runs of frames to look at, the riskiest first, each with a reason in words.

    The reason is that of the riskiest frame, with the frames around it of which it is true.

    Parameters
    ----------
    risk : ndarray, shape (T, C), float64
    evidence : Evidence
    labels : sequence of C int
    shots : sequence of (start, stop)
        Runs end at cuts.
    least : float
        Risk from which a frame is looked at.
    """
    rows = []
    usual = _usual_area(evidence.area, shots)
    for number, label in enumerate(labels):
        for start, stop in shots:
            for low, high in runs_of(risk[start:stop, number] >= least):
                run = (start + low, start + high)
                worst = run[0] + int(np.argmax(risk[run[0] : run[1], number]))
                reason = _plainest_reason(evidence, usual, worst, number)
                alike = np.array(
                    [_plainest_reason(evidence, usual, t, number) == reason for t in range(*run)]
                )
                spot = next(r for r in runs_of(alike) if r[0] <= worst - run[0] < r[1])
                spot = spot[0] + run[0], spot[1] + run[0]
                rows.append(
                    {
                        "frame": worst,
                        "frames": list(run),
                        "object": int(label),
                        "risk": round(float(risk[worst, number]), 3),
                        "reason": f"{reason}, {name_frames((spot,))}",
                    }
                )
    return sorted(rows, key=lambda row: (-row["risk"], row["frame"], row["object"]))


def _usual_area(area: NDArray[np.int64], shots: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the median area over the frames within `POOL` of each, of its shot."""
    out = np.zeros(area.shape)
    for start, stop in shots:
        for t in range(start, stop):
            near = area[max(t - POOL, start) : min(t + POOL + 1, stop)]
            out[t] = np.median(near, axis=0)
    return out


def _plainest_reason(evidence: Evidence, usual: NDArray[np.float64], t: int, number: int) -> str:
    """Return the plainest thing that is wrong with an object in a frame."""
    area, around = float(evidence.area[t, number]), float(usual[t, number])
    sides = np.array([evidence.earlier[t, number], evidence.later[t, number]])
    absent = np.isnan(evidence.changed[t, number])
    if absent or (around > 0 and area < MISSING * around):
        return "the object is missing"
    if area < HALF * around:
        return "half of it missing"
    if around > 0 and area > LARGER * around:
        return "far larger than in the frames around"
    if np.isnan(sides).all():
        return "nobody vouches"
    return _mask_disagreement(evidence, sides, t, number)


def _mask_disagreement(evidence: Evidence, sides: NDArray[np.float64], t: int, number: int) -> str:
    """Return the evidence that disagrees with a mask of the usual size."""
    untrusted = evidence.untrusted
    if min(np.nan_to_num(sides, nan=1.0)) > DISAGREES:
        return "disagrees with both sides"
    if max(np.nan_to_num(sides)) > DISAGREES:
        return "disagrees with one side"
    if evidence.changed[t, number] > CHANGED:
        return "changed a lot"
    if untrusted is not None and untrusted[t, number] > DOUBTED:
        return "doubted by the frames around"
    if evidence.misfit[t, number] > MISFIT:
        return "colours do not fit"
    if untrusted is None:
        return "masks around it were changed or disagree"
    return "masks around it are doubted or disagree"


def _mean_without_nan(values: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Return means that pass over NaN, and are NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
