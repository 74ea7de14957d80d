"""Label sets as WebDataset shards: tar files, the same bytes for the same samples."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from stages.media.label_sets.clip_folder import SOFT, SURE
from stages.media.label_sets.set_layouts import SPLITS, Layout, Sample, grey_png


class Shards(Layout):
    """``train-000000.tar`` and on: of a sample ``<clip>-<frame>.jpg`` (or png), ``.seg.png``
    (grey labels), ``.confidence.png``, ``.soft.npz`` where there is one, and ``.json``.
    """  # noqa: D205

    name = "webdataset"

    def __init__(self, root: Path, *, shard: int) -> None:
        super().__init__(root, shard=shard)
        self._open: dict[str, tarfile.TarFile] = {}
        self._count = dict.fromkeys(SPLITS, 0)

    def add(self, sample: Sample) -> None:
        """Write a sample, in a new shard where the last one is full."""
        shard = self._shard_name(sample.split)
        parts = {
            "confidence.png": sample.extras[SURE].read_bytes(),
            "json": json.dumps(sample.record, sort_keys=True).encode(),
            sample.picture.suffix[1:]: sample.picture.read_bytes(),
            "seg.png": grey_png(sample.labels),
        }
        if SOFT in sample.extras:
            parts["soft.npz"] = sample.extras[SOFT].read_bytes()
        for part, content in sorted(parts.items()):
            entry = tarfile.TarInfo(f"{sample.clip}-{sample.stem}.{part}")
            entry.size, entry.mode = len(content), 0o644  # owner and time are those of nobody
            shard.addfile(entry, io.BytesIO(content))
        self._count[sample.split] += 1

    def _shard_name(self, split: str) -> tarfile.TarFile:
        number, position = divmod(self._count[split], self.shard)
        if position == 0:
            if number:
                self._open[split].close()
            target = self.root / f"{split}-{number:06d}.tar"
            self._open[split] = tarfile.open(target, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        return self._open[split]

    def close(self) -> None:
        """Complete the last shards."""
        for shard in self._open.values():
            shard.close()
