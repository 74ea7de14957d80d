"""Refine: every frame's mask agrees with what its neighbours saw."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field, field_validator

from pipeline.plugins import plugin_points
from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import (
    EVIDENCE,
    FLOW,
    FRAMES,
    KEY_FRAME,
    OUTLINES,
    REFINED_LABELS,
    REFINED_MASKS,
    REPAIRS,
    SETTLED,
    TRUST,
    input_masks,
)
from stages.backend import Arithmetic, arithmetic_on
from stages.facts import ClipFacts
from stages.models.decoders.load import decoder_digest
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.refine.coarse import CoarseDecoder
from stages.refine.decoding import (
    TRUST_REACH,
    Refined,
    around,
    decode_aligned,
    decode_deeplab,
    deeplab_reach,
)
from stages.refine.mending import Mended, Mender, consecutive_runs
from stages.refine.plugin import ENTRY_POINTS, is_plugin, plugin_digest, refine_by_plugin
from stages.refine.voting import voting_passes
from stages.shared_settings import (
    DEFAULT_APPEARANCE,
    DEFAULT_RADIUS,
    DEFAULT_REFINE_METHOD,
    Appearance,
    Radius,
    RefineMethod,
)
from stages.trust.outlines import POOLED

METHODS = ("trust", "vote", "aligned", "deeplab", "none")
"""The methods that come with the program; for others see `stages.refine.plugin`."""


class Refine(Stage):
    """Repair of what is wrong; or voting, a learned decoder after it, or the paper's decoder.

    See `stages.ops.voting.vote` and `stages.models.decoders.load`.
    """

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 7
    writes: ClassVar[tuple[ArrayHandle, ...]] = (REFINED_MASKS, REFINED_LABELS, SETTLED)
    uses: ClassVar[tuple[str, ...]] = ("sparse",)
    outside_key: ClassVar[tuple[str, ...]] = ("weights", "device", "modules")
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ("options",)

    method: RefineMethod = Field(
        DEFAULT_REFINE_METHOD,
        description="trust: repair what is wrong and leave the rest as it is; or all masks: vote, "
        "aligned (vote and decode), deeplab (decode), none, or module:function",
    )
    reach: int = Field(8, ge=1, le=30, description="frames to either side that repair a mask")
    radius: Radius = DEFAULT_RADIUS
    passes: int = Field(2, ge=0, le=10, description="each widens the reach by `radius` frames")
    appearance: Appearance = DEFAULT_APPEARANCE
    window: Literal[1, 3, 5, 7] = Field(7, description="frames that the aligned decoder looks at")
    weights: str = Field("", description="of a decoder: path; aligned comes with its own")
    decode: bool = Field(
        True, description="trust: also decode coarse masks with the aligned decoder after voting"
    )
    device: str = Field("cpu", description="of voting and of a decoder: cpu or cuda")

    options: dict[str, Any] = Field(
        default_factory=dict, description="of a method of your own: its keyword arguments"
    )
    modules: str = Field("", description="folder of a method of your own; empty: this one")

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        if method not in METHODS and not is_plugin(method):
            known = ", ".join([*METHODS, *plugin_points(ENTRY_POINTS)])
            raise ValueError(f"expected module:function, or one of {known}")
        return method

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def weights_digest(self) -> str:
        """Digest of a decoder's weights, or of the code of a user's method, for keys."""
        if self.method == "trust":
            return decoder_digest("aligned", self.weights) if self.decode else ""
        if self.method in ("aligned", "deeplab"):
            return decoder_digest(self.method, self.weights)
        if is_plugin(self.method):
            return plugin_digest(self.method, self.modules)
        return ""

    def resolve(self) -> Self:
        """Return the step with the folder of the user's method, and its digest known."""
        folder = self.modules or (str(Path.cwd()) if ":" in self.method else "")
        step = self.model_copy(update={"modules": folder})
        step.weights_digest  # noqa: B018 - looked up now: errors come before the run
        return step

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read as far as all passes together reach, or the windows of the decoder."""
        masks, labels = self._input(facts)
        if self.method == "none":
            return (masks.within(), labels.within())
        if self.method == "trust":
            near = min(self.window // 2, self.radius) if self.decode else 0
            reach = max(self.radius * self.passes, near) + self.reach
            read = (masks, labels, FRAMES, FLOW, TRUST)
            key_frames = (EVIDENCE.within(),) if ClipFacts(facts).sparse else ()
            return (
                *(array.within(reach) for array in read),
                OUTLINES.within(POOLED),
                REPAIRS.within(reach),
                *key_frames,
            )
        if is_plugin(self.method):
            reach = self.reach
            return (masks.within(reach), FRAMES.within(reach), labels.within(), FLOW.within())
        if self.method == "deeplab":
            reach = deeplab_reach(self.weights)
            return (masks.within(reach), labels.within(), FRAMES.within(reach))
        learned = self.method == "aligned"
        more = TRUST_REACH if learned else 0
        votes = self.radius * self.passes + more
        near = min(self.window // 2, self.radius) + more if learned else 0
        return (
            masks.within(max(votes, near)),
            labels.within(),
            FRAMES.within(max(votes, near)),
            FLOW.within(max(votes - self.radius, more)),
        )

    @staticmethod
    def _input(facts: Facts) -> tuple[ArrayHandle, ArrayHandle]:
        return input_masks(ClipFacts(facts).sparse)

    def run(self, window: Window) -> Arrays:
        """Return the soft masks, refined, and what needs no smoothing any more."""
        masks, labels = (window[array] for array in self._input(window.facts))
        if self.method == "none":
            trust = np.zeros((len(masks.array), masks.array.shape[-1]), np.uint8)
            return {"masks": masks.array, "labels": labels.array, "trust": trust}
        on = arithmetic_on(self.device, setting="refine.device")
        with on.running("refine"):
            if self.method == "trust":
                frames = list(self._mended_frames(window, on))
            else:
                frames = [
                    (Mended(pack_mask(mask), labels[t]), pack_mask(trust))
                    for t, (mask, trust) in zip(
                        window.frames, self._refined_masks(window, on), strict=True
                    )
                ]
        return {
            "masks": np.stack([frame.mask for frame, _ in frames]),
            "labels": np.stack([frame.labels for frame, _ in frames]),
            "trust": np.stack([trust for _, trust in frames]),
        }

    def _mended_frames(
        self, window: Window, on: Arithmetic
    ) -> Iterator[tuple[Mended, NDArray[np.uint8]]]:
        """Yield each frame after repairs, and 255 for each class that needs no smoothing."""
        masks, labels = (window[array] for array in self._input(window.facts))
        mender = Mender(window, masks, labels, radius=self.radius, reach=self.reach)
        sparse = ClipFacts(window.facts).sparse
        key_frames = {t for t in window.frames if sparse and window[EVIDENCE][t][0] == KEY_FRAME}
        coarse = {t: mender.coarse_classes(t) & (t not in key_frames) for t in window.frames}
        voted = self._voted_runs(window, mender, coarse, on)
        for t in window.frames:
            restless = [] if t in key_frames else mender.restless_classes(t)
            frame = mender.stilled_frame(t, restless)
            if t in voted:
                frame = frame.with_classes(voted[t], coarse[t])
            yield frame, np.where(coarse[t], 0, 255).astype(np.uint8)

    def _voted_runs(
        self, window: Window, mender: Mender, coarse: dict[int, NDArray[np.bool_]], on: Arithmetic
    ) -> dict[int, NDArray[np.uint8]]:
        """Return the masks of some frames after the mended frames around have voted."""
        wanted = [t for t, classes in coarse.items() if classes.any()]
        if not wanted:  # pictures and flow are not even read
            return {}
        frames = window[FRAMES]
        decoder = None
        if self.decode:
            decoder = CoarseDecoder(
                frames, window[FLOW], lambda t: mender.mended_frame(t).mask,
                window_length=self.window, appearance=self.appearance, weights=self.weights,
                device=self.device,
            )  # fmt: skip
        voted: dict[int, NDArray[np.uint8]] = {}
        for run in consecutive_runs(wanted):
            reach = self.radius * self.passes
            voters = range(max(run.start - reach, frames.start), min(run.stop + reach, frames.stop))
            masks = voting_passes(
                (unpack_mask(mender.mended_frame(t).mask) for t in voters), frames, window[FLOW],
                run, count=self.passes, radius=self.radius, appearance=self.appearance,
                voters=voters, on=on,
            )  # fmt: skip
            for t, mask in zip(run, masks, strict=True):
                soft = on.get(mask)
                if decoder is not None:
                    soft = decoder.decode(t, soft, coarse[t])
                voted[t] = pack_mask(soft)
        return voted

    def _refined_masks(self, window: Window, on: Arithmetic) -> Iterator[Refined]:
        masks, frames = window[self._input(window.facts)[0]], window[FRAMES]
        if self.method == "deeplab":
            decoded = decode_deeplab(
                masks, frames, window.frames, weights=self.weights, device=self.device
            )
            return ((mask, _no_trust(mask)) for mask in decoded)
        if is_plugin(self.method):
            refined = refine_by_plugin(
                self.method, self.options, self.modules, masks, frames, window[FLOW],
                window.frames, reach=self.reach, radius=self.radius,
            )  # fmt: skip
            return ((mask, _no_trust(mask)) for mask in refined)
        if self.method == "vote":
            return (
                (mask, _no_trust(mask)) for mask in self._voted_masks(window, window.frames, on)
            )
        wanted = window.frames
        voted = self._voted_masks(window, around(wanted, frames), on)
        return decode_aligned(
            masks, voted, frames, window[FLOW], wanted, radius=self.radius,
            window_length=self.window, appearance=self.appearance, weights=self.weights,
            device=self.device,
        )  # fmt: skip

    def _voted_masks(
        self, window: Window, wanted: range, on: Arithmetic
    ) -> Iterator[NDArray[np.float32]]:
        """Return the masks of the frames wanted after voting."""
        masks, frames = window[self._input(window.facts)[0]], window[FRAMES]
        reach = self.radius * self.passes
        voters = range(
            max(wanted.start - reach, frames.start), min(wanted.stop + reach, frames.stop)
        )
        voted = voting_passes(
            (unpack_mask(masks[t]) for t in voters), frames, window[FLOW], wanted,
            count=self.passes, radius=self.radius, appearance=self.appearance, voters=voters, on=on,
        )  # fmt: skip
        return (on.get(mask) for mask in voted)


def _no_trust(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return zeros: no class of a mask is to be left alone."""
    return np.zeros(mask.shape[-1], np.float32)
