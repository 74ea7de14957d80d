"""What each part brings: frames seen together, the filter, and a plain Gaussian over time instead.

    python benchmarks/quality/ablation.py SEQUENCES [--method aligned] [--cache DIR] [--store DIR]

The same cases and scores as `quality.py`, judged with DIS, means only. Rows as in figures 7 and 9
and table 2 of Azulay et al. Prints a Markdown table; takes some minutes a row.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality import PREDICTIONS, binary, case, excess, scores, stabilise
from scipy.ndimage import gaussian_filter1d

WINDOWS = {
    1: ["refine.passes=0", "refine.window=1", "smooth.votes=0"],
    3: ["flow.radius=1"],
    5: ["flow.radius=2"],
    7: ["flow.radius=3"],
}
FILTERS = {
    "no filter": ["smooth.method=none"],
    "2D filter": ["smooth.temporal_kernel=1"],
    "3D filter, static": ["smooth.method=static"],
    "3D filter, compensated": ["smooth.method=compensated"],
    "3D filter, no votes after it": ["smooth.votes=0"],
}
SIGMAS = (1.0, 2.0, 4.0, 8.0)  # frames


def main() -> None:
    """Run every variant and print its row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--method", default="aligned")
    parser.add_argument("--config", default="configs/default.yaml")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    options = parser.parse_args()
    options.judges = ["dis"]
    print("| variant | J in → out | F 2 px | F 8 px | E in → out (truth) | excess |")
    print("|---|---|---|---|---|---|", flush=True)
    variants = {f"{frames} frames": overrides for frames, overrides in WINDOWS.items()} | FILTERS
    for name, overrides in variants.items():
        options.set = [f"refine.method={options.method}", *overrides]
        with tempfile.TemporaryDirectory() as scratch:
            rows = []
            for kind in PREDICTIONS:
                folder = Path(scratch) / kind
                names = stabilise(options, kind, folder)
                rows += [case(options, kind, n, folder / "out", options.cache) for n in names]
        print_row(name, rows)
    for sigma in SIGMAS:
        print_row(f"temporal Gaussian, {sigma:g} frames", gaussian_rows(options, sigma))


def gaussian_rows(options: argparse.Namespace, sigma: float) -> list[dict[str, float]]:
    """Return the scores of the masks averaged over time where they are."""
    rows = []
    for kind in PREDICTIONS:
        for sequence in sorted(path.parent for path in options.sequences.glob(f"*/{kind}")):
            if not (sequence / "Annotations").is_dir():
                continue
            masks = binary(sequence / kind)
            soft = gaussian_filter1d(np.stack(masks).astype(np.float32), sigma, axis=0)
            blurred: list[NDArray[np.uint8]] = list((soft > 0.5).astype(np.uint8))
            systems = [masks, blurred, binary(sequence / "Annotations")]
            rows.append(scores(sequence, systems, options.judges, options.cache))
    return rows


def print_row(name: str, rows: list[dict[str, float]]) -> None:
    """Print the means of all cases."""
    cells = [
        f"{np.mean([row[f'{n} in'] for row in rows]):.3f} → "
        f"{np.mean([row[f'{n} out'] for row in rows]):.3f}"
        for n in ("J", "F2", "F8")
    ]
    before, after, floor = np.mean([row["dis"] for row in rows], axis=0)
    cells.append(f"{before:.2f} → {after:.2f} ({floor:.2f})")
    cells.append(f"{np.mean([excess(row['dis']) for row in rows]):.3f}")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
