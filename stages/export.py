"""Export: results of every source frame, at the source's size and with its timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import cache, cached_property, partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, computed_field

from pipeline.errors import InputError
from pipeline.plugins import code_digest, let_import
from pipeline.stage import ArrayHandle, Clip, Facts, Input, PartedSink, Reader
from stages.arrays import (
    COVER,
    COVER_STATES,
    FRAMES,
    INPUT_LABELS,
    INPUT_MASKS,
    SMOOTH_LABELS,
    SMOOTH_MASKS,
    SOURCE_LABELS,
    SOURCE_MASKS,
    SOURCE_SOFT,
    TRUST,
    input_masks,
)
from stages.facts import ClipFacts
from stages.media.footage.video import read_frames
from stages.media.results.registry import build_results, result_type
from stages.media.results.result import (
    Result,
    ResultClip,
    ResultFrame,
    parse_frames,
    select_frames,
)
from stages.media.results.settings import ENTRY_POINTS, ResultSettings, is_own_format
from stages.models.matting import matted, matting_digest
from stages.ops.edge_alpha import edge_alpha
from stages.ops.fixed_point import unpack_mask
from stages.ops.guided import upsample_mask
from stages.ops.soft_masks import winning_classes
from stages.ops.source_size import transfer_labels, transfer_soft
from stages.shared_settings import DEFAULT_REFINE_METHOD, RefineMethod
from stages.smooth.filtering import centred_guide
from stages.trust.shares import trust_shares

Part = tuple[int, int]
Pixels = tuple[NDArray[np.uint8], NDArray[np.uint8], Callable[[], NDArray[np.float32]]]
"""Labels, picture, and a function for the soft mask, of one frame at the source's size."""


