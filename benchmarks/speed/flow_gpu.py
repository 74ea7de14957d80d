"""How fast learned flow is on a GPU beside ptlflow's own loop, and how much of the GPU it uses.

    python benchmarks/speed/flow_gpu.py [--network gma] [--weights random] [--limit-gb 24]

Of 854 x 480 and of 1920 x 1080, twelve iterations, all flows within three frames of --frames frames
that pan: pictures uploaded and flows brought back, six pairs a frame. ptlflow runs pair by pair in
fp32, with what torch allows by itself (TF32 in convolutions); this project's fp32 is fp32. Warm;
the ways take turns, medians of --rounds. "Update" is the GRU with all around it but the look-up, by
itself, and its share that of the rate of one large product of matrices of the same type, measured
here. --limit-gb makes the GPU a smaller one. The difference is that of F[0→3] from ptlflow's.

`--device cpu --size 256x128 --frames 4 --iterations 2` tries the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.speed.floor import measured_rates  # noqa: E402 (the project is beside this folder)
from pipeline.stage import Span  # noqa: E402
from stages.models.flow.network_pictures import network_images  # noqa: E402
from stages.models.flow.ptlflow import load_flow_network  # noqa: E402
from stages.models.flow.raft.attention import SquareAttention  # noqa: E402
from stages.models.flow.raft.family import RaftFamily  # noqa: E402
from stages.models.flow.raft.iterations import cuda_graph  # noqa: E402
from stages.models.flow.raft.pair_correlation import fits_square  # noqa: E402
from stages.models.flow.raft.update import Update  # noqa: E402
from stages.models.flow.settings import NetworkSettings, Precision  # noqa: E402
from stages.models.torch_models import repeatable  # noqa: E402

REACH = 3
GAMMA = 0.5  # of GMA's aggregation, which starts at 0 in random weights: it must count
UPDATES = 20  # timed together

WAYS: list[tuple[str, Precision, bool]] = [
    # name, precision, recorded
    ("fp32", "fp32", True),
    ("fp32, not recorded", "fp32", False),
    ("bf16", "bf16", True),
    ("bf16, not recorded", "bf16", False),
]


def main() -> None:
    """Print a Markdown table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="gma")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", nargs="*", default=["854x480", "1920x1080"])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-gb", type=float, help="memory that the GPU is to seem to have")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit("no GPU here: not measured")
    if on_gpu:
        name = torch.cuda.get_device_name()
        whole = torch.cuda.get_device_properties(0).total_memory / 1e9
        if options.limit_gb:
            torch.cuda.set_per_process_memory_fraction(options.limit_gb / whole)
        print(f"{name}, {min(whole, options.limit_gb or whole):.0f} GB\n")
    for size in options.size:
        print(
            "\n| network | size | how | pairs/s | times ptlflow's | peak memory, GB | update, "
            "TFLOP/s | of the rate | difference, px: mean | max |\n" + "|---" * 10 + "|"
        )
        Size(size, options).print_rows()


