"""Refine: every frame's mask agrees with what its neighbours saw."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import FLOW, FRAMES, REFINE_TRUST, REFINED_MASKS, input_masks
from stages.backend import Arithmetic, arithmetic_on
from stages.facts import ClipFacts
from stages.models.decoders.load import decoder_digest
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.refine.decoding import (
    TRUST_REACH,
    Refined,
    around,
    decode_aligned,
    decode_deeplab,
    deeplab_reach,
)
from stages.refine.voting import passes
from stages.shared_settings import DEFAULT_APPEARANCE, DEFAULT_RADIUS, Appearance, Radius


class Refine(Stage):
    """Motion-compensated voting, a learned decoder after it, or the paper's decoder in its place.

    See `stages.ops.voting.vote` and `stages.models.decoders.load`.
    """

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 1
    writes: ClassVar[tuple[ArrayHandle, ...]] = (REFINED_MASKS, REFINE_TRUST)
    uses: ClassVar[tuple[str, ...]] = ("sparse",)
    outside_key: ClassVar[tuple[str, ...]] = ("weights", "device")

    method: Literal["vote", "aligned", "deeplab", "none"] = Field(
        "vote", description="vote, vote and decode, decode, or leave masks as they are"
    )
    radius: Radius = DEFAULT_RADIUS
    passes: int = Field(2, ge=0, le=10, description="each widens the reach by `radius` frames")
    appearance: Appearance = DEFAULT_APPEARANCE
    window: Literal[1, 3, 5, 7] = Field(7, description="frames that the aligned decoder looks at")
    weights: str = Field("", description="of a decoder: path; aligned comes with its own")
    device: str = Field("cpu", description="of voting and of a decoder: cpu or cuda")

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def weights_digest(self) -> str:
        """Digest of a decoder's weights, for keys."""
        if self.method in ("aligned", "deeplab"):
            return decoder_digest(self.method, self.weights)
        return ""

    def resolve(self) -> Self:
        """Return the step with the digest of its weights known."""
        self.weights_digest  # noqa: B018 - looked up now: errors come before the run
        return self

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read as far as all passes together reach, or the windows of the decoder."""
        masks = self._input(facts)
        if self.method == "none":
            return (masks.within(),)
        if self.method == "deeplab":
            reach = deeplab_reach(self.weights)
            return (masks.within(reach), FRAMES.within(reach))
        learned = self.method == "aligned"
        more = TRUST_REACH if learned else 0
        votes = self.radius * self.passes + more
        near = min(self.window // 2, self.radius) + more if learned else 0
        return (
            masks.within(max(votes, near)),
            FRAMES.within(max(votes, near)),
            FLOW.within(max(votes - self.radius, more)),
        )

    @staticmethod
    def _input(facts: Facts) -> ArrayHandle:
        return input_masks(ClipFacts(facts).sparse)[0]

    def run(self, window: Window) -> Arrays:
        """Return the soft masks, refined, and what needs no smoothing any more."""
        if self.method == "none":
            masks = window[self._input(window.facts)].array
            return {"masks": masks, "trust": np.zeros((len(masks), masks.shape[-1]), np.uint8)}
        on = arithmetic_on(self.device, setting="refine.device")
        with on.running("refine"):
            out = [(pack_mask(mask), pack_mask(trust)) for mask, trust in self._refined(window, on)]
        return {
            "masks": np.stack([mask for mask, _ in out]),
            "trust": np.stack([trust for _, trust in out]),
        }

    def _refined(self, window: Window, on: Arithmetic) -> Iterator[Refined]:
        masks, frames = window[self._input(window.facts)], window[FRAMES]
        if self.method == "deeplab":
            decoded = decode_deeplab(
                masks, frames, window.frames, weights=self.weights, device=self.device
            )
            return ((mask, _untrusted(mask)) for mask in decoded)
        if self.method == "vote":
            return ((mask, _untrusted(mask)) for mask in self._voted(window, window.frames, on))
        wanted = window.frames
        voted = self._voted(window, around(wanted, frames), on)
        return decode_aligned(
            masks, voted, frames, window[FLOW], wanted, radius=self.radius,
            look=self.window, appearance=self.appearance, weights=self.weights, device=self.device,
        )  # fmt: skip

    def _voted(
        self, window: Window, wanted: range, on: Arithmetic
    ) -> Iterator[NDArray[np.float32]]:
        """Return the masks of the frames wanted after voting."""
        masks, frames = window[self._input(window.facts)], window[FRAMES]
        reach = self.radius * self.passes
        given = range(
            max(wanted.start - reach, frames.start), min(wanted.stop + reach, frames.stop)
        )
        voted = passes(
            (unpack_mask(masks[t]) for t in given), frames, window[FLOW], wanted,
            count=self.passes, radius=self.radius, appearance=self.appearance, given=given, on=on,
        )  # fmt: skip
        return (on.get(mask) for mask in voted)


def _untrusted(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return that no class of a mask is to be left alone."""
    return np.zeros(mask.shape[-1], np.float32)
