"""The settings of a spatiotemporal network, as its file's metadata hold them; needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import InputError
from stages.models.segmenters.context_blending.settings import read_metadata

MODEL = "stcnn"
PARTS = ("temporal", "attention")
PAST = 4  # frames before a frame that it looks at: δ
FORMAT, VERSION = "steadymask spatiotemporal network", "1"


@dataclass(frozen=True)
class SpatiotemporalSettings:
    """All that builds a spatiotemporal network again.

    Attributes
    ----------
    context : tuple of str
        Of `PARTS`: the temporal coherence branch, the attention by coarser masks.
    width : int
        Channels of the finest features; the coarsest have four times as many.
    """

    context: tuple[str, ...] = PARTS
    width: int = 16

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a weights file."""
        return {"format": FORMAT, "version": VERSION, "network": json.dumps(asdict(self))}


def read_spatiotemporal_settings(path: Path) -> SpatiotemporalSettings:
    """Return the settings in the metadata of a file that `train stcnn` wrote.

    Raises
    ------
    InputError
        If it is missing, damaged, or another file.
    """
    about = read_metadata(path)
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise InputError(
            f"{path}: expected a network of version {VERSION} as run_pipeline.py train stcnn "
            f"writes, got {about.get('format', 'other weights')!r} of version "
            f"{about.get('version')!r}"
        )
    try:
        values = json.loads(about["network"])
        return SpatiotemporalSettings(tuple(values["context"]), int(values["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected settings of a spatiotemporal network, got "
            f"{about.get('network')!r}: train it again"
        ) from error
