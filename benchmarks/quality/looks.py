"""What a segmenter gains by looking at each frame several times.

    python benchmarks/quality/looks.py MODEL.onnx SEQUENCES [--frames 30] [--clips NAME …]

SEQUENCES as for `quality.py`: the true masks are `Annotations`. Masks are those of the network, not
stabilised; values of the picture in [-1, 1]. Prints a Markdown table: J / TC.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import write_indexed_png  # noqa: E402 (the project is beside this folder)
from stages.models.segmenters.load import load_segmenter  # noqa: E402

LOOKS: dict[str, dict[str, Any]] = {
    "one look": {},
    "mirror": {"flip": True},
    "0.75, 1": {"scales": (0.75, 1.0)},
    "0.75, 1, mirror": {"scales": (0.75, 1.0), "flip": True},
    "0.5, 0.75, 1, mirror": {"scales": (0.5, 0.75, 1.0), "flip": True},
}
CLIPS = ("bmx-trees", "dance-twirl", "swing", "tennis")
CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def main() -> None:
    """Make the masks of all looks, score them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--clips", nargs="*", default=CLIPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for clip in options.clips:
            for kind in ("JPEGImages", "Annotations"):
                link(options.sequences / clip / kind, work / kind / clip, options.frames)
        for number, looks in enumerate(LOOKS.values()):
            segment(options.model, looks, work / "JPEGImages", work / str(number))
        report(work)


def link(source: Path, target: Path, frames: int) -> None:
    """Link the first frames of a folder."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir())[:frames]:
        (target / path.name).symlink_to(path.resolve())


def segment(model: str, looks: dict[str, Any], clips: Path, out: Path) -> None:
    """Write the network's masks of all clips, all classes as one."""
    network = load_segmenter(model, union=True, **CENTRED, **looks)
    for path in sorted(clips.glob("*/*")):
        frame = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        target = out / path.parent.name / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(target, (network(frame)[0] > 0.5).astype(np.uint8))


def report(work: Path) -> None:
    """Score the masks and print the table."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "evaluate", str(work / "JPEGImages")]
    command += ["--gt", str(work / "Annotations"), "--union", "--json", str(work / "scores.json")]
    for number in range(len(LOOKS)):
        command += ["--pred", f"{number}={work / str(number)}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"| clip | {' | '.join(LOOKS)} |\n|---|{'---|' * len(LOOKS)}")
    for clip, scores in json.loads((work / "scores.json").read_text())["clips"].items():
        values = [scores["values"][str(number)] for number in range(len(LOOKS))]
        fields = [f"{look_values['J']:.3f} / {look_values['TC']:.3f}" for look_values in values]
        print(f"| {clip} | {' | '.join(fields)} |")


if __name__ == "__main__":
    main()
