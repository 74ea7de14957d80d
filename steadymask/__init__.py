"""Temporally stable masks from flickering per-frame ones.

>>> import numpy as np, steadymask
>>> frames = np.full((4, 32, 48, 3), 90, np.uint8)
>>> frames[:, 8:24, 10:30] = 200
>>> masks = np.zeros((4, 32, 48), np.uint8)
>>> masks[:, 8:24, 10:30] = 7
>>> masks[2] = 0  # the mask is lost in one frame
>>> stable = steadymask.stabilize(frames, masks)
>>> stable.labels.shape, np.unique(stable.labels)
((4, 32, 48), array([0, 7], dtype=uint16))
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steadymask.api import Evaluation as Evaluation
    from steadymask.api import evaluate as evaluate
    from steadymask.api import run as run
    from steadymask.api import stabilize as stabilize
    from steadymask.array_clips import StableFrame as StableFrame
    from steadymask.array_clips import StableMasks as StableMasks
    from steadymask.record import RunRecord as RunRecord
    from steadymask.typed_settings import Settings as Settings

HOMES = {
    "Evaluation": "steadymask.api",
    "evaluate": "steadymask.api",
    "run": "steadymask.api",
    "stabilize": "steadymask.api",
    "StableFrame": "steadymask.array_clips",
    "StableMasks": "steadymask.array_clips",
    "RunRecord": "steadymask.record",
    "Settings": "steadymask.typed_settings",
}
__all__ = [
    "Evaluation",
    "RunRecord",
    "Settings",
    "StableFrame",
    "StableMasks",
    "evaluate",
    "run",
    "stabilize",
]


ROOT = Path(__file__).resolve().parents[1]


def _import_beside(name: str) -> None:
    """Import a package that lies beside this one, whatever else has its name on the path.

    A program of a user may well have a `pipeline.py` beside it, and Python looks there first.
    """
    folder = ROOT / name
    loaded = sys.modules.get(name)
    if loaded is None:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder}: expected a package of steadymask, found none")
        loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    elif str(folder) not in [
        str(Path(entry).resolve()) for entry in getattr(loaded, "__path__", [])
    ]:
        raise ImportError(
            f"steadymask needs its package {name!r}, but another module of that name is imported "
            f"from {getattr(loaded, '__file__', 'somewhere')}: import steadymask before it, or "
            "rename it"
        )


for _package in ("pipeline", "stages"):
    _import_beside(_package)


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: the command line starts without all of it."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the names that completion offers."""
    return sorted({*globals(), *__all__})
