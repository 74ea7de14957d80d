"""What occurs in the masks of a clip: counted frame by frame, decided by `readings`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from copy import deepcopy
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.masks.blends import BlendCounts
from stages.media.masks.raw import (
    MOST_TINT,
    Raw,
    alpha_of,
    colours_of,
    count_values,
    grey_of,
    packed,
    packed_colours,
    widest_tint,
)
from stages.ops.ignored_label import IGNORE

MOST_COLOURS = 4096  # that are counted; more are a picture
BLENDED = 16  # colours, over which edges may be blended
SEAM = 0.03  # of the short side, that PASCAL VOC leaves void around objects
FLAT = 24  # difference within 3 x 3 pixels up to which they are the inside of an area
BORDERED = 0.9  # share of frames whose whole border is foreground, in masks that look inverted
MOST_COVERED = 0.6  # share of the pictures that is foreground there, at least
BIN = 16  # width of the bins in which colours of a lossy codec are gathered


@dataclass
class Levels:
    """Counts of grey levels, labels or indexes over a clip.

    Attributes
    ----------
    counts : ndarray, shape (65536,), int64
        Pixels of each value.
    top : int
        The largest value that the type of the widest frame holds: 255 or 65535.
    between, ramps : int
        Pixels neither 0 nor the top; and those of them with both a lower and a higher value next
        to them, as in the soft edge of a matte, and hardly ever in labels.
    flats : int
        Pixels between the ends that differ little from all their neighbours.
    empty, empty_but_ignored, empty_at_half, empty_at_127 : int
        Frames without any value, but for `IGNORE`, over half of the top, over 127.
    border_lows : Counter
        Frames by the smallest value along the picture's border.
    appearances : ndarray, shape (65536,), int32
        Frames in which each value occurs.
    void_areas : bool
        Whether `IGNORE` is more than the seams between areas, in some frame of 8 bits.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    top: int = 255
    narrow: bool = False
    between: int = 0
    ramps: int = 0
    flats: int = 0
    frames: int = 0
    empty: int = 0
    empty_but_ignored: int = 0
    empty_at_half: int = 0
    empty_at_127: int = 0
    void_areas: bool = False
    border_lows: Counter[int] = field(default_factory=Counter)
    appearances: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1 << 16, np.int32))

    def add(self, values: NDArray[np.integer]) -> None:
        """Count one frame, (H, W) uint8 or uint16."""
        top = int(np.iinfo(values.dtype).max)
        counts = count_values(values)
        self.counts[: top + 1] += counts
        self.appearances[: top + 1] += counts > 0
        self.narrow |= top == 255
        self.top = max(self.top, top)
        self.frames += 1
        self.border_lows[_border_low(values)] += 1
        self.empty += not counts[1:].any()
        kept = counts[1:IGNORE] if top == 255 else counts[1:]
        self.empty_but_ignored += not kept.any()
        self.empty_at_half += not counts[top // 2 + 1 :].any()
        self.empty_at_127 += not counts[IGNORE // 2 + 1 :].any()
        self.void_areas |= top == IGNORE and _covers_areas(values, int(counts[IGNORE]))
        high = top if counts[IGNORE + 1 :].any() else IGNORE  # 8 bits in a file of 16
        if counts[1:high].any():
            self._add_edges(values, high)

    def is_inverted(self, cut: int) -> bool:
        """Return whether what is over `cut` looks like the background around something.

        It covers the picture's border in nearly all frames and most of the pictures, but not all.
        """
        total, high = int(self.counts.sum()), int(self.counts[cut + 1 :].sum())
        bordered = sum(n for low, n in self.border_lows.items() if low > cut)
        return bordered >= BORDERED * self.frames and MOST_COVERED * total <= high < total

    def _add_edges(self, values: NDArray[np.integer], top: int) -> None:
        kernel = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(values, kernel), cv2.dilate(values, kernel)
        between = (values > 0) & (values < top)
        self.between += int(np.count_nonzero(between))
        self.ramps += int(np.count_nonzero(between & (low < values) & (high > values)))
        middle = (values > top // 8) & (values < top - top // 8)
        flat = (high - low) <= FLAT * (top // 255)
        self.flats += int(np.count_nonzero(middle & flat))

    @property
    def values(self) -> tuple[int, ...]:
        """The values that occur, 0 apart, ascending."""
        return tuple(int(v) for v in np.flatnonzero(self.counts[1:]) + 1)

    @property
    def slope(self) -> float:
        """Share of ramps among the values between the ends, in [0, 1]."""
        return self.ramps / self.between if self.between else 0.0


@dataclass
class Census:
    """All that is counted of integers and colours.

    Attributes
    ----------
    stored : Levels
        Values as stored: grey levels, labels, indexes; green of colours.
    shown : Levels
        Grey levels as shown: those of the palette where there is one.
    alpha : Levels
    colours : Counter
        Pixels of each packed colour; of at most `MOST_COLOURS`.
    flat_bins : ndarray, shape (4096, 4), int64
        Of colours of a lossy codec: sums of red, green, blue and their number, in bins, of pixels
        inside of areas.
    opaque_colours : Counter
        The same as `colours` of pixels that are not transparent.
    colour_frames : Counter
        Frames in which each of `colours` occurs.
    inner_colours : set
        Those of `colours` that fill a square of 3 x 3 pixels somewhere; blends at edges do not.
    blends : BlendCounts
        How often rare colours lie between two others that they mix.
    index_colours : dict
        Colour of each index that occurs; `palettes_differ` where one has several.
    alpha_differs : bool
        Whether more and less than half opaque is other than more and less than half white.
    """

    stored: Levels = field(default_factory=Levels)
    shown: Levels = field(default_factory=Levels)
    alpha: Levels = field(default_factory=Levels)
    colours: Counter[int] = field(default_factory=Counter)
    opaque_colours: Counter[int] = field(default_factory=Counter)
    colour_frames: Counter[int] = field(default_factory=Counter)
    inner_colours: set[int] = field(default_factory=set)
    blends: BlendCounts = field(default_factory=BlendCounts)
    flat_bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros((4096, 4), np.int64))
    index_colours: dict[int, int] = field(default_factory=dict)
    palettes_differ: bool = False
    has_palette: bool = False
    has_colours: bool = False
    all_grey: bool = True
    exact: bool = True
    labels_only: bool = False
    alpha_differs: bool = False
    frames: int = 0
    black_frames: int = 0
    layouts: Counter[str] = field(default_factory=Counter)

    def add(self, raw: Raw) -> None:
        """Count one frame."""
        self.frames += 1
        self.exact &= raw.exact
        self.labels_only |= raw.labels_only
        self.layouts[_value_layout(raw)] += 1
        alpha = alpha_of(raw)
        if raw.palette is not None or raw.is_colour or self.shown.frames:
            if not self.shown.frames:
                self._adopt_grey_frames()
            self._add_colours(raw, alpha)
            self.shown.add(grey_of(raw))
        self.stored.add(raw.values[..., 1] if raw.is_colour else raw.values)
        if alpha is not None:
            self.alpha.add(alpha)

    def _adopt_grey_frames(self) -> None:
        """Take the grey frames before the first with colours for pictures of grey colours."""
        self.shown = deepcopy(self.stored)
        for level in np.flatnonzero(self.stored.counts):
            grey = int(level) if self.stored.top == 255 else int(level) >> 8
            self.colours[grey * 0x010101] += int(self.stored.counts[level])
            self.colour_frames[grey * 0x010101] += int(self.stored.appearances[level])
            self.inner_colours.add(grey * 0x010101)

    def _add_colours(self, raw: Raw, alpha: NDArray[np.uint8] | None) -> None:
        self.has_palette |= raw.palette is not None
        self.has_colours |= raw.is_colour
        numbers = packed_colours(raw)
        if raw.palette is not None:
            self._add_palette(raw)
        self.all_grey &= widest_tint(raw) <= (0 if raw.exact else MOST_TINT)
        self.black_frames += not numbers.any()
        if len(self.colours) <= MOST_COLOURS:
            counted = _counted_values(numbers)
            self.colours.update(counted)
            self.colour_frames.update(counted.keys())
            self.inner_colours |= _inner_values(numbers, counted, self.inner_colours)
            if raw.exact:
                self.blends.add(colours_of(raw), numbers, counted)
        if not (raw.exact and len(self.colours) <= BLENDED):
            self._add_flat(colours_of(raw))
        if alpha is not None:
            grey = grey_of(raw)
            apart = np.count_nonzero((grey > 127) != (alpha > 127))
            self.alpha_differs |= bool(apart > alpha.size // 1000)
            if len(self.opaque_colours) <= MOST_COLOURS:
                self.opaque_colours.update(_counted_values(numbers[alpha > 0]))

    def _add_palette(self, raw: Raw) -> None:
        if raw.palette is None:
            return
        colours = packed(raw.palette[:, :3])
        for index in np.flatnonzero(count_values(raw.values)):
            colour = int(colours[index])
            self.palettes_differ |= self.index_colours.setdefault(int(index), colour) != colour

    def _add_flat(self, colours: NDArray[np.uint8]) -> None:
        kernel = np.ones((3, 3), np.uint8)
        span = (cv2.dilate(colours, kernel) - cv2.erode(colours, kernel)).max(axis=2)
        inside = colours[span <= FLAT].astype(np.int64)
        if not len(inside):
            return
        small = inside // BIN
        bins = (small[:, 0] << 8) | (small[:, 1] << 4) | small[:, 2]
        for channel in range(3):
            self.flat_bins[:, channel] += np.bincount(
                bins, inside[:, channel], minlength=4096
            ).astype(np.int64)
        self.flat_bins[:, 3] += np.bincount(bins, minlength=4096)


@dataclass
class FloatCensus:
    """Counts of soft masks; channels that sum to 1 everywhere begin with the background."""

    shape: tuple[int, ...] = ()
    empty_with: int = 0
    empty_without: int = 0
    half_with: int = 0
    half_without: int = 0
    sums_to_1: bool = True
    frames: int = 0
    names: tuple[str, ...] = ()

    def add(self, raw: Raw, slack: float) -> None:
        """Count one frame, (C, H, W).

        Raises
        ------
        InputError
            If the number of channels changes, or classes sum to more than 1.
        """
        self.shape = self.shape or raw.values.shape
        self.names = self.names or raw.names
        self.frames += 1
        if raw.names != self.names:
            raise InputError(
                f"{raw.where}: expected the layers {', '.join(self.names) or '(none)'} like the "
                f"frames before, got {', '.join(raw.names) or '(none)'}"
            )
        if raw.values.shape != self.shape:
            raise InputError(
                f"{raw.where}: expected {self.shape} like the frames before, got {raw.values.shape}"
            )
        total = raw.values.sum(axis=0, dtype=np.float32)
        if total.max(initial=0) > 1 + slack:
            raise InputError(
                f"{raw.where}: expected classes that sum to at most 1, got up to {total.max():.3g}"
            )
        self.sums_to_1 &= bool(total.min(initial=1) > 1 - slack)
        self.empty_with += not raw.values[1:].any()
        self.empty_without += not raw.values.any()
        self.half_without += not _wins_anywhere(raw.values)
        self.half_with += not _wins_anywhere(raw.values[1:])

    @property
    def background(self) -> int:
        """Channels before those of the foreground: 0 or 1."""
        return int(self.shape[0] > 1 and self.sums_to_1) if self.shape else 0


def _border_low(values: NDArray[np.integer]) -> int:
    """Return the smallest value of the first and last rows and columns, (H, W)."""
    if not values.size:
        return 0
    return int(min(v.min() for v in (values[0], values[-1], values[:, 0], values[:, -1])))


def _wins_anywhere(soft: NDArray[np.floating]) -> bool:
    """Return whether some class is larger than the background, (C, H, W), in some pixel."""
    if not len(soft):
        return False
    return bool((soft.max(axis=0) > 1 - soft.sum(axis=0)).any())


def _counted_values(numbers: NDArray[np.uint32]) -> dict[int, int]:
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(values[: MOST_COLOURS + 1].tolist(), counts.tolist(), strict=False))


def _covers_areas(values: NDArray[np.integer], count: int) -> bool:
    """Return whether `IGNORE`, in `count` pixels, fills areas wider than seams, 1 % at least."""
    if count < values.size // 100:
        return False
    width = max(round(min(values.shape) * SEAM), 3) | 1
    inside = cv2.erode((values == IGNORE).astype(np.uint8), np.ones((width, width), np.uint8))
    return bool(inside.any())


def _inner_values(numbers: NDArray[np.uint32], counted: Iterable[int], known: Set[int]) -> set[int]:
    """Return the values, beside those known, that fill a square of 3 x 3 pixels."""
    if set(counted) <= known or min(numbers.shape) < 3:
        return set()
    inside = np.ones((numbers.shape[0] - 2, numbers.shape[1] - 2), np.bool_)
    middle = numbers[1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            part = numbers[row : row + inside.shape[0], column : column + inside.shape[1]]
            inside &= part == middle
    return set(np.unique(middle[inside]).tolist())


def _value_layout(raw: Raw) -> str:
    if raw.palette is not None:
        return "indexed"
    if raw.is_colour:
        return "colours" + (" with alpha" if raw.values.shape[2] == 4 else "")
    return "8 bits grey" if raw.values.dtype == np.uint8 else "16 bits"
