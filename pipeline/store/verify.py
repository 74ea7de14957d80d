"""Reading all of a store again, to see whether every frame is still what was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pipeline.errors import CacheError
from pipeline.store.artifact import Manifest, Piece
from pipeline.store.inventory import UNREADABLE, manifest_of
from pipeline.store.keys import digest_json
from pipeline.store.store import DROPPED, MANIFEST, Store

BATCH = 8  # frames held at a time


@dataclass(frozen=True)
class Verdict:
    """What `verify_artifacts` found of one artifact; `problem` is empty where all is well."""

    key: str
    stage: str
    clip: str
    problem: str


def verify_artifacts(store: Store, keys: Sequence[str], *, workers: int) -> Iterator[Verdict]:
    """Read artifacts whole and compare every frame with its digest; yield a verdict for each.

    An artifact without manifest, or one that is removed meanwhile, does not exist: no problem.

    Raises
    ------
    OSError
        If the store cannot be reached: that says nothing of what it holds.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(partial(_verify_artifact, store), keys)
    finally:
        pool.shutdown(cancel_futures=True)


def _verify_artifact(store: Store, key: str) -> Verdict:
    try:
        manifest = manifest_of(store, key)
    except ValueError as error:
        return Verdict(key, UNREADABLE, "", f"{MANIFEST}: {error}")
    if manifest is None:
        return Verdict(key, "", "", "")
    problem = _find_problem(store, key, manifest)
    if problem and manifest_of(store, key) is None:
        problem = ""
    clip = str(manifest.provenance.get("clip", ""))
    return Verdict(key, str(manifest.record.get("stage", "")), clip, problem)


def _find_problem(store: Store, key: str, manifest: Manifest) -> str:
    """Return the first problem of an artifact, or an empty text."""
    other_keys = {manifest.key, digest_json(manifest.record)} - {key}
    if other_keys:
        return f"{MANIFEST}: expected that of {key}, got that of {other_keys.pop()}"
    if DROPPED in manifest.provenance:
        return ""
    for name, entry in manifest.arrays.items():
        digests = entry["digests"]
        for low in range(0, len(digests), BATCH):
            some = "".join(digests[low : low + BATCH])
            piece = Piece(key, name, manifest.start + low, low, some)
            # The first failure may be one of the network, so the frames are read again.
            if _read_problem(store, piece) and (problem := _read_problem(store, piece)):
                return problem
    return ""


def _read_problem(store: Store, piece: Piece) -> str:
    try:
        store.read(piece)
    except CacheError as error:
        if isinstance(error.__cause__, ConnectionError | TimeoutError | PermissionError):
            raise error.__cause__ from None
        return str(error)
    return ""
