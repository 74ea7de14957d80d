"""What the scores of all clips come to: means, how sure they are, which is best, which fail."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from stages.metrics.intervals import bootstrap_interval
from steadymask.evaluation.pools import pooled_interval
from steadymask.evaluation.score_clip import TRUTH, ClipScores

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"

MEASURES = {
    "J": (HIGHER, "intersection over union, mean over frames and objects (DAVIS)"),
    "J_recall": (HIGHER, "share of frames with J over 0.5"),
    "J_decay": (LOWER, "J in the first quarter minus J in the last"),
    "F": (HIGHER, "boundary F-measure, tolerance 0.008 of the diagonal (DAVIS)"),
    "F_recall": (HIGHER, "share of frames with F over 0.5"),
    "F_decay": (LOWER, "F in the first quarter minus F in the last"),
    "J&F": (HIGHER, "mean of J and F (DAVIS 2017)"),
    "T": (LOWER, "instability of the contours, as the program of DAVIS 2016 computes it"),
    "contour_change": (LOWER, "change of the contours' shape, in a way of our own"),
    "recall": (HIGHER, "share of the true foreground that is found"),
    "mIoU": (HIGHER, "mean intersection over union of the classes"),
    "fwIoU": (HIGHER, "the same, weighted by frequency"),
    "accuracy": (HIGHER, "share of pixels that are right"),
    "class_accuracy": (HIGHER, "the same, mean over classes"),
    "VC8": (HIGHER, "share of unchanging pixels right in all of 8 frames (VSPW)"),
    "VC16": (HIGHER, "the same for 16 frames"),
    "mIoU_vspw": (HIGHER, "mean IoU of the true classes, all clips together (VSPW's program)"),
    "fwIoU_vspw": (HIGHER, "the same, weighted by frequency: VSPW's weighted IoU"),
    "accuracy_vspw": (HIGHER, "share of pixels that are right, all clips together"),
    "class_accuracy_vspw": (HIGHER, "the same, mean over the true classes"),
    "VC8_vspw": (HIGHER, "VC8 as the public VSPW script computes it, over all windows"),
    "VC16_vspw": (HIGHER, "VC16 as the public VSPW script computes it, over all windows"),
    "HOTA": (HIGHER, "objects and their numbers right together (Luiten et al.)"),
    "IDF1": (HIGHER, "share of masks with the right number, one number an object (Ristani et al.)"),
    "switches": (LOWER, "times that an object changes its number"),
    "track_AP": (HIGHER, "average precision of whole tracks (YouTube-VIS)"),
    "track_AR": (HIGHER, "average recall of whole tracks (YouTube-VIS)"),
    "E_cons": (
        LOWER,
        "wrongly carried visible pixels per boundary pixel (Azulay et al., eq. 4): a "
        "width in pixels of the size that was judged at",
    ),
    "E_cons_480": (LOWER, "E_cons times 480 / lines: the same width whatever the size"),
    "excess": (LOWER, "share left of the baseline's E_cons that the truth does not have"),
    "E_cons_mean": (LOWER, "E_cons before the division by the boundary"),
    "E_smooth": (LOWER, "distance to the Gaussian mean in time, over the clip (same, eq. 2)"),
    "E_smooth_mean": (LOWER, "the same, mean a frame: does not grow with the length"),
    "E_smooth_merged": (LOWER, "E_smooth with several classes merged by argmax, as in the paper"),
    "TC": (HIGHER, "IoU with the carried labels of the frame before (VSPW, eq. 5-6)"),
    "TC_vspw": (HIGHER, "TC as the public VSPW script computes it, all clips together"),
    "STB": (HIGHER, "share of tracked pixels that keep their label (Coherent Loss, eq. 4)"),
    "STB_local": (HIGHER, "the same within 15 pixels around the true edges"),
    "band_visible": (NEITHER, "share of the 5-pixel band at edges that the flow calls visible"),
}

COMPARE = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip


@dataclass(frozen=True)
class Mean:
    """A measure's mean over clips, and the interval that holds it at 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Means by system and measure over the clips that all systems could be scored on.

    Attributes
    ----------
    clips : tuple of str
        Those clips.
    left_out : tuple of str
        Clips that lack a system.
    means : dict
    """

    clips: tuple[str, ...]
    left_out: tuple[str, ...]
    means: dict[str, dict[str, Mean]]

    def best(self, measure: str) -> set[str]:
        """Return the systems with the best mean; none where fewer than two have one."""
        way = MEASURES[measure][0]
        known = {
            system: means[measure].value
            for system, means in self.means.items()
            if system != TRUTH and measure in means and not math.isnan(means[measure].value)
        }
        if way == NEITHER or len(known) < 2:
            return set()
        top = max(known.values()) if way == HIGHER else min(known.values())
        return {system for system, value in known.items() if value == top}


def summarise_clips(scores: Sequence[ClipScores], systems: Sequence[str]) -> Summary:
    """Return the means over the clips that all systems have.

    Raises
    ------
    ConfigError
        If a clip has a value of a measure that `MEASURES` lacks: it would be missing unnoticed.
    """
    _check_registered(scores)
    common = [
        clip_scores
        for clip_scores in scores
        if all(system in clip_scores.values for system in systems)
    ]
    names = (
        [*systems, TRUTH]
        if any(TRUTH in clip_scores.values for clip_scores in common)
        else list(systems)
    )
    means: dict[str, dict[str, Mean]] = {system: {} for system in names}
    for system in names:
        for measure in MEASURES:
            mean = _set_score(common, system, measure)
            if mean is not None:
                means[system][measure] = mean
    chosen = {clip_scores.name for clip_scores in common}
    left_out = tuple(clip_scores.name for clip_scores in scores if clip_scores.name not in chosen)
    return Summary(tuple(clip_scores.name for clip_scores in common), left_out, means)


def _check_registered(scores: Sequence[ClipScores]) -> None:
    for clip in scores:
        for by_system in (clip.values, clip.pools):
            for system, measures in by_system.items():
                unknown = [name for name in measures if name not in MEASURES]
                if unknown:
                    raise ConfigError(
                        f"{clip.name}: {system}: expected measures of MEASURES, got "
                        f"{', '.join(map(repr, unknown))}: register each in MEASURES of "
                        f"steadymask/evaluation/summary.py, with whether higher is better, and in "
                        f"the table of docs/evaluation.md"
                    )


def _set_score(scores: Sequence[ClipScores], system: str, measure: str) -> Mean | None:
    """Return the score of a set and its interval: over what clips add to it, else their mean."""
    pools = [clip.pools.get(system, {}).get(measure) for clip in scores]
    known_pools = [pool for pool in pools if pool is not None]
    if known_pools:
        return Mean(*pooled_interval(known_pools))
    values = [
        clip.values[system][measure] for clip in scores if measure in clip.values.get(system, {})
    ]
    if not values:
        return None
    known = [value for value in values if not math.isnan(value)]
    mean = sum(known) / len(known) if known else math.nan
    return Mean(mean, *bootstrap_interval(known))


@dataclass(frozen=True)
class Gate:
    """A condition under which a clip fails, such as ``E_cons>1.5``."""

    measure: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Return the gate that a text describes.

        Raises
        ------
        ConfigError
            If it is none, or there is no such measure.
        """
        parts = re.fullmatch(r"\s*([\w&]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*", text)
        try:
            bound = float(parts[3]) if parts else math.nan
        except ValueError:
            bound = math.nan
        if parts is None or math.isnan(bound):
            raise ConfigError(f"--fail-if {text!r}: expected e.g. 'E_cons>1.5' or 'J<0.8'")
        if parts[1] not in MEASURES:
            known = ", ".join(MEASURES)
            raise ConfigError(f"--fail-if {text!r}: no measure {parts[1]!r}; there are {known}")
        return cls(parts[1], parts[2], bound)

    def failures(self, scores: Sequence[ClipScores]) -> list[str]:
        """Return a line for every clip and system that fails."""
        return [
            f"{clip_scores.name}: {system}: {self.measure} = {values[self.measure]:.4g} "
            f"{self.sign} {self.bound:g}"
            for clip_scores in scores
            for system, values in clip_scores.values.items()
            if system != TRUTH
            and self.measure in values
            and COMPARE[self.sign](values[self.measure], self.bound)
        ]
