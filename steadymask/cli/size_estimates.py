"""How much room a run will need in the store and for its label set, before it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stage import Facts, Step
from stages.arrays import arrays_of
from stages.facts import ClipFacts

if TYPE_CHECKING:
    from stages.pseudo_labels.stage import PseudoLabels

SPENDABLE = ("flow", "visibility")  # what most is taken by, and what is read by few

# Measured as the store compresses them, highest of four DAVIS clips (dog, bmx-trees at 854x480;
# libby, car-shadow at 640x360 with flow at full size), bytes per pixel of a frame, or of a flow.
FRAME = 3.0
FLOW = 1.95  # both directions, in 1/64 px, to one neighbour; flow of DIS, composed beyond the next
VISIBILITY = 0.046  # one neighbour
TRUST = 0.02  # a class, on the grid of the flow
MASKS = {  # by stage that writes soft masks: first class, every other class (bmx-trees: four)
    "segment": (0.078, 0.012),
    # Key frames twelve apart at 854x480: dog 0.32, bmx-trees with two classes 0.44.
    "carry": (0.45, 0.05),
    "refine": (0.62, 0.06),
    "smooth": (0.78, 0.09),
}
SOURCE_MASKS = {"": 0.0, "source_labels": 0.03, "source_soft": 0.1}  # at the source's size; a class
FLOW_STEPS = {64: 1.0, 32: 0.8, 16: 0.65}  # of a pixel: the same flows rounded, share of the bytes

BLOCK = 4096  # that a file takes beyond its own, at most
COUNTS = 2 * BLOCK  # of the measure stage, a frame: its files are of many frames
PICTURE_AXES = ({"H", "W"}, {"h", "w"})  # arrays with such axes have a file a frame

# Of pseudo-labels, likewise measured: pictures of ten clips of DAVIS and CamVid, the rest of nine
# masks of them (dog with those of OSVOS: certainty 0.48, the others up to 0.21); bytes per pixel.
JPEG = {50: 0.15, 75: 0.21, 90: 0.36, 95: 0.52, 98: 0.77, 100: 1.2}  # by quality
PNG = 1.8
LABELS, CERTAINTY = 0.05, 0.35
SOFT = 0.2  # a class; CamVid's eleven: 0.09 each


# Of results, bytes per pixel of the source, on two videos of a cat and of juggling (320x568 and
# 720x1280), a third of the picture masked; the larger of both, by the format's own writer.
RESULTS = {
    "png": 0.017, "ffv1": 0.004, "overlay": 0.12, "matte": 0.056, "matte16": 0.13, "rgba": 2.3,
    "tiff": 4.0, "exr": 0.2, "prores": 0.73, "webm": 0.22, "matte_video": 0.047, "trimap": 0.032,
    "cutout": 0.12, "redacted": 0.15, "coco": 0.005, "ytvis": 0.004, "cvat": 0.01,
    "label_studio": 0.033, "yolo": 0.58, "frames": 0.57,
}  # fmt: skip
BY_CLASS = ("matte", "matte16", "trimap", "exr")  # a file or layer for each class, besides all
COVER = 0.02  # of the cover stage, a class, per pixel at work


def needed_bytes(
    frames: int,
    rows: int,
    columns: int,
    *,
    classes: int = 1,
    radius: int = 3,
    scale: float = 0.5,
    steps: int = 64,
) -> dict[str, int]:
    """Return the bytes that a clip takes in the store by stage; rather too many than too few.

    Parameters
    ----------
    frames : int
    rows, columns : int
        Of a frame at working size.
    classes : int, >= 0
        Foreground classes of the masks.
    radius : int
        ``flow.radius``: flow goes to twice as many neighbours.
    scale : float
        ``flow.scale``: size of a flow, as a share of that of a frame.
    steps : 64, 32 or 16
        Parts of a pixel that a flow counts in.

    Notes
    -----
    How well pictures compress differs: of the four clips measured it gives 1.1 to 1.5 times what
    each took. A file system with blocks larger than 4 KB takes more.
    """
    if steps not in FLOW_STEPS:
        known = ", ".join(map(str, FLOW_STEPS))
        raise ValueError(f"steps: expected one of {known}, got {steps!r}")
    pixels = rows * columns
    pairs = 2 * radius * max(round(rows * scale), 1) * max(round(columns * scale), 1)
    a_frame = {
        "ingest": FRAME * pixels,
        "segment": mask_bytes("segment", pixels, classes),
        "flow": FLOW * FLOW_STEPS[steps] * pairs,
        "visibility": VISIBILITY * pairs,
        "trust": TRUST * classes * pairs / (2 * radius),
        "refine": mask_bytes("refine", pixels, classes),
        "smooth": mask_bytes("smooth", pixels, classes),
        "measure": COUNTS,
    }
    return {
        stage: round(frames * (content + block_bytes(stage))) for stage, content in a_frame.items()
    }


def mask_bytes(stage: str, pixels: int, classes: int) -> float:
    """Return the bytes that the masks of a frame take, without half-filled blocks."""
    first, other = MASKS[stage]
    return (first + other * max(classes - 1, 0)) * pixels


def block_bytes(stage: str) -> int:
    """Return the bytes a frame that half-filled blocks of 4 KB take besides, whatever its size.

    >>> block_bytes("flow"), block_bytes("smooth"), block_bytes("measure")
    (4096, 8192, 0)
    """
    arrays = [array for array in arrays_of(stage) if not array.optional]
    pictures = [a for a in arrays if any(axes <= set(a.shape or ()) for axes in PICTURE_AXES)]
    return BLOCK * len(pictures)


def label_bytes(step: PseudoLabels, facts: Facts) -> int:
    """Return the bytes that the pseudo-labels of a clip take; rather too many than too few.

    With ``sample=motion`` as many frames are counted as there are.
    """
    pixels = ClipFacts(facts).pixels
    picture = float(np.interp(step.quality, list(JPEG), list(JPEG.values())))
    a_pixel = (picture if step.pictures == "jpg" else PNG) + LABELS + CERTAINTY
    if step.soft:
        a_pixel += SOFT * len(facts.get("classes", (1,)))
    files = 4 if step.soft else 3
    a_frame = round(a_pixel * pixels) + files * BLOCK
    return step.most(ClipFacts(facts).frames) * a_frame


def written_bytes(steps: Sequence[Step], facts: Facts) -> dict[str, int]:
    """Return the bytes that a clip takes in OUT by sink, of those that are large."""
    from stages.pseudo_labels.stage import PseudoLabels  # slow to import

    needed = {
        step.name: label_bytes(step, facts) for step in steps if isinstance(step, PseudoLabels)
    }
    export: Any = next((step for step in steps if step.name == "export"), None)
    if export is not None:
        needed["export"] = result_bytes(export.formats, facts)
    return needed


def result_bytes(formats: Sequence[str], facts: Facts) -> int:
    """Return the bytes that a clip's results take; a user's own formats are not counted.

    While they are joined a result may be there twice.
    """
    known, classes = ClipFacts(facts), len(facts.get("classes", (1,)))
    pixels = known.frames * math.prod(known.source_size)
    total = 0.0
    for name in formats:
        times = 1 + classes if name in BY_CLASS and classes > 1 else 1
        total += RESULTS.get(name, 0.0) * times
    return round(pixels * total) + BLOCK * known.frames * len(formats)


def clip_bytes(steps: Sequence[Step], facts: Facts) -> dict[str, int]:
    """Return the bytes that a clip takes in the store by stage, with the settings of a run."""
    flow = next((step for step in steps if step.name == "flow"), None)
    how = {name: getattr(flow, name) for name in ("radius", "scale", "steps") if flow is not None}
    rows, columns = ClipFacts(facts).size
    known, classes = ClipFacts(facts), len(facts.get("classes", (1,)))
    needed = needed_bytes(known.frames, rows, columns, classes=classes, **how)
    stages = {step.name for step in steps}
    if "carry" in stages:
        carried = mask_bytes("carry", rows * columns, classes)
        needed["carry"] = round(known.frames * (carried + block_bytes("carry")))
    if "cover" in stages:
        covers = COVER * classes * rows * columns
        needed["cover"] = round(known.frames * (covers + block_bytes("cover")))
    if known.source_masks:
        layers = classes if known.source_masks == "source_soft" else 1
        a_frame = SOURCE_MASKS[known.source_masks] * layers * math.prod(known.source_size) + BLOCK
        needed["segment"] += round(known.frames * a_frame)
    return needed
