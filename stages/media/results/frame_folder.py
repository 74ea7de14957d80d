"""Formats with a file a frame, or several: folders of pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pipeline.errors import InputError
from stages.media.results.result import Result, ResultClip, ResultFrame, WriteError, Writer, link
from stages.media.results.settings import ResultSettings


class FrameFolder(Result):
    """A folder with a file for each frame, named by the part of the template after its folder.

    Attributes
    ----------
    by_class : bool
        Whether there is a file for each class, too, in a folder of its name.
    """

    by_class: ClassVar[bool] = False

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        if "/" not in self.path_template:
            self.path_template = f"{self.format}/{self.path_template}"
        self._frame_template = self.path_template.partition("/")[2]
        self._check_names()

    @abstractmethod
    def write_frame(self, folder: Path, frame: ResultFrame) -> None:
        """Write the files of a frame; `path` tells their names."""

    def part(self, folder: Path) -> Writer:
        """Return the writer of a part."""
        return _FolderWriter(self, folder / self.name)

    def path(self, folder: Path, index: int, label: int | None = None) -> Path:
        """Return the path of a frame's file, of one class or of all, in a folder that exists."""
        path = folder / self._relative_path(index, label)
        if path.parent != folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _relative_path(self, index: int, label: int | None) -> str:
        fields: dict[str, int | str] = {"index": index, "frame": self.clip.numbers[index]}
        if label is None:
            return self.fill(self._frame_template, **fields, **{"class": "all"})
        fields["class"] = self.clip.class_names[label]
        text = self.fill(self._frame_template, **fields)
        # Without {class} in the template each class has a folder.
        return text if "{class" in self._frame_template else f"{fields['class']}/{text}"

    def _check_names(self) -> None:
        """Refuse a template that gives two frames one name.

        Raises
        ------
        InputError
            Naming both frames.
        """
        frames = self.timeline.frames
        if frames > 1 and self._relative_path(0, None) == self._relative_path(frames - 1, None):
            raise InputError(
                f"export.templates.{self.format} = {self.path_template!r}: frames "
                f"{self.clip.numbers[0]} and {self.clip.numbers[frames - 1]} would both be "
                f"{self._relative_path(0, None)!r}: put {{frame:04d}} or {{index:05d}} into it"
            )

    @property
    def labels(self) -> Sequence[int | None]:
        """Classes that have a file of their own, and None for the file of all."""
        return [None, *self.clip.class_names] if self.by_class else [None]

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Put the files of all parts into one folder."""
        draft.mkdir()
        for part in parts:
            for file in sorted(part.rglob("*")):
                target = draft / file.relative_to(part)
                if file.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    link(file, target)

    def check(self, draft: Path) -> None:
        """Look for the file of every frame, and read the first and the last."""
        frames = self.timeline.frames
        for index in range(frames):
            for label in self.labels:
                path = draft / self._relative_path(index, label)
                if not path.is_file():
                    raise WriteError(f"{self.format}: expected {path}, it was not written")
                if index in (0, frames - 1):
                    self.check_size(path, self.read_size(path))

    def check_size(self, path: Path, size: tuple[int, int]) -> None:
        """Refuse a picture that has not the size of the footage."""
        if size != self.timeline.size:
            rows, columns = self.timeline.size
            raise WriteError(f"{path}: expected {columns}x{rows}, got {size[1]}x{size[0]}")

    @abstractmethod
    def read_size(self, path: Path) -> tuple[int, int]:
        """Open a file and return (H, W)."""


class _FolderWriter(Writer):
    def __init__(self, result: FrameFolder, folder: Path) -> None:
        self._result, self._folder = result, folder

    def write(self, frame: ResultFrame) -> None:
        self._folder.mkdir(exist_ok=True)
        self._result.write_frame(self._folder, frame)