class Size:
    """One size of pictures."""

    def __init__(self, size: str, options: argparse.Namespace) -> None:
        self.options, self.size = options, size
        self.frames = panning(*(int(side) for side in size.split("x")), options.frames)
        self.device = torch.device(options.device)

    def print_rows(self) -> None:
        """Measure by turns, then print."""
        options = self.options
        drivers = {how: self.driver(precision, on) for how, precision, on in WAYS}
        model = drivers["fp32"].model
        model.iters = options.iterations
        flows = {how: self.ours(driver, 4) for how, driver in drivers.items()}  # warms up
        theirs = self.theirs(model)
        square = fits_square(int(np.prod(self.grid)))
        took: dict[str, list[float]] = {how: [] for how in ("ptlflow", *drivers)}
        peaks: dict[str, float] = {}
        for _ in range(options.rounds):
            took["ptlflow"].append(self.timed(lambda: self.theirs(model), "ptlflow", peaks))
            for how, driver in drivers.items():
                seconds = self.timed(lambda d=driver: self.ours(d, options.frames), how, peaks)
                took[how].append(seconds / self.pairs(options.frames))
        base = statistics.median(took.pop("ptlflow"))
        self.row("ptlflow's own loop", base, base, peaks["ptlflow"], "– | – | – | – |")
        for how, driver in drivers.items():
            update = "– | –"
            if square:  # of larger frames attention is made again each time: no product of its own
                rate, share = self.update_rate(driver)
                update = f"{rate / 1e12:.2f} | {100 * share:.0f}%"
            off = np.abs(flows[how] - theirs)
            rest = f"{update} | {off.mean():.1e} | {off.max():.1e} |"
            self.row(how, statistics.median(took[how]), base, peaks[how], rest)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns that the network sees."""
        rows, columns = (-(-side // 8) for side in self.frames.shape[1:3])
        return rows, columns

    def row(self, how: str, seconds: float, base: float, peak: float, rest: str) -> None:
        """Print one."""
        memory = f"{peak / 1e9:.1f}" if peak else "–"
        print(
            f"| {self.options.network} | {self.size} | {how} | {1 / seconds:.2f} | "
            f"{base / seconds:.1f} | {memory} | {rest}",
            flush=True,
        )

    def driver(self, precision: Precision, recorded: bool) -> RaftFamily:
        """Return this project's driver."""
        options = self.options
        settings = NetworkSettings(options.iterations, 0, precision, recorded)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: Any = load_flow_network(
                options.network, options.weights, options.device, settings
            )
            if options.network == "gma" and options.weights == "random":
                torch.nn.init.constant_(network.model.update_block.aggregator.gamma, GAMMA)
                network = RaftFamily(network.model, settings)
        driver: RaftFamily = network
        return driver

    def ours(self, driver: RaftFamily, count: int) -> Any:
        """Estimate all flows of the first frames; return F[0→3]."""
        every = [(i, j) for i in range(count) for j in range(count) if 0 < abs(i - j) <= REACH]
        run, kept = driver.run(Span(0, self.frames[:count]), every, reach=REACH), None
        for t in range(count):
            for pair in (pair for pair in every if pair[0] == t):
                flow = run.flow(*pair)
                kept = flow if pair == (0, REACH) else kept
            run.forget(t - REACH)
        return kept

    def theirs(self, model: Any) -> Any:
        """Return F[0→3] by ptlflow's own forward."""
        images = network_images([self.frames[0], self.frames[REACH]], self.device)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model({"images": images[None]})["flows"][0, 0].cpu().numpy()

    def timed(self, work: Callable[[], object], how: str, peaks: dict[str, float]) -> float:
        """Return seconds; take down the peak of the GPU's memory."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        on_gpu = self.device.type == "cuda"
        peaks[how] = float(torch.cuda.max_memory_reserved()) if on_gpu else 0.0
        return seconds

    @staticmethod
    def pairs(count: int) -> int:
        """Return how many pairs `ours` runs."""
        return sum(2 * (count - k) for k in range(1, REACH + 1))

    def update_rate(self, driver: RaftFamily) -> tuple[float, float]:
        """Return operations a second of the update, and their share of a product's."""
        precision = "bf16" if driver.update.dtype is torch.bfloat16 else "fp32"
        rows, columns = self.grid
        batch = min(driver.batch_size(rows * columns), 2 * REACH)
        with repeatable():
            step = self.update_step(driver.model, driver.update, batch, self.grid)
            step()
            again = cuda_graph(step, self.device) if self.device.type == "cuda" else step
            seconds = self.timed(lambda: self.repeat(again), "", {}) / UPDATES
        rates = measured_rates(self.options.device, precision)
        rate = batch * self.update_operations(driver) / seconds
        return rate, rate / rates.operations

    def repeat(self, step: Callable[[], object]) -> None:
        """Run many, and wait."""
        for _ in range(UPDATES):
            step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @staticmethod
    def update_step(
        model: Any, update: Update, batch: int, size: tuple[int, int]
    ) -> Callable[[], None]:
        """Return a call of the update on tensors without meaning, where the model is."""
        device, dtype = next(model.parameters()).device, update.dtype
        look_up = model.corr_levels * (2 * model.corr_radius + 1) ** 2

        def some(channels: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            values = torch.zeros((batch, channels, *size), device=device, dtype=dtype)
            return values.contiguous(memory_format=torch.channels_last)

        state, correlation, flow = some(model.hidden_dim, dtype), some(look_up), some(2)
        gates = update.context(some(model.context_dim))
        attention = []
        if hasattr(model, "att"):
            pixels = size[0] * size[1]
            weights = torch.zeros((pixels, pixels), device=device, dtype=dtype)
            attention = [SquareAttention(weights)] * batch

        def step() -> None:
            update(state, gates, correlation, flow, attention)

        return step

    def update_operations(self, driver: RaftFamily) -> float:
        """Return those of one iteration of one pair, counted on tensors without content."""
        from torch.utils.flop_counter import FlopCounterMode

        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            import ptlflow

            model = ptlflow.get_model(self.options.network).eval().to("meta")
            update = Update(
                model.update_block, hidden=model.hidden_dim, context=model.context_dim,
                dtype=driver.update.dtype,
            )  # fmt: skip
            step = self.update_step(model, update, 1, self.grid)
            with FlopCounterMode(display=False) as counter:
                step()
        return float(counter.get_total_flops())


def panning(columns: int, rows: int, count: int) -> Any:
    """Return a photograph that pans, as RGB frames."""
    import skimage.data

    wide = cv2.resize(skimage.data.chelsea(), (columns + 5 * count, rows + 2 * count))
    views = [wide[2 * t : 2 * t + rows, 5 * t : 5 * t + columns] for t in range(count)]
    return np.stack(views)


if __name__ == "__main__":
    main()
