"""The least time that the pipeline's arithmetic can take on this machine.

A stage's floor is ``max(bytes / bandwidth, operations / rate)`` for each frame: `bytes` are those
of the arrays it reads and writes, each once and uncompressed (`stages.arrays`), `operations` the
additions and multiplications that its equations ask for, and bandwidth and rate those of one large
copy and one large product of matrices on all processors, or on the GPU for stages that run there,
measured in the same run. Not counted: entropy coding of pictures and videos, compression in the
store, hashing, and the network of a segmenter or decoder.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

COPIED_BYTES = 256 << 20
SIDE = 2048  # of the matrices
ROUNDS = 5
PATCH, STEPS_OF_SOR = 8, 5  # of DIS; see OpenCV's dis_flow.cpp and variational_refinement.cpp
PRESETS = {"ultrafast": 0, "fast": 1, "medium": 2}
NETWORKS = ("aligned", "deeplab")


@dataclass(frozen=True)
class Scene:
    """A clip, as far as the work depends on it.

    Attributes
    ----------
    frames, rate : how many, and how many a second
    work, source : pixels of a frame at work, and of the source's
    classes : foreground classes
    edges : share of 16 x 16 tiles that an edge of the masks crosses: no others are voted about
    """

    frames: int
    rate: float
    work: int
    source: int
    classes: int
    edges: float


@dataclass(frozen=True)
class Work:
    """Of one stage and one frame."""

    bytes: float
    operations: float


@dataclass(frozen=True)
class Rates:
    """Of the processors or of a GPU: bytes, and additions and multiplications, a second."""

    bytes: float
    operations: float


def measured_rates(device: str = "cpu", precision: str = "fp32") -> Rates:
    """Return the best of a few rounds: other programs only slow them.

    Parameters
    ----------
    device : str
        "cpu" for all processors, or one of torch's.
    precision : {"fp32", "bf16"}
        Of the product.
    """
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if device != "cpu":
        return _device_rates(device, dtype)
    count = os.cpu_count() or 1
    torch.set_num_threads(count)
    pairs = [np.ones((2, COPIED_BYTES // count // 4), np.float32) for _ in range(count)]
    left, right = torch.ones(2, SIDE, SIDE, dtype=dtype)
    with ThreadPoolExecutor(count) as pool:
        copying = _least_s(lambda: list(pool.map(lambda p: np.copyto(p[1], p[0]), pairs)))
    multiplying = _least_s(lambda: left @ right)
    return Rates(2 * sum(p[0].nbytes for p in pairs) / copying, 2 * SIDE**3 / multiplying)


def _device_rates(device: str, dtype: Any) -> Rates:
    import torch

    source = torch.ones(4 * COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    left, right = torch.ones(2, 4 * SIDE, 4 * SIDE, device=device, dtype=dtype)

    def waited(work: Callable[[], object]) -> float:
        return _least_s(lambda: (work(), torch.cuda.synchronize(device)))

    copying, multiplying = waited(lambda: target.copy_(source)), waited(lambda: left @ right)
    return Rates(2 * source.nbytes / copying, 2 * (4 * SIDE) ** 3 / multiplying)


def _least_s(work: Callable[[], object]) -> float:
    work()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def work_of(settings: Mapping[str, Any], scene: Scene) -> dict[str, Work]:
    """Return what each stage has to do for a frame, under the settings of ``run.json``."""
    p, s, c = scene.work, scene.source, scene.classes
    flow, refine, smooth = settings["flow"], settings["refine"], settings["smooth"]
    small, k = p * flow["scale"] ** 2, 2 * flow["radius"]
    flows = 4 * k * small  # bytes: int16, two of them a pixel
    enlarge = 0 if p == s else s
    votes = k * p * scene.edges * _a_vote(c)
    passes = refine["passes"] if refine["method"] in ("vote", "aligned") else 0
    return {
        # YUV 4:2:0 in; a 3 x 3 matrix to RGB; each source pixel weighed into the smaller picture
        "ingest": Work(1.5 * s + 3 * p, 15 * s + 6 * enlarge),
        # a Gaussian of 8 sigma + 1 taps along rows, then columns
        "segment": Work(
            s + (c + 1) * p, 4 * (8 * settings["segment"].get("softness", 0) + 1) * c * p
        ),
        "flow": Work(3 * p + flows, flow_operations(flow, small)),
        "visibility": Work(flows + k * small, 36 * k * small),
        "refine": Work((2 * c + 3) * p + (flows if passes else 0), passes * votes),
        "smooth": Work(
            (2 * c + 5) * p + (flows if smooth["votes"] else 0),
            smooth["votes"] * votes + p * _a_filter(smooth, c),
        ),
        # flow to the size of the labels, then two systems looked up and compared
        "measure": Work(2 * p + flows + k * small, 32 * k * p),
        # guided upsampling where sizes differ, then the overlay's blend
        "export": Work((c + 4) * p + 4 * s, 6 * s + enlarge * c * 40),
    }


def uncounted(settings: Mapping[str, Any]) -> set[str]:
    """Return the stages whose main work, a network or DeepFlow, is not in `work_of`."""
    holds = {
        "refine": settings["refine"]["method"] in NETWORKS,
        "segment": bool(settings["segment"].get("segmenter")),
        "flow": settings["flow"]["method"] == "deepflow",
    }
    return {stage for stage, network in holds.items() if network}


def _a_vote(classes: int) -> int:
    """Return the operations of asking one neighbour at one pixel: `stages.ops.voting`.

    Place 12 (two bilinear values), picture 30 (three samples and differences), weight 4; a class 8
    and 2.
    """
    return 46 + 10 * classes


def _a_filter(smooth: Mapping[str, Any], classes: int) -> int:
    """Return the operations of the guided filter at one pixel: `stages.ops.guided`.

    Products of each frame in the box, sums of the box by running sums along both axes, the 3 x 3
    system, the mean over boxes, over frames, and a·I + b.
    """
    if smooth["method"] == "none":
        return 0
    frames = smooth["temporal_kernel"] if smooth["method"] == "static" else 2 * smooth["radius"] + 1
    products, sums = frames * (25 + 9 * classes), 4 * (10 + 4 * classes)
    means = 20 * classes + (4 * classes * frames if smooth["method"] == "static" else 0)
    return products + sums + 70 + 30 * classes + means + 8 * classes


def flow_operations(flow: Mapping[str, Any], pixels: float) -> float:
    """Return the operations of all flows that start at a frame, each composed one 20 a pixel."""
    radius = flow["radius"]
    direct = 2 * (1 if flow["far"] == "composed" else radius)
    composed = (2 * radius - direct) * 20 * pixels
    if flow["method"] == "dis":
        return direct * _dis_operations(flow["preset"], pixels) + composed
    if flow["method"] == "deepflow":
        return float("nan")
    return _network_operations(flow, pixels, direct) + composed


def _dis_operations(preset: str, pixels: float) -> float:
    """Return those of one pair (Kroeger et al., ECCV 2016, with the steps the preset allows).

    A step of a patch: 13 for each of its pixels (sample, difference, two products with the
    gradient). Refinement: 60 a pixel for the terms and 20 for each sweep of SOR.
    """
    search = cv2.DISOpticalFlow_create(PRESETS[preset])  # type: ignore[attr-defined]
    total, finest = 0.0, search.getFinestScale()
    for scale in range(finest, finest + 8):
        level = pixels / 4**scale
        if level < 4 * PATCH**2:
            break
        patches = level / search.getPatchStride() ** 2
        total += patches * search.getGradientDescentIterations() * 13 * PATCH**2
        total += level * search.getVariationalRefinementIterations() * (60 + 20 * STEPS_OF_SOR)
    return total


def _network_operations(flow: Mapping[str, Any], pixels: float, pairs: int) -> float:
    """Return those of a frame, counted layer by layer on tensors without content.

    What a frame has for itself is counted once, and so are the constant part of the GRU's gates
    and the way up to full size: as the driver does it (`stages.models.flow.raft.family`).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from stages.models.flow.settings import FAMILY

    rows = round((pixels * 9 / 16) ** 0.5)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        import ptlflow

        model = ptlflow.get_model(flow["method"]).eval().to("meta")
        if flow["iterations"]:
            model.iters = flow["iterations"]
        with FlopCounterMode(display=False) as counter:
            model({"images": torch.zeros(1, 2, 3, rows, round(pixels / rows), device="meta")})
    counts = {name: sum(parts.values()) for name, parts in counter.get_flop_counts().items()}
    if flow["method"] not in FAMILY:
        return float(pairs * counts["Global"])
    named = {name.partition(".")[2]: count for name, count in counts.items()}
    once = sum(named.get(name, 0) for name in ("fnet", "cnet", "att"))
    gru = model.update_block.gru
    first = getattr(gru, "convz1", None) or gru.convz
    constant = named["update_block.gru"] * model.context_dim / first.weight.shape[1]
    repeated = (constant + named.get("update_block.mask", 0)) * (1 - 1 / model.iters)
    shared = named["fnet"] / 2  # of two pictures, and each is of six pairs
    return float(once - shared + pairs * (counts["Global"] - once - repeated))
