"""Read what `write_exports.py` wrote, and count the pixels that differ from the tool's own reading.

`.venv/bin/python benchmarks/annotation_tools/read_exports.py OUT`; exit status 1 if any differs.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.errors import PipelineError
from stages.media.masks.contract import FootageFacts
from stages.media.masks.open import open_masks

NAMES = {1: "cat", 2: "dog"}


def main(out: Path) -> int:
    """Compare all folders of OUT; return the exit status."""
    truth = np.load(out / "truth.npy")
    pictures = tuple(sorted(path.name for path in (out / "frames" / "clip").iterdir()))
    worst = 0
    for tool_folder in sorted(
        path for path in out.iterdir() if path.name != "frames" and path.is_dir()
    ):
        own = tool_folder / "expected.npy"
        expected = np.load(own) if own.is_file() else truth
        (masks,) = (path for path in tool_folder.iterdir() if path.stem == "clip")
        facts = FootageFacts("clip", len(truth), truth.shape[1:], pictures)
        try:
            source = open_masks(masks, facts)
            wrong = int((np.stack(list(source)) != expected).sum())
            names = dict(source.legend.names)
            verdict = f"{wrong} of {expected.size} pixels differ, names {names}: {source.reading}"
            worst = max(worst, wrong, int(names != NAMES))
        except PipelineError as error:
            verdict, worst = f"refused: {error}", 1
        print(f"{tool_folder.name}: {verdict}")
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