class Export(ResultSettings, PartedSink):
    """The results that users get; see `stages.media.results`, a file for each format."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 7
    uses: ClassVar[tuple[str, ...]] = (
        "size", "source_size", "timeline", "parts", "classes", "class_names",
        "source_masks", "hard_masks", "shots", "sparse",
    )  # fmt: skip

    outside_key: ClassVar[tuple[str, ...]] = ("modules",)
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ("code_digests", "matting", "method")
    editable: ClassVar[tuple[str, ...]] = ("masks",)

    kernel: int = Field(8, ge=1, le=255, description="box of the upsampling to source size")
    eps: float = Field(1e-4, ge=1e-6, description="of the upsampling; see smooth.eps")

    method: RefineMethod = DEFAULT_REFINE_METHOD
    matting: str = Field(
        "", description="network for the band around outlines: module:function, or model.onnx"
    )
    modules: str = Field("", description="folder of a result format of your own; empty: this one")

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def code_digests(self) -> dict[str, str]:
        """Digests of the code of the user's own formats and matting; empty without any."""
        self._let_import()
        own = [name for name in self.formats if is_own_format(name)]
        digests = {name: code_digest(name, ENTRY_POINTS) for name in own}
        return digests | ({"matting": matting_digest(self.matting)} if self.matting else {})

    def resolve(self) -> Self:
        """Return the step with the folder of the user's formats, and their digests known."""
        named = any(":" in name for name in (*self.formats, self.matting))
        folder = self.modules or (str(Path.cwd()) if named else "")
        step = self.model_copy(update={"modules": folder})
        step.code_digests  # noqa: B018 - looked up now: errors come before the run
        return step

    def _let_import(self) -> None:
        if self.modules:
            let_import(self.modules)

    @property
    def needs_soft(self) -> bool:
        """Whether a result wants soft masks."""
        self._let_import()
        return any(result_type(name).needs_alpha for name in self.formats)

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read the stable masks, the pictures below them, and the masks as they came."""
        source = ClipFacts(facts).source_masks
        needed = (
            SMOOTH_MASKS.within(),
            SMOOTH_LABELS.within(),
            FRAMES.within(),
            *([SOURCE_MASKS[source].within()] if source else []),
            *([INPUT_LABELS.within()] if source == SOURCE_LABELS.name else []),
            *([INPUT_MASKS.within()] if source == SOURCE_SOFT.name else []),
            *([COVER.within(), COVER_STATES.within()] if self._has_redaction else []),
            *(array.within() for array in self._trust_arrays(facts)),
        )
        return tuple(dict.fromkeys(needed))

    def _trust_arrays(self, facts: Facts) -> tuple[ArrayHandle, ...]:
        """Return trust, and the labels that it judges, where a result wants them and they exist."""
        self._let_import()
        wanted = any(result_type(name).needs_trust for name in self.formats)
        judged = input_masks(ClipFacts(facts).sparse)[1]
        return (TRUST, judged) if wanted and self.method == "trust" else ()

    @property
    def _has_redaction(self) -> bool:
        self._let_import()
        return any(result_type(name).needs_cover for name in self.formats)

    def parts(self, facts: Facts) -> Sequence[Part]:
        """Return the parts that can be decoded by themselves."""
        return ClipFacts(facts).parts

    def write(self, clip: Clip, facts: Facts, part: Part, read: Reader, folder: Path) -> None:
        """Write the frames of a part that are wanted."""
        self._let_import()
        about, wanted = self._result_clip(clip, facts), self._wanted_frames(clip, facts)
        with ExitStack() as stack:
            writers = [
                stack.enter_context(result.part(folder)) for result in build_results(about, self)
            ]
            for frame in self._result_frames(clip, facts, about, part, wanted, read):
                for writer in writers:
                    writer.write(frame)

    def join(self, clip: Clip, facts: Facts, parts: Sequence[Path], folder: Path) -> list[str]:
        """Join the parts to the clip's results."""
        self._let_import()
        results: list[Result] = build_results(self._result_clip(clip, facts), self)
        for result in results:
            result.join(parts, folder)
        return [result.name for result in results]

    def _wanted_frames(self, clip: Clip, facts: Facts) -> Part:
        """Return first and one past the last of the source frames to write."""
        frames = ClipFacts(facts).timeline.frames
        return parse_frames(self.frames, frames, clip.name)

    def _result_clip(self, clip: Clip, facts: Facts) -> ResultClip:
        start, stop = self._wanted_frames(clip, facts)
        line = select_frames(ClipFacts(facts).timeline, start, stop)
        classes = self._chosen_classes(clip, self._class_names(facts))
        shots = [
            (max(first, start) - start, min(last, stop) - start)
            for first, last in ClipFacts(facts).shots
            if first < stop and last > start
        ]
        return ResultClip(clip.name, clip.files["footage"], line, classes, start, shots)

    def _class_names(self, facts: Facts) -> dict[int, str]:
        """Return the name of every class of the clip, by id."""
        known = ClipFacts(facts).class_names | self.names
        return {label: known.get(label, f"class {label}") for label in ClipFacts(facts).classes}

    def _chosen_classes(self, clip: Clip, names: Mapping[int, str]) -> dict[int, str]:
        """Return the classes that ``export.only`` names."""
        if not self.only:
            return dict(names)
        wanted = {text.lower() for text in self.only}
        chosen = {k: name for k, name in names.items() if {str(k), name.lower()} & wanted}
        unknown = wanted - {str(k) for k in names} - {name.lower() for name in names.values()}
        # A clip may lack some of the library's classes, but not all that were asked for.
        if unknown and not chosen:
            known = ", ".join(f"{name} ({k})" for k, name in names.items()) or "none"
            raise InputError(
                f"{clip.name}: export.only = {', '.join(sorted(unknown))}: the clip has {known}"
            )
        return chosen

    def _result_frames(
        self, clip: Clip, facts: Facts, about: ResultClip, part: Part, wanted: Part, read: Reader
    ) -> Iterator[ResultFrame]:
        """Yield the wanted frames of a part at source size."""
        start, stop = max(part[0], wanted[0]), min(part[1], wanted[1])
        if start >= stop:
            return
        table = np.zeros(len(ClipFacts(facts).classes) + 1, np.uint16)
        channels = [k for k, label in enumerate(ClipFacts(facts).classes) if label in about.classes]
        table[[k + 1 for k in channels]] = list(about.classes)
        base, line = Fraction(*about.timeline.time_base), about.timeline
        pixels = zip(
            self._frame_pixels(clip, facts, part, read),
            self._frame_covers(read),
            self._untrusted_shares(facts, read),
            strict=False,
        )
        for t, ((labels, picture, soften), (cover, states), untrusted) in enumerate(
            islice(pixels, start - part[0], stop - part[0]), start - wanted[0]
        ):
            named = table[labels]
            yield ResultFrame(
                index=t,
                number=about.numbers[t],
                time=(line.pts[t] - line.pts[0]) * base,
                labels=named,
                picture=picture,
                soften=partial(_chosen_channels, soften, channels),
                cover=None if cover is None else _full_cover(cover[..., channels], named, about),
                cover_states=None if states is None else states[channels],
                untrusted=None if untrusted is None else untrusted[channels],
            )

    def _untrusted_shares(self, facts: Facts, read: Reader) -> Iterator[Any]:
        """Yield which share of each class is not trusted in every frame of a part, or None."""
        arrays = self._trust_arrays(facts)
        if not arrays:
            return repeat(None)
        both = zip(*(read(array) for array in arrays), strict=True)
        return (trust_shares(trust, labels)[:, 1] for trust, labels in both)

    def _frame_covers(self, read: Reader) -> Iterator[tuple[Any, Any]]:
        """Yield cover and states of every frame of a part; None where nothing is redacted."""
        if not self._has_redaction:
            return repeat((None, None))
        return zip(read(COVER), read(COVER_STATES), strict=True)

    def _frame_pixels(self, clip: Clip, facts: Facts, part: Part, read: Reader) -> Iterator[Pixels]:
        """Yield the pixels of every frame of a part.

        Labels get soft edges from the picture; soft masks keep their own.
        """
        known = ClipFacts(facts)
        at_size = known.size == known.source_size
        frames = (
            self._at_size(read, facts) if at_size else self._enlarged_to(clip, facts, part, read)
        )
        for labels, picture, soften in frames:
            if known.hard_masks:
                soften = partial(edge_alpha, labels, picture, classes=len(known.classes))
            if self.matting:
                soften = partial(_matted, self.matting, picture, soften)
            yield labels, picture, soften

    def _at_size(self, read: Reader, facts: Facts) -> Iterator[Pixels]:
        """Yield the pixels of frames whose working size is the source's."""
        needed = self.needs_soft and not ClipFacts(facts).hard_masks
        masks: Iterator[Any] = read(SMOOTH_MASKS) if needed else repeat(None)
        small = zip(read(SMOOTH_LABELS), read(FRAMES), strict=True)
        for (labels, picture), mask in zip(small, masks, strict=False):
            yield labels, picture, partial(unpack_mask, mask)

    def _enlarged_to(self, clip: Clip, facts: Facts, part: Part, read: Reader) -> Iterator[Pixels]:
        """Yield the pixels of frames whose source is larger than working size."""
        large = read_frames(clip.files["footage"], ClipFacts(facts).timeline, frames=part)
        stable = zip(read(SMOOTH_MASKS), read(SMOOTH_LABELS), read(FRAMES), strict=True)
        own = self._input_masks(facts, read)
        for (mask, labels, frame), picture in zip(stable, large, strict=True):
            enlarge = cache(partial(self._enlarged, mask, frame, picture))
            if own is None:
                yield winning_classes(enlarge()), picture, enlarge
            elif ClipFacts(facts).source_masks == SOURCE_LABELS.name:
                yield _transferred_labels(*next(own), labels, enlarge), picture, enlarge
            else:
                soft_mask = _soft_mask(*next(own), mask, enlarge)
                yield winning_classes(soft_mask), picture, partial(_same_mask, soft_mask)

    @staticmethod
    def _input_masks(
        facts: Facts, read: Reader
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]] | None:
        """Return the masks as they came, at the source's size and at working size, if there are."""
        source = ClipFacts(facts).source_masks
        if not source:
            return None
        small = INPUT_LABELS if source == SOURCE_LABELS.name else INPUT_MASKS
        return zip(read(SOURCE_MASKS[source]), read(small), strict=True)

    def _enlarged(
        self, mask: NDArray[np.uint8], frame: NDArray[np.uint8], picture: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        return upsample_mask(
            unpack_mask(mask),
            centred_guide(frame),
            centred_guide(picture),
            size=self.kernel,
            eps=self.eps,
        )


def _transferred_labels(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarge: Callable[[], NDArray[np.float32]],
) -> NDArray[np.uint8]:
    """Return labels at the source's size; see `stages.ops.source_size.transfer_labels`."""
    if np.array_equal(before, after):
        return source
    return transfer_labels(source, before, after, winning_classes(enlarge()))


def _soft_mask(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarge: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return soft masks at the source's size; see `stages.ops.source_size.transfer_soft`."""
    if np.array_equal(before, after):
        return unpack_mask(source)
    return transfer_soft(source, before, after, enlarge())


def _chosen_channels(
    soften: Callable[[], NDArray[np.float32]], channels: Sequence[int]
) -> NDArray[np.float32]:
    mask = soften()
    return mask if len(channels) == mask.shape[-1] else mask[..., channels]


def _matted(
    spec: str, picture: NDArray[np.uint8], soften: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    return matted(spec, picture, soften())


def _same_mask(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    return mask


def _full_cover(
    cover: NDArray[np.bool_], labels: NDArray[np.uint16], about: ResultClip
) -> NDArray[np.bool_]:
    """Return the cover (H, W, C) at the source's size, the labels of that size included."""
    out = np.zeros((*labels.shape, len(about.classes)), np.bool_)
    for k, label in enumerate(about.classes):
        out[..., k] = labels == label
    for k in range(cover.shape[-1]):
        plane = cover[..., k].astype(np.uint8)
        if plane.shape != labels.shape:
            # Any pixel that the small cover touches is covered.
            large = cv2.resize(
                plane * 255, labels.shape[::-1], interpolation=cv2.INTER_LINEAR_EXACT
            )
            out[..., k] |= large > 0
        else:
            out[..., k] |= plane > 0
    return out
