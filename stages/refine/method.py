"""What a method of refine is: what it reads, what its key holds, and how it refines a window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Span, Window
from stages.arrays import input_masks
from stages.backend import Arithmetic, arithmetic_on
from stages.facts import ClipFacts
from stages.ops.fixed_point import pack_mask

RefinedMask = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A mask (H, W, C) in [0, 1], and how far each of its classes (C,) needs no smoothing."""


@dataclass(frozen=True)
class RefineChoice:
    """The settings of refine; see `stages.refine.stage.Refine`."""

    method: str
    radius: int
    reach: int
    passes: int
    appearance: float
    window: int
    weights: str = ""
    decode: bool = True
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)
    modules: str = ""


class RefinementMethod(ABC):
    """One way of refining masks; `stages.refine.methods` lists them."""

    @abstractmethod
    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Return the arrays that it reads, and how many frames to either side."""

    @abstractmethod
    def run(self, choice: RefineChoice, window: Window) -> Arrays:
        """Return soft masks, labels and what needs no smoothing any more."""

    def digest(self, choice: RefineChoice) -> str:
        """Return the digest of weights, or of a user's code, for keys; empty without either."""
        return ""


class SoftMaskMethod(RefinementMethod):
    """A method that refines the soft masks of all classes and leaves the labels alone."""

    @abstractmethod
    def refined_masks(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[RefinedMask]:
        """Yield the mask of each frame of the window."""

    def run(self, choice: RefineChoice, window: Window) -> Arrays:
        """Return soft masks, labels and what needs no smoothing any more."""
        on = arithmetic_on(choice.device, setting="refine.device")
        with on.running("refine"):
            frames = [
                (pack_mask(mask), pack_mask(settled))
                for mask, settled in self.refined_masks(choice, window, on)
            ]
        labels = masks_to_refine(window.facts)[1]
        return {
            "masks": np.stack([mask for mask, _ in frames]),
            "labels": window[labels].between(window.start, window.stop),
            "trust": np.stack([settled for _, settled in frames]),
        }


def to_be_smoothed(masks: Iterable[NDArray[np.float32]]) -> Iterator[RefinedMask]:
    """Yield masks (H, W, C) all of whose classes need smoothing."""
    for mask in masks:
        yield mask, np.zeros(mask.shape[-1], np.float32)


def masks_to_refine(facts: Facts) -> tuple[ArrayHandle, ArrayHandle]:
    """Return the handles of the soft masks and labels that refine starts from."""
    return input_masks(ClipFacts(facts).sparse)


def packed_masks(window: Window) -> Span:
    """Return the soft masks that refine starts from, as `stages.ops.fixed_point` packs them."""
    return window[masks_to_refine(window.facts)[0]]
