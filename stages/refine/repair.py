"""The default method: repair of what trust calls wrong; all else stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Arrays, Facts, Input, Window
from stages.arrays import EVIDENCE, FLOW, FRAMES, KEY_FRAME, OUTLINES, REPAIRS, TRUST
from stages.backend import Arithmetic, arithmetic_on
from stages.facts import ClipFacts
from stages.models.decoders.load import decoder_digest
from stages.ops.fixed_point import pack_mask, unpack_mask
from stages.refine.coarse import CoarseDecoder
from stages.refine.mending import Mended, Mender, consecutive_runs
from stages.refine.method import RefineChoice, RefinementMethod, masks_to_refine
from stages.refine.voting import voting_passes
from stages.trust.outlines import POOLED


class RepairMethod(RefinementMethod):
    """Wrong regions are mended, restless outlines stilled, coarse classes voted and decoded."""

    def inputs(self, choice: RefineChoice, facts: Facts) -> tuple[Input, ...]:
        """Read as far as repairs, votes and the decoder's window together reach."""
        near = min(choice.window // 2, choice.radius) if choice.decode else 0
        reach = max(choice.radius * choice.passes, near) + choice.reach
        read = (*masks_to_refine(facts), FRAMES, FLOW, TRUST)
        key_frames = (EVIDENCE.within(),) if ClipFacts(facts).sparse else ()
        return (
            *(array.within(reach) for array in read),
            OUTLINES.within(POOLED),
            REPAIRS.within(reach),
            *key_frames,
        )

    def digest(self, choice: RefineChoice) -> str:
        """Return the digest of the decoder's weights, if coarse masks are decoded."""
        return decoder_digest("aligned", choice.weights) if choice.decode else ""

    def run(self, choice: RefineChoice, window: Window) -> Arrays:
        """Return soft masks and labels after repairs, and what needs no smoothing any more."""
        on = arithmetic_on(choice.device, setting="refine.device")
        with on.running("refine"):
            frames = list(self._mended_frames(choice, window, on))
        return {
            "masks": np.stack([frame.mask for frame, _ in frames]),
            "labels": np.stack([frame.labels for frame, _ in frames]),
            "trust": np.stack([settled for _, settled in frames]),
        }

    def _mended_frames(
        self, choice: RefineChoice, window: Window, on: Arithmetic
    ) -> Iterator[tuple[Mended, NDArray[np.uint8]]]:
        """Yield each frame after repairs, and 255 for each class that needs no smoothing."""
        masks, labels = (window[array] for array in masks_to_refine(window.facts))
        mender = Mender(window, masks, labels, radius=choice.radius, reach=choice.reach)
        sparse = ClipFacts(window.facts).sparse
        key_frames = {t for t in window.frames if sparse and window[EVIDENCE][t][0] == KEY_FRAME}
        coarse = {t: mender.coarse_classes(t) & (t not in key_frames) for t in window.frames}
        voted = self._voted_runs(choice, window, mender, coarse, on)
        for t in window.frames:
            restless = [] if t in key_frames else mender.restless_classes(t)
            frame = mender.stilled_frame(t, restless)
            if t in voted:
                frame = frame.with_classes(voted[t], coarse[t])
            yield frame, np.where(coarse[t], 0, 255).astype(np.uint8)

    def _voted_runs(
        self,
        choice: RefineChoice,
        window: Window,
        mender: Mender,
        coarse: dict[int, NDArray[np.bool_]],
        on: Arithmetic,
    ) -> dict[int, NDArray[np.uint8]]:
        """Return the masks of some frames after the mended frames around have voted."""
        wanted = [t for t, classes in coarse.items() if classes.any()]
        if not wanted:  # pictures and flow are not even read
            return {}
        frames = window[FRAMES]
        decoder = None
        if choice.decode:
            decoder = CoarseDecoder(
                frames, window[FLOW], lambda t: mender.mended_frame(t).mask,
                window_length=choice.window, appearance=choice.appearance, weights=choice.weights,
                device=choice.device,
            )  # fmt: skip
        voted: dict[int, NDArray[np.uint8]] = {}
        for run in consecutive_runs(wanted):
            reach = choice.radius * choice.passes
            voters = range(max(run.start - reach, frames.start), min(run.stop + reach, frames.stop))
            masks = voting_passes(
                (unpack_mask(mender.mended_frame(t).mask) for t in voters), frames, window[FLOW],
                run, count=choice.passes, radius=choice.radius, appearance=choice.appearance,
                voters=voters, on=on,
            )  # fmt: skip
            for t, mask in zip(run, masks, strict=True):
                soft = on.get(mask)
                if decoder is not None:
                    soft = decoder.decode(t, soft, coarse[t])
                voted[t] = pack_mask(soft)
        return voted
