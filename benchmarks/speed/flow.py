"""How fast learned flow is beside ptlflow's own loop, and how far all flow is from the truth.

    python benchmarks/speed/flow.py [--networks gma raft raft_small] [--weights random] [--cores 1]
                              [--middlebury ../shared/data/flow]

Speed: 854 x 480, twelve iterations, the flow of one more frame to and from the three before it, as
in the middle of a shot; ptlflow and this project's driver by turns, medians of --rounds. With one
core both run in one thread. With --cores N ptlflow takes N threads, as it does by itself, and this
project N frames at a time in one thread each, as its runner does. On a busy machine compare seconds
of processor, not of the clock. The difference is that of F[0→3] from ptlflow's own forward, for
pictures of the same size; that of a warm start needs true weights.

Truth: mean end-point error on pictures with known flow (folders with frame10.png, frame11.png and
flow10.flo). Networks take part if --weights names true ones.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.stage import Span  # noqa: E402
from stages.models.flow.load import load_flow  # noqa: E402
from stages.models.flow.registry import FlowChoice  # noqa: E402
from stages.models.flow.settings import FAMILY, NetworkSettings, Precision  # noqa: E402
from stages.ops.warp import compose_flows, resize_flow  # noqa: E402

ROWS, COLUMNS, REACH = 480, 854, 3
UNKNOWN = 1e9  # in .flo files
GAMMA = 0.5  # of GMA's aggregation, which starts at 0 in random weights: it must count

WAYS: list[tuple[str, float, Precision, bool]] = [
    # name, share of the size, precision, warm start with half of the iterations
    ("fp32", 1.0, "fp32", False),
    ("bf16", 1.0, "bf16", False),
    ("fp32, warm start", 1.0, "fp32", True),
    ("half size, fp32", 0.5, "fp32", False),
    ("half size, bf16", 0.5, "bf16", False),
]

Took = tuple[float, float]
"""Seconds a pair: of processors, of the clock."""


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", default=list(FAMILY))
    parser.add_argument("--weights", default="random")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--middlebury", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.networks:
        print(
            "| network | how | processor, s a pair | clock, s a pair | times faster: processor "
            "| clock | difference, px: mean | max |\n|---|---|---|---|---|---|---|---|"
        )
    for name in options.networks:
        Speed(name, options).print_rows()
    if options.middlebury:
        networks = options.networks if options.weights != "random" else []
        print_errors(options.middlebury, [(name, options.weights) for name in networks])


class Speed:
    """One network, run by ptlflow and in all `WAYS`."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name, self.options = name, options
        self.frames = {1.0: panning(options.rounds + REACH + 1)}
        size = (round(COLUMNS / 2), ROWS // 2)
        small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in self.frames[1.0]]
        self.frames[0.5] = np.stack(small)
        self.model = self.network(NetworkSettings(options.iterations)).model
        self.model.iters = options.iterations

    def network(self, settings: NetworkSettings) -> Any:
        """Return this project's driver, with weights of its own."""
        from stages.models.flow.ptlflow import load_flow_network

        driver: Any = load_flow_network(self.name, self.options.weights, "cpu", settings)
        if self.name == "gma" and self.options.weights == "random":
            import torch

            from stages.models.flow.raft.family import RaftFamily

            torch.nn.init.constant_(driver.model.update_block.aggregator.gamma, GAMMA)
            driver = RaftFamily(driver.model, settings)
        return driver

    def print_rows(self) -> None:
        """Measure by turns, then print."""
        ways = {way[0]: self.steps(*way[1:]) for way in WAYS}
        took: dict[str, list[Took]] = {name: [] for name in ("ptlflow", *ways)}
        flows = {name: next(steps) for name, steps in ways.items()}  # warms up
        for k in range(self.options.rounds):
            took["ptlflow"].append(clocked(lambda k=k: self.theirs(1.0, k, k + REACH), 1))
            for name, steps in ways.items():
                pairs = 2 * REACH * self.options.cores
                took[name].append(clocked(lambda steps=steps: next(steps), pairs))
        base = took.pop("ptlflow")
        row(self.name, "ptlflow's own loop", median(base), [1, 1], None)
        theirs = {scale: self.theirs(scale, 0, REACH) for scale in self.frames}
        for name, scale, _, warm in WAYS:
            ratios = [
                statistics.median(b[c] / t[c] for b, t in zip(base, took[name], strict=True))
                for c in (0, 1)
            ]
            difference = np.abs(flows[name] - theirs[scale])
            if warm and self.options.weights == "random":
                difference = None  # random weights converge to nothing: it would say nothing
            row(self.name, name, median(took[name]), ratios, difference)

    def steps(self, scale: float, precision: Precision, warm: bool) -> Iterator[Any]:
        """Yield F[0→3] after the frames up to there; go on by one frame each time asked."""
        half = (self.options.iterations + 1) // 2
        settings = NetworkSettings(self.options.iterations, half if warm else 0, precision)
        frames = Span(0, self.frames[scale])
        every = {
            (i, j) for i in range(frames.stop) for j in range(frames.stop) if 0 < abs(i - j) < 4
        }
        with ThreadPoolExecutor(self.options.cores) as pool:
            drivers = [self.network(settings) for _ in range(self.options.cores)]
            runs = [driver.run(frames, every, reach=REACH) for driver in drivers]

            def arrive(run: Any, t: int) -> None:
                late = [(t - k, t) for k in range(1, REACH + 1)]
                for pair in late if t > REACH else (late[0], late[-1]) if t == REACH else late[:1]:
                    run.flow(*pair)
                run.forget(t - REACH)

            for t in range(1, frames.stop):
                list(pool.map(arrive, runs, [t] * len(runs)))
                if t >= REACH:
                    yield runs[0].flow(0, REACH) if t == REACH else None

    def theirs(self, scale: float, i: int, j: int) -> Any:
        """Return F[i→j] by ptlflow's own forward."""
        import torch

        from stages.models.flow.network_pictures import network_images

        pictures = self.frames[scale]
        images = network_images([pictures[i], pictures[j]], "cpu")
        torch.set_num_threads(self.options.cores)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.model({"images": images[None]})["flows"][0, 0].numpy()


