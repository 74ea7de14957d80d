"""Flow to the second and third frame: estimated, started from composed flows, or only composed.

    python benchmarks/quality/far_flow.py SEQUENCES --weights WEIGHTS
        [--network raft_small] [--scenes 40]

Generated scenes (`steadymask.training.synthetic.scenes`) with exact flow, made of frames of
the sequences (DAVIS folders, with JPEGImages/). Printed are mean end-point errors in
pixels, of all pixels and of those that the other frame shows too, and iterations for each of the
six flows of a frame. "Warm" starts from the flows between neighbours, composed
(flow.far_iterations). WEIGHTS must find motion: ptlflow's, or those of
train_flow.py. Intervals are 95 %, scenes drawn with replacement.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.stage import Span  # noqa: E402 (the project is beside this folder)
from stages.models.flow.ptlflow import load_flow_network  # noqa: E402
from stages.models.flow.settings import NetworkSettings  # noqa: E402
from stages.ops.warp import compose_flows  # noqa: E402
from steadymask.training.synthetic.scenes import random_scene  # noqa: E402

SIDE, FRAMES = 256, 4
REACH = FRAMES - 1
EACH = 5  # frames of a sequence that scenes are made of
DRAWS = 2000

WAYS: list[tuple[str, int, int]] = [
    # name, iterations, iterations to the second and third frame: 0 all, -1 composed
    ("estimated", 12, 0),
    ("estimated", 6, 0),
    ("estimated", 3, 0),
    ("warm", 12, 6),
    ("warm", 12, 3),
    ("warm", 6, 3),
    ("composed", 12, -1),
]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--network", default="raft_small")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pictures = frames_of(options.sequences)
    drivers = [driver(options, first, far) for _, first, far in WAYS]
    rng = np.random.default_rng(options.seed)
    errors = np.array([of_a_scene(drivers, pictures, rng) for _ in range(options.scenes)])
    print("| flow | iterations a pair | error, px | of visible pixels | than estimated by 12 |")
    print("|---|---|---|---|---|")
    for k, (name, first, far) in enumerate(WAYS):
        spent = first if far == 0 else (2 * first + 4 * max(far, 0)) / 6
        everywhere, visible = errors[:, k].mean(axis=0)
        more = errors[:, k, 1] - errors[:, 0, 1]
        print(
            f"| {name} | {spent:.0f} | {everywhere:.3f} | {visible:.3f} | "
            f"{more.mean():+.3f} ({interval(more, rng)}) |"
        )


def frames_of(folder: Path) -> list[Any]:
    """Return a few frames of each sequence, RGB."""
    pictures = []
    for sequence in sorted(path for path in folder.iterdir() if (path / "JPEGImages").is_dir()):
        paths = sorted((sequence / "JPEGImages").iterdir())
        for path in paths[:: max(len(paths) // EACH, 1)]:
            pictures.append(cv2.imread(str(path))[..., ::-1])
    if not pictures:
        raise SystemExit(f"{folder}: expected folders with JPEGImages/, found none")
    return pictures


def driver(options: argparse.Namespace, iterations: int, far: int) -> tuple[Any, bool]:
    """Return a network, and whether only flows between neighbours are asked of it."""
    settings = NetworkSettings(iterations, max(far, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_flow_network(options.network, options.weights, "cpu", settings), far < 0


def of_a_scene(drivers: Sequence[tuple[Any, bool]], pictures: Sequence[Any], rng: Any) -> Any:
    """Return for each driver the errors to the second and third frame: (drivers, 2)."""
    scene = random_scene(rng, pictures, size=SIDE, frames=FRAMES)
    frames, tops = scene.render_frames()
    far = [(i, j) for i in range(FRAMES) for j in range(FRAMES) if abs(i - j) > 1]
    truth = {pair: scene.flow(tops, *pair) for pair in far}
    visible_pixels = {pair: scene.visible(tops, *pair) for pair in far}
    out = []
    for network, composing in drivers:
        flows = estimated(network, frames, far, composing=composing)
        off = {pair: np.hypot(*(flows[pair] - truth[pair])) for pair in far}
        visible = sum(off[pair][visible_pixels[pair]].sum() for pair in far) / sum(
            visible_pixels[pair].sum() for pair in far
        )
        out.append((np.mean([off[pair].mean() for pair in far]), visible))
    return out


def estimated(
    network: Any, frames: Sequence[Any], wanted: Sequence[tuple[int, int]], *, composing: bool
) -> dict[tuple[int, int], Any]:
    """Return the flows of the pairs wanted."""
    every = {(i, j) for i in range(FRAMES) for j in range(FRAMES) if i != j}
    run = network.run(Span(0, np.stack(frames)), every, reach=REACH)
    if not composing:
        return {pair: run.flow(*pair) for pair in wanted}
    flows = {}
    for i, j in wanted:
        step = 1 if j > i else -1
        flows[i, j] = run.flow(i, i + step)
        for k in range(i + step, j, step):
            flows[i, j] = compose_flows(flows[i, j], run.flow(k, k + step))
    return flows


def interval(values: Any, rng: Any) -> str:
    """Return where the mean lies in 95 % of draws."""
    means = rng.choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{low:+.3f} to {high:+.3f}"


if __name__ == "__main__":
    main()
