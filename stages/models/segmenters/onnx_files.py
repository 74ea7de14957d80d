"""Which other files an ONNX model is made of, read from its bytes before any is opened.

By hand: the package `onnx` has no public function for it, and reads all of a model, which may be
gigabytes, into memory first.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError

DEEPEST = 32  # graphs within graphs
# Fields by message, from onnx.proto: those that lead to tensors.
MODEL = {7: "graph", 25: "function"}
GRAPH = {1: "node", 5: "tensor", 15: "sparse"}
FUNCTION = {7: "node"}
NODE = {5: "attribute"}
ATTRIBUTE = {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
SPARSE = {1: "tensor", 2: "tensor"}
INSIDE = {
    "model": MODEL,
    "graph": GRAPH,
    "function": FUNCTION,
    "node": NODE,
    "attribute": ATTRIBUTE,
    "sparse": SPARSE,
}
EXTERNAL_DATA, KEY, VALUE = 13, 1, 2
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5

Fields = Iterator[tuple[int, int, int]]


def external_files(path: Path) -> list[Path]:
    """Return the files beside a model that hold its tensors, sorted.

    Raises
    ------
    InputError
        If one is not in the model's folder or below, or the model is damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            names = set(_tensor_locations(data, 0, len(data), "model", 0))
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a readable ONNX model: {error}") from error
    folder = path.resolve().parent
    files = []
    for name in sorted(names):
        file_path = folder / name
        if Path(name).is_absolute() or not file_path.resolve().is_relative_to(folder):
            raise InputError(
                f"{path}: expected tensors in its own folder, got {name[:200]!r}: a model may not "
                "read other files"
            )
        files.append(file_path)
    return files


def _tensor_locations(
    data: mmap.mmap, start: int, stop: int, kind: str, depth: int
) -> Iterator[str]:
    """Yield where the tensors of a message lie that are not in the model itself."""
    if depth > DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for field, low, high in _message_fields(data, start, stop):
        if kind == "tensor":
            if field == EXTERNAL_DATA:
                yield from _tensor_location(data, low, high)
        elif field in INSIDE[kind]:
            yield from _tensor_locations(data, low, high, INSIDE[kind][field], depth + 1)


def _tensor_location(data: mmap.mmap, start: int, stop: int) -> Iterator[str]:
    parts = {field: data[low:high] for field, low, high in _message_fields(data, start, stop)}
    if parts.get(KEY) == b"location":
        yield parts.get(VALUE, b"").decode()


def _message_fields(data: mmap.mmap, start: int, stop: int) -> Fields:
    """Yield number, start and end of the fields of a message that hold bytes."""
    at = start
    while at < stop:
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            _, at = _read_varint(data, at)
        elif wire == BYTES:
            length, at = _read_varint(data, at)
            if at + length > stop:
                raise ValueError("a part is longer than the whole")
            yield tag >> 3, at, at + length
            at += length
        elif wire in (FIXED_64, FIXED_32):
            at += 8 if wire == FIXED_64 else 4
        else:
            raise ValueError(f"a field of type {wire}")


def _read_varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 10 bytes")