def clocked(work: Callable[[], object], pairs: int) -> Took:
    """Return seconds a pair."""
    began, ran = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - ran) / pairs, (time.perf_counter() - began) / pairs


def median(took: Sequence[Took]) -> Took:
    """Return the medians."""
    return statistics.median(t[0] for t in took), statistics.median(t[1] for t in took)


def row(network: str, how: str, took: Took, ratios: Sequence[float], difference: Any) -> None:
    """Print one."""
    off = "– | – |" if difference is None else f"{difference.mean():.1e} | {difference.max():.1e} |"
    print(
        f"| {network} | {how} | {took[0]:.2f} | {took[1]:.2f} | {ratios[0]:.1f} | "
        f"{ratios[1]:.1f} | {off}",
        flush=True,
    )


def panning(count: int) -> Any:
    """Return a photograph that pans, as RGB frames."""
    import skimage.data

    wide = cv2.resize(skimage.data.chelsea(), (COLUMNS + 80, ROWS + 40))
    return np.stack([wide[2 * t : 2 * t + ROWS, 5 * t : 5 * t + COLUMNS] for t in range(count)])


def print_errors(folder: Path, networks: Sequence[tuple[str, str]]) -> None:
    """Print mean end-point errors of all estimators, and seconds a pair."""
    scenes = [path for path in sorted(folder.iterdir()) if (path / "flow10.flo").is_file()]
    if not scenes:
        raise SystemExit(f"--middlebury {folder}: expected folders with flow10.flo, found none")
    print(f"\n| flow | {' | '.join(scene.name for scene in scenes)} | s a pair |")
    print("|---" * (len(scenes) + 2) + "|")
    rows = [("dis", preset, "") for preset in ("ultrafast", "fast", "medium")]
    rows += [("deepflow", "medium", "")] + [
        (name, "medium", weights_file) for name, weights_file in networks
    ]
    for method, preset, weights in rows:
        model = load_flow(FlowChoice(method, preset, weights))  # type: ignore[arg-type]
        name = f"dis, {preset}" if method == "dis" else method
        for scale, chained in ((1.0, False), (0.5, False), (1.0, True), (0.5, True)):
            how = (", half size" if scale < 1 else "") + (", composed of three" if chained else "")
            results = [error_of(model, scene, scale, chained=chained) for scene in scenes]
            errors = " | ".join(f"{error:.3f}" for error, _ in results)
            seconds = statistics.median(seconds for _, seconds in results)
            print(f"| {name}{how} | {errors} | {seconds:.2f} |", flush=True)


def error_of(model: Any, scene: Path, scale: float, *, chained: bool) -> tuple[float, float]:
    """Return the mean end-point error in pixels, and the processor's seconds."""
    frames = [cv2.imread(str(scene / f"frame{k}.png"))[..., ::-1] for k in (10, 11)]
    truth = read_flo(scene / "flow10.flo")
    size = truth.shape[1:]
    small = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames]
    first, second = (np.ascontiguousarray(frame) for frame in small)
    ran = time.process_time()
    flow = model(first, second)
    if chained:  # there, back and there again: as long a chain as to the third frame
        back = model(second, first)
        flow = compose_flows(compose_flows(flow, back), flow)
    flow = resize_flow(flow, size)
    seconds = time.process_time() - ran
    known = np.abs(truth).max(axis=0) < UNKNOWN
    return float(np.hypot(*(flow - truth))[known].mean()), seconds


def read_flo(path: Path) -> Any:
    """Return flow (2, H, W) of a Middlebury file."""
    with path.open("rb") as handle:
        handle.seek(4)
        columns, rows = np.fromfile(handle, np.int32, 2)
        return np.fromfile(handle, np.float32).reshape(rows, columns, 2).transpose(2, 0, 1)


if __name__ == "__main__":
    main()
