"""The contract of a mask format: one reader a format, all with the same signature.

A new format is one file in `stages.media.masks.formats` that defines ``READERS``, an entry point of
the group ``steadymask.mask_readers`` (a reader, its class, or a tuple of readers) in a package of
your own, or ``segment.format=module:object``. Nothing else has to be told:
`stages.media.masks.registry` finds it, pairing asks it which clips a file holds, and the table of
``docs/inputs_and_outputs.md`` is written from its texts.

Two ways to write one:

- **Shapes** (JSON, text, XML: polygons or run lengths by picture): subclass `AnnotationReader` and
  write `AnnotationReader.recognise` and `AnnotationReader.parse`, which returns an `AnnotationSet`.
  Frame matching, several videos in one file, category numbers and names, sizes, missing frames,
  warnings and errors for malformed files are done for all such formats by
  `stages.media.masks.shape_masks`.
- **Anything else**: subclass `MaskReader` and return a `MaskSource` of your own from `open`.

>>> class OneBoxAFrame(AnnotationReader):
...     name, format = "boxes", "one box a frame, .boxes"
...     recognised_by, ambiguity = "the ending .boxes", "none"
...     suffixes = frozenset({".boxes"})
...     def recognise(self, path):
...         return BY_NAME if path.suffix == ".boxes" else NOT_MINE
...     def parse(self, path):
...         frames = []
...         for line in path.read_text().splitlines():
...             name, x, y, w, h = line.split()
...             x, y, w, h = float(x), float(y), float(w), float(h)
...             box = [[x, y, x + w, y, x + w, y + h, x, y + h]]
...             frames.append(AnnotatedFrame(name, shapes=(Shape("box", box),)))
...         return AnnotationSet({"": tuple(frames)})
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.media.masks.legend import Kind
from stages.media.masks.source import Known, MaskSource, Missing

Confidence = Literal[0, 1, 2]
"""How sure a reader is that a path is of its format: see `NOT_MINE`, `BY_NAME`, `BY_CONTENT`."""

NOT_MINE: Confidence = 0
BY_NAME: Confidence = 1
"""The name or its ending fits; the content was not looked at, or leaves it open."""
BY_CONTENT: Confidence = 2
"""The content has a mark that no other format has; beats every `BY_NAME`."""


@dataclass(frozen=True)
class FootageFacts:
    """The clip that masks are wanted for.

    Attributes
    ----------
    clip : str
        Its name; with folders above it, as ``day2/shot1``.
    frames : int
    frame_names : tuple of str
        File names in order, where it is a folder of frames; else empty.
    size : (H, W)
        As displayed, rotation applied.
    rotation : int
        Degrees that the file asks to be turned by; 0 for folders.
    aspect : (numerator, denominator)
        Width of a pixel by its height.
    """

    clip: str
    frames: int
    size: tuple[int, int]
    frame_names: tuple[str, ...] = ()
    rotation: int = 0
    aspect: tuple[int, int] = (1, 1)


class ReadingChoices(BaseModel):
    """The user's word on how masks are to be read: settings ``segment.<field>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(
        "auto", description="format of the masks: a reader's name, module:object, or auto"
    )
    kind: Kind = Field("auto", description="meaning of values; auto looks at the whole clip")
    missing: Missing = Field(
        "error",
        description="a frame without a mask: an error, the mask before (hold), background "
        "(empty), or carried along the motion from frames that have one (carry)",
    )
    channel: Literal["auto", "colour", "alpha"] = Field(
        "auto", description="part of pictures with transparency that holds the mask"
    )
    first: int | None = Field(
        None,
        ge=0,
        description="number in mask names that is the clip's first frame; none: from the names",
    )
    video: str = Field(
        "", description="name of the clip inside a file of several; empty: the clip's own name"
    )
    objects: Literal["match", "given", "off"] = Field(
        "given",
        description="numbers in masks: the same object throughout (given), anew in every frame, to "
        "be matched (match), or classes and no objects (off)",
    )
    fit: Literal["auto", "stretch"] = Field(
        "auto", description="masks of another shape than the footage are refused, or stretched"
    )


