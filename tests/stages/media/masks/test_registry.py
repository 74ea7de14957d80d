"""The registry: all formats are found, documented, and chosen by what a path holds."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.media.masks.contract import (
    BY_NAME,
    NOT_MINE,
    AnnotatedFrame,
    AnnotationReader,
    AnnotationSet,
    Shape,
)
from stages.media.masks.registry import choose_reader, mask_readers, named_reader
from steadymask.cli.mask_formats import with_table
from tests.support.mask_samples import FRAMES, opened

PAGE = Path(__file__).resolve().parents[4] / "docs" / "inputs_and_outputs.md"


def test_the_table_in_the_documentation_is_that_of_the_readers():
    text = PAGE.read_text(encoding="utf-8")
    again = "run python -m steadymask.cli.mask_formats docs/inputs_and_outputs.md"
    assert with_table(text) == text, again


def test_every_reader_has_texts_and_none_takes_what_is_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for reader in mask_readers():
        assert reader.format
        assert reader.recognised_by
        assert reader.ambiguity
        assert "|" not in reader.format + reader.recognised_by + reader.ambiguity
        assert reader.recognise(tmp_path / "empty") == NOT_MINE
        assert reader.recognise(tmp_path / "nowhere.json") == NOT_MINE


class Boxes(AnnotationReader):
    """One box a line: frame, left, top, width, height."""

    name, format = "boxes", "one box a frame, .boxes"
    recognised_by, ambiguity = "the ending .boxes", "none"
    suffixes = frozenset({".boxes"})

    def recognise(self, path):
        return BY_NAME if path.suffix == ".boxes" else NOT_MINE

    def parse(self, path):
        frames = []
        for line in path.read_text().splitlines():
            name, x, y, w, h = line.split()
            x, y, w, h = float(x), float(y), float(w), float(h)
            box = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            frames.append(AnnotatedFrame(name, shapes=(Shape("box", box),)))
        return AnnotationSet({"": tuple(frames)})


def test_a_format_of_ones_own_is_one_class(tmp_path):
    path = tmp_path / "clip.boxes"
    path.write_text("".join(f"{t}.jpg {t} 2 4 3\n" for t in range(FRAMES)))
    masks = opened(path, format=f"{__name__}:Boxes")
    assert masks.legend.names == {1: "box"}
    assert [int(frame.sum()) for frame in masks] == [12] * FRAMES
    assert np.flatnonzero(np.stack(list(masks))[3].any(axis=0)).tolist() == [3, 4, 5, 6]
    path.write_text("0.jpg 1 2\n")
    with pytest.raises(InputError, match=r"clip\.boxes: expected one box a frame.*ValueError"):
        opened(path, format=f"{__name__}:Boxes")


def test_names_of_formats_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"segment\.format = 'coke': expected auto, .*coco"):
        named_reader("coke")
    with pytest.raises(ConfigError, match="expected an object of a module that Python can import"):
        named_reader("nowhere:Reader")
    with pytest.raises(ConfigError, match="expected a MaskReader"):
        named_reader("json:loads")
    (tmp_path / "clip.txt").write_text("")
    with pytest.raises(InputError, match=r"clip\.txt: expected masks, got .*\.txt: formats are"):
        choose_reader(tmp_path / "clip.txt")
