"""The methods of refine by name; every place that asks for a method reads this table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.plugins import plugin_points
from pipeline.stage import Arrays, Facts, Input, Window
from stages.arrays import FLOW, FRAMES
from stages.backend import Arithmetic
from stages.models.decoders.load import decoder_digest
from stages.ops.fixed_point import unpack_mask
from stages.refine.decoding import (
    TRUST_REACH,
    around,
    decode_aligned,
    decode_deeplab,
    deeplab_reach,
)
from stages.refine.method import (
    RefineChoice,
    RefinedMask,
    RefinementMethod,
    SoftMaskMethod,
    masks_to_refine,
    packed_masks,
    to_be_smoothed,
)
from stages.refine.plugin import ENTRY_POINTS, is_plugin, plugin_digest, refine_by_plugin
from stages.refine.repair import RepairMethod
from stages.refine.voting import voting_passes


class UnchangedMethod(RefinementMethod):
    """Masks stay as they are."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read the masks alone."""
        masks, labels = masks_to_refine(facts)
        return (masks.within(), labels.within())

    def run(self, choice: RefineChoice, window: Window) -> Arrays:
        """Return the masks as they are."""
        masks, labels = (window[handle].array for handle in masks_to_refine(window.facts))
        settled = np.zeros((len(masks), masks.shape[-1]), np.uint8)
        return {"masks": masks, "labels": labels, "trust": settled}


class VoteMethod(SoftMaskMethod):
    """The mean of the neighbours along the flow, weighted by checks, in passes."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read as far as all passes together reach."""
        masks, labels = masks_to_refine(facts)
        reach = choice.radius * choice.passes
        return (
            masks.within(reach),
            labels.within(),
            FRAMES.within(reach),
            FLOW.within(max(reach - choice.radius, 0)),
        )

    def refined_masks(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[RefinedMask]:
        """Yield the voted masks."""
        return to_be_smoothed(_voted_masks(choice, window, window.frames, on))


class AlignedMethod(SoftMaskMethod):
    """Voting, then a decoder of the residual on masks and pictures aligned by the flow."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read as far as the votes reach, or the window of the decoder."""
        masks, labels = masks_to_refine(facts)
        votes = choice.radius * choice.passes + TRUST_REACH
        near = min(choice.window // 2, choice.radius) + TRUST_REACH
        return (
            masks.within(max(votes, near)),
            labels.within(),
            FRAMES.within(max(votes, near)),
            FLOW.within(max(votes - choice.radius, TRUST_REACH)),
        )

    def refined_masks(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[RefinedMask]:
        """Yield the decoded masks, each with how far its classes were sure and steady."""
        frames = window[FRAMES]
        voted = _voted_masks(choice, window, around(window.frames, frames), on)
        return decode_aligned(
            packed_masks(window), voted, frames, window[FLOW], window.frames, radius=choice.radius,
            window_length=choice.window, appearance=choice.appearance, weights=choice.weights,
            device=choice.device,
        )  # fmt: skip

    def digest(self, choice: RefineChoice) -> str:
        """Return the digest of the decoder's weights."""
        return decoder_digest("aligned", choice.weights)


class DeepLabMethod(SoftMaskMethod):
    """The decoder of the paper, over windows of seven frames."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read as far as the windows that see a frame reach."""
        masks, labels = masks_to_refine(facts)
        reach = deeplab_reach(choice.weights)
        return (masks.within(reach), labels.within(), FRAMES.within(reach))

    def refined_masks(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[RefinedMask]:
        """Yield the decoded masks."""
        decoded = decode_deeplab(
            packed_masks(window), window[FRAMES], window.frames,
            weights=choice.weights, device=choice.device,
        )  # fmt: skip
        return to_be_smoothed(decoded)

    def digest(self, choice: RefineChoice) -> str:
        """Return the digest of the decoder's weights."""
        return decoder_digest("deeplab", choice.weights)


class PluginMethod(SoftMaskMethod):
    """A method of the user's; see `stages.refine.plugin`."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read as far as `refine.reach`."""
        masks, labels = masks_to_refine(facts)
        reach = choice.reach
        return (masks.within(reach), FRAMES.within(reach), labels.within(), FLOW.within())

    def refined_masks(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[RefinedMask]:
        """Yield the user's masks."""
        refined = refine_by_plugin(
            choice.method, choice.options, choice.modules, packed_masks(window), window[FRAMES],
            window[FLOW], window.frames, reach=choice.reach, radius=choice.radius,
        )  # fmt: skip
        return to_be_smoothed(refined)

    def digest(self, choice: RefineChoice) -> str:
        """Return the digest of the file that defines it."""
        return plugin_digest(choice.method, choice.modules)


METHODS: dict[str, RefinementMethod] = {
    "trust": RepairMethod(),
    "vote": VoteMethod(),
    "aligned": AlignedMethod(),
    "deeplab": DeepLabMethod(),
    "none": UnchangedMethod(),
}
"""The methods that come with the program."""


def find_method(name: str) -> RefinementMethod:
    """Return the method of a name.

    Raises
    ------
    ValueError
        If there is none, naming those there are.

    Examples
    --------
    >>> type(find_method("vote")).__name__, type(find_method("mine:refine")).__name__
    ('VoteMethod', 'PluginMethod')
    """
    if name in METHODS:
        return METHODS[name]
    if is_plugin(name):
        return PluginMethod()
    known = ", ".join([*METHODS, *plugin_points(ENTRY_POINTS)])
    raise ValueError(f"expected module:function, or one of {known}")


def _voted_masks(
    choice: RefineChoice, window: Window, wanted: range, on: Arithmetic
) -> Iterator[NDArray[np.float32]]:
    """Return the masks of the frames wanted after voting."""
    masks, frames = packed_masks(window), window[FRAMES]
    reach = choice.radius * choice.passes
    voters = range(max(wanted.start - reach, frames.start), min(wanted.stop + reach, frames.stop))
    voted = voting_passes(
        (unpack_mask(masks[t]) for t in voters), frames, window[FLOW], wanted, count=choice.passes,
        radius=choice.radius, appearance=choice.appearance, voters=voters, on=on,
    )  # fmt: skip
    return (on.get(mask) for mask in voted)
