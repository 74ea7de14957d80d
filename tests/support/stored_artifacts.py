"""Artifacts to keep: small, with keys that are right, on a disk and in object stores."""

import os
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from pipeline.store.artifact import Manifest, sealed_text, unsealed_manifest
from pipeline.store.inventory import keys_of, take_stock
from pipeline.store.keys import digest_json
from pipeline.store.store import MANIFEST, Store


class Bucket(LocalFileSystem):
    """A folder that is written as object stores are: object by object, with no renaming."""

    protocol = "bucket"

    def __init__(self, **options):
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(path.removeprefix("bucket://"))

    def pipe_file(self, path, value, mode="overwrite", **options):
        """Write an object, which appears whole."""
        target = Path(self._strip_protocol(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent.parent / f"{uuid.uuid4().hex}.part"
        draft.write_bytes(value)
        draft.replace(target)


fsspec.register_implementation("bucket", Bucket, clobber=True)

KINDS = ("folder", "bucket", "memory")


def store_of(kind, tmp_path):
    """Return an empty store of a kind; one in a bucket outlives the process."""
    prefix = {"folder": "", "bucket": "bucket://", "memory": "memory:/"}[kind]
    return Store(f"{prefix}{tmp_path / 'store'}")


def values_of(name, frames=6, width=9000):
    """Return what an artifact holds: noise, the same for the same name."""
    seed = int(digest_json(name)[:8], 16)
    return np.random.default_rng(seed).integers(0, 255, (frames, width), np.uint8)


def put(store, name, stage="flow", clip="a", seconds=1.0, finished=0.0, **size):
    """Write an artifact and return its key."""
    record = {"stage": stage, "name": name}
    key = digest_json(record)
    provenance = {"clip": clip, "seconds": seconds, "finished": finished}
    with store.draft(key) as draft:
        draft.append({"x": values_of(name, **size)})
        store.publish(draft, Manifest(key, 10, draft.arrays, {}, record, provenance))
    return key


def last_used(store, key, when):
    """Set the time that tells of the last use of an artifact in a folder."""
    os.utime(Path(store.artifact_folder(key), MANIFEST), (when, when))


def stored_keys(store):
    """Return the keys of the finished artifacts."""
    return {entry.key for entry in take_stock(store).entries}


def places(store):
    """Return the keys of which anything is left."""
    return set(keys_of(store))


FRAME, ABOUT = "x/c.3.0", "x/zarr.json"
HARMS = {
    "flipped": (FRAME, lambda text: text[:-5] + bytes([text[-5] ^ 255]) + text[-4:]),
    "shortened": (FRAME, lambda text: text[:20]),
    "missing": (FRAME, None),
    "fewer frames": (ABOUT, lambda text: text.replace(b"6,", b"2,", 1)),
    "misspelt": (ABOUT, lambda text: text.replace(b"chunk_grid", b"chunk_grip")),
    "array gone": ("x", None),
    "no JSON": (MANIFEST, lambda text: b"{"),
    "no longer true": (MANIFEST, lambda text: text.replace(b'"flow"', b'"wolf"')),
    "another's": (
        MANIFEST,
        lambda text: sealed_text(replace(unsealed_manifest(text), record={"stage": "x"})),
    ),
}


def damage(store, key, harm):
    """Do harm to a frame, to the description of the array, or to the manifest."""
    name, change = HARMS[harm]
    path = f"{store.artifact_folder(key)}/{name}"
    if change is None:
        store.fs.rm(path, recursive=True)
        return
    text = store.fs.cat_file(path)
    assert change(text) != text
    store.fs.pipe_file(path, change(text))
