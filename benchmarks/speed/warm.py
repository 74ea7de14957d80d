"""How long a second run over a library takes that has nothing to do.

    python benchmarks/speed/warm.py FOOTAGE MASKS [--clips 1000] [--frames 24]

The library is the first frames of the first clip, many times under other names: so the first
run computes it once and writes the results of each, pictures and the report.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def library(options: argparse.Namespace, folder: Path) -> None:
    """Write the clips; the files are the same ones."""
    name = sorted(path.name for path in options.footage.iterdir() if path.is_dir())[0]
    for kind, source in (("footage", options.footage), ("masks", options.masks)):
        files = sorted((source / name).iterdir())[: options.frames]
        for k in range(options.clips):
            clip = folder / kind / f"clip {k:05d}"
            clip.mkdir(parents=True)
            for file in files:
                if k == 0:
                    shutil.copy(file, clip)
                else:
                    os.link(folder / kind / "clip 00000" / file.name, clip / file.name)


def main() -> None:
    """Print the two times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("footage", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        library(options, folder)
        print(f"{options.clips} clips of {options.frames} frames\n")
        for which in ("first", "second", "third"):
            began = time.monotonic()
            subprocess.run(
                [
                    sys.executable, str(ROOT / "run_pipeline.py"), str(folder / "footage"),
                    "--masks", str(folder / "masks"), "--out", str(folder / "out"),
                    "--set", "ingest.short_side=96", "--set", "export.formats=[png]",
                ],
                check=True, cwd=ROOT, capture_output=True,
            )  # fmt: skip
            print(f"{which} run: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
