"""Makes true masks look as if a per-frame network had made them: some errors last, most flicker."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.corruption import corrupted_mask
from steadymask.training.synthetic.materials import smooth_noise

Mask = NDArray[np.bool_]
KINDS = ("coarse", "torn", "whole", "moved")


@dataclass
class Flicker:
    """One network's manner of erring on one clip; call it frame by frame.

    Kinds: `coarse`, edges at an eighth or so of the size, as of a network of that stride, and parts
    lost or added; `torn`, the same at full sharpness; `whole`, sharp edges, but something else
    altogether taken for the object, or half of it missed, for a few frames; `moved`, the
    corruption of `stages.ops.corruption`. A share of the clips has few bad frames, or none.

    Attributes
    ----------
    rng : numpy Generator
    size : int
        Rows and columns of the masks.
    """

    rng: np.random.Generator
    size: int
    kind: str = ""
    share: float = 1.0
    strength: float = 0.0
    _lasting: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _spell: int = 0
    _wrong: Mask | None = None

    def __post_init__(self) -> None:
        """Draw what lasts through the clip."""
        rng = self.rng
        self.kind = self.kind or str(rng.choice(KINDS, p=(0.4, 0.2, 0.28, 0.12)))
        mild = rng.random()
        self.share = 0.0 if mild < 0.22 else rng.uniform(0.1, 0.6) if mild < 0.45 else 1.0
        self.strength = rng.uniform(0.3, 1.0)
        self._lasting = {
            "parts": smooth_noise(rng, 6, self.size),
            "x": 3 * smooth_noise(rng, 5, self.size),
            "y": 3 * smooth_noise(rng, 5, self.size),
        }
        self._growth = rng.normal(0, 3)
        self._blur = rng.uniform(1, 7)
        self._limit = rng.uniform(1.2, 2.6)
        self._stride = int(rng.choice([4, 8, 8, 12]))

    def __call__(self, mask: Mask, other: Mask) -> Mask:
        """Return the mask as the network sees it.

        Parameters
        ----------
        mask : ndarray, shape (size, size), bool
        other : ndarray, shape (size, size), bool
            What else is there that could be mistaken for it.
        """
        rng = self.rng
        if rng.random() >= self.share:
            return mask
        if rng.random() < 0.02:
            return np.zeros_like(mask)
        if self.kind == "moved":
            growth, shift = int(rng.choice([0, 3, 6, 10])), float(rng.choice([0, 4, 8]))
            return np.asarray(
                corrupted_mask(mask, rng, growth=growth, displacement=shift, blobs=0.1)
            )
        out = (
            self._mistaken_object(mask, other) if self.kind == "whole" else self._torn_outline(mask)
        )
        return self._coarse_mask(out) if self.kind == "coarse" else out

    def _torn_outline(self, mask: Mask) -> Mask:
        """Move the outline about; lose and add parts."""
        rng, size = self.rng, self.size
        bad = self._displaced_mask(mask, 3.6 * self.strength)
        blur = self._blur * rng.uniform(0.6, 1.5)
        inside, outside = (
            cv2.distanceTransform(np.uint8(part), cv2.DIST_L2, 5) for part in (bad, ~bad)
        )
        depth = inside - outside + self.strength * (self._growth + rng.normal(0, 4))
        soft = cv2.GaussianBlur(bad.astype(np.float32), (0, 0), blur) - 0.5
        level = np.clip(depth, -12, 12) / 12 + soft
        if rng.random() < 0.8:
            parts = 0.6 * smooth_noise(rng, int(rng.integers(5, 14)), size)
            parts = parts + 0.7 * self._lasting["parts"]
            level = level + np.where(
                np.abs(parts) > self._limit, np.sign(parts) * 1.2 * self.strength, 0
            )
        out = (level > 0).astype(np.uint8)
        if rng.random() < 0.15:
            middle = int(rng.integers(size)), int(rng.integers(size))
            cv2.circle(out, middle, int(rng.integers(4, size // 6)), int(rng.integers(2)), -1)
        return np.asarray(out > 0)

    def _mistaken_object(self, mask: Mask, other: Mask) -> Mask:
        """Take something else for the object, or lose half of it, for a few frames in a row."""
        rng = self.rng
        if self._spell <= 0:
            self._spell = int(rng.integers(1, 8))
            half = smooth_noise(rng, int(rng.integers(3, 7)), self.size) > rng.uniform(-0.5, 1.0)
            self._wrong = half if rng.random() < 0.75 else None
            self._adds = rng.random() < 0.5
        self._spell -= 1
        out = mask
        if self._wrong is not None:
            out = mask | (other & self._wrong) if self._adds else mask & ~self._wrong
        return self._displaced_mask(out, rng.uniform(0, 2) * self.strength)

    def _displaced_mask(self, mask: Mask, pixels: float) -> Mask:
        rng, size = self.rng, self.size
        lasting, knots = rng.uniform(0, pixels / 4), int(rng.integers(4, 9))
        rows, columns = np.mgrid[:size, :size].astype(np.float32)
        x = columns + lasting * self._lasting["x"] + pixels * smooth_noise(rng, knots, size)
        y = rows + lasting * self._lasting["y"] + pixels * smooth_noise(rng, knots, size)
        moved = cv2.remap(
            mask.astype(np.float32), x.astype(np.float32), y.astype(np.float32),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.asarray(moved > 0.5)

    def _coarse_mask(self, mask: Mask) -> Mask:
        few = max(self.size // self._stride, 2)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), self._stride / 2.5)
        small = cv2.resize(soft, (few, few), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (self.size, self.size)) > 0.5)