class MaskReader(ABC):
    """A format of masks. Readers have no state: one instance serves all clips, in any process."""

    name: ClassVar[str]
    """A short word for ``segment.format`` and messages, such as ``coco``."""
    format: ClassVar[str]
    """The format in words, for the table: "COCO JSON: run lengths or polygons"."""
    recognised_by: ClassVar[str]
    """The mark by which it is recognised, for the table."""
    ambiguity: ClassVar[str]
    """Where two readings are possible, and the setting that chooses; "none" if nowhere."""
    suffixes: ClassVar[frozenset[str]] = frozenset()
    """Endings of files (lower case, with the dot); empty if it reads folders only."""

    @abstractmethod
    def recognise(self, path: Path) -> Confidence:
        """Return how sure it is that a file or folder is of this format.

        Be quick: it is asked for every clip of a library. Read at most some kilobytes; use
        `stages.media.footage.safe_open.open_regular`. Never raise: an unreadable file is
        `NOT_MINE`, or `BY_NAME` so that `open` can say why.
        """

    def clips_inside(self, path: Path) -> Sequence[str]:
        """Return the names of the videos that one file holds; empty if it is of one clip.

        It is asked only where no mask of a clip's own name lies in MASKS.
        """
        return ()

    @abstractmethod
    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip.

        Parameters
        ----------
        path : Path
            The file or folder that `recognise` agreed to.
        footage : FootageFacts
        choices : ReadingChoices
        known : dict, optional
            `MaskSource.known` of the same masks opened before with the same arguments: do not
            look through them again.

        Raises
        ------
        InputError
            Naming the file, the expected content and the actual one. Nothing else may escape: no
            KeyError, TypeError or IndexError of a malformed file.
        """


@dataclass(frozen=True)
class Shape:
    """One region of a frame.

    Attributes
    ----------
    category : int or str
        A number of `AnnotationSet.categories`, or a name where the format has no numbers: then
        classes are numbered from 1 in the order of `AnnotationSet.order`, else of their names.
    segmentation : object
        Polygons ``[[x, y, x, y, …], …]`` in pixels of the frame, COCO run lengths
        ``{"size": [H, W], "counts": str or list}``, a bool array (H, W), or None for nothing.
    track : int, str or None
        The object, where the format follows objects over time.
    """

    category: int | str
    segmentation: Any
    track: int | str | None = None


@dataclass(frozen=True)
class AnnotatedFrame:
    """The shapes of one picture, later ones on top.

    Attributes
    ----------
    name : str
        Its file name as in the file, folders included; empty where it has none.
    shapes : tuple of Shape
    size : (H, W) or None
        Of the picture that was annotated; None if the file does not say.
    number : int or None
        The frame's number from 0 where the format says it; wins over the name.
    """

    name: str
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] | None = None
    number: int | None = None


@dataclass(frozen=True)
class AnnotationSet:
    """All that a file or folder of annotations says.

    Attributes
    ----------
    videos : dict of name to frames
        A single video may have the name ``""``: then pictures whose names begin with different
        folders are taken apart into videos by those folders.
    categories : dict of int to str
        Names of numbered categories.
    headings : set of int
        Categories that only stand over others (supercategories) and have no shapes.
    order : tuple of str
        Names of categories without numbers, in their order.
    by_track : bool
        Whether a class is an object (`Shape.track`) rather than a category.
    named_by_id : bool
        Whether names of pictures are ids, numbers that need not be those of frames.
    notes : tuple of str
        Other things the user should know, such as shapes that are no regions and were left out.
    """

    videos: Mapping[str, tuple[AnnotatedFrame, ...]]
    categories: Mapping[int, str] = field(default_factory=dict)
    headings: frozenset[int] = frozenset()
    order: tuple[str, ...] = ()
    by_track: bool = False
    named_by_id: bool = False
    notes: tuple[str, ...] = ()


class AnnotationReader(MaskReader):
    """A format of shapes: write `recognise` and `parse`, all else is common to such formats."""

    @abstractmethod
    def parse(self, path: Path) -> AnnotationSet:
        """Return all annotations of a file or folder.

        It may raise anything for malformed content: ValueError, KeyError, TypeError, IndexError and
        the like become an `InputError` that names the file and the format. Its answer is cached by
        path, size and time of change. Use `stages.media.masks.json_files.read_json` for JSON: it is
        bounded in size.
        """

    def clips_inside(self, path: Path) -> Sequence[str]:
        """Return the names of the videos in it."""
        from stages.media.masks.annotation_videos import video_names

        return video_names(self, path)

    def open(
        self,
        path: Path,
        footage: FootageFacts,
        choices: ReadingChoices,
        known: Known | None = None,
    ) -> MaskSource:
        """Return the masks of a clip."""
        from stages.media.masks.shape_masks import ShapeMasks

        return ShapeMasks(self, path, footage, choices, known)
