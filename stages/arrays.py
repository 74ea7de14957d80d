"""What travels between the stages: a handle for each array, with its shape, type and range.

Every array has one entry a frame along its first axis (T). C counts foreground classes, in the
order of the fact `classes`; the background is what they leave to 1. K2 counts the neighbours
within `flow.radius`, in the order of `neighbour_offsets`. A stage that writes an array lists its
handle in `writes`, and the engine checks the array; one that reads it gives
``HANDLE.within(reach)`` as an input and finds it as ``window[HANDLE]``.

Facts of a clip: see `stages.facts.ClipFacts`.

Examples
--------
>>> str(FLOW), FLOW.dtype, FLOW.shape
('flow.flow', 'int16', ('K2', 2, 'h', 'w'))
>>> neighbour_offsets(2)
(-2, -1, 1, 2)
"""

from __future__ import annotations

from pipeline.stage import ArrayHandle

FRAMES = ArrayHandle(
    "ingest", "frames", "uint8", ("H", "W", 3), "RGB at working resolution"
)  # fmt: skip
INPUT_MASKS = ArrayHandle(
    "segment", "masks", "uint8", ("H", "W", "C"), "soft masks in, 255 is certain"
)
INPUT_LABELS = ArrayHandle(
    "segment", "labels", "uint8", ("H", "W"), "0 background, else 1 + number of the class"
)
SOURCE_LABELS = ArrayHandle(
    "segment", "source_labels", "uint8", ("H0", "W0"), "labels as they came, if larger",
    optional=True,
)  # fmt: skip
SOURCE_SOFT = ArrayHandle(
    "segment", "source_soft", "uint8", ("H0", "W0", "C"), "soft masks as they came, if larger",
    optional=True,
)  # fmt: skip
SOURCE_MASKS = {array.name: array for array in (SOURCE_LABELS, SOURCE_SOFT)}
"""By the fact `source_masks`: the masks as they came, where the source is larger."""

EVIDENCE = ArrayHandle(
    "segment", "evidence", "uint8", (1,),
    "NO_MASK, OWN_MASK or KEY_FRAME; only where not all are OWN_MASK", optional=True,
)  # fmt: skip
NO_MASK, OWN_MASK, KEY_FRAME = 0, 1, 2
"""Evidence of a frame: nothing, a mask of a segmenter or of unknown origin, the user's own."""

FLOW = ArrayHandle(
    "flow", "flow", "int16", ("K2", 2, "h", "w"), "to each neighbour, 1/64 px of its own grid"
)
CARRIED_MASKS = ArrayHandle(
    "carry", "masks", "uint8", ("H", "W", "C"), "`INPUT_MASKS`, with frames filled that had none"
)
CARRIED_LABELS = ArrayHandle(
    "carry", "labels", "uint8", ("H", "W"), "`INPUT_LABELS`, with frames filled that had none"
)
VISIBLE = ArrayHandle(
    "visibility", "seen", "bool", ("K2", "h", "w"), "the neighbour shows this pixel too"
)
TRUST = ArrayHandle(
    "trust", "trust", "uint8", ("h", "w", "C"),
    "`TRUSTED`, `DOUBTED` or `WRONG` of `stages.trust.structure`: how far a mask is evidence",
)  # fmt: skip
REPAIRS = ArrayHandle(
    "trust", "repairs", "uint8", ("h", "w", "C"),
    "in 255ths, what both sides of a bad spell say a class's mask is; 0 all over in other frames",
)  # fmt: skip
OUTLINES = ArrayHandle(
    "trust", "outlines", "float32", ("C", 6), "`OutlineCounts` of `stages.trust.outlines`"
)
REFINED_MASKS = ArrayHandle("refine", "masks", "uint8", ("H", "W", "C"), "soft masks, refined")
REFINED_LABELS = ArrayHandle(
    "refine", "labels", "uint8", ("H", "W"), "labels as they came but for repairs"
)
SETTLED = ArrayHandle(
    "refine", "trust", "uint8", ("C",), "how far a class's mask needs no smoothing, in 255ths"
)
SMOOTH_MASKS = ArrayHandle("smooth", "masks", "uint8", ("H", "W", "C"), "soft masks out")
SMOOTH_LABELS = ArrayHandle(
    "smooth", "labels", "uint8", ("H", "W"), "labels out, as `INPUT_LABELS`"
)
COVER = ArrayHandle(
    "cover", "masks", "bool", ("H", "W", "C"), "where redaction has to hide each class"
)
COVER_STATES = ArrayHandle(
    "cover", "states", "uint8", ("C",), "`ABSENT`, `SIGHTED` or `CARRIED` of `stages.ops.cover`"
)
PAIRS = ArrayHandle(
    "measure", "pairs", "int64", (2, "K2", 2), "in/out: wrong and seen pixels per neighbour"
)
AREAS = ArrayHandle(
    "measure", "areas", "int64", (2, "C + 1"), "in/out: pixels of each label, background first"
)
CARRIED = ArrayHandle(
    "measure", "carried", "int64", (2, "K2", "C + 1", 3),
    "in/out, per neighbour and label: pixels here, there, in both; of those that both show",
)  # fmt: skip
OBJECTS = ArrayHandle(
    "measure", "objects", "int64", ("C", 2), "per class: pixels in both in and out; in either"
)
BOUNDARY = ArrayHandle("measure", "boundary", "int64", (2,), "in/out: boundary pixels")
RESTLESS = ArrayHandle(
    "measure", "restless", "float64", (2,), "in/out: L2 distance to the Gaussian mean in time"
)
OVERLAP = ArrayHandle(
    "measure", "overlap", "int64", (2,),
    "pixels where in and out agree on a class; where either has one",
)  # fmt: skip


def arrays_of(stage: str) -> tuple[ArrayHandle, ...]:
    """Return the handles of the arrays that a stage writes, in the order of this file.

    >>> [array.name for array in arrays_of("visibility")]
    ['seen']
    """
    handles = [value for value in globals().values() if isinstance(value, ArrayHandle)]
    return tuple(handle for handle in handles if handle.stage == stage)


def input_masks(sparse: bool) -> tuple[ArrayHandle, ArrayHandle]:
    """Return the handles of the masks and labels to start from: filled where frames had none."""
    return (CARRIED_MASKS, CARRIED_LABELS) if sparse else (INPUT_MASKS, INPUT_LABELS)


def masks_to_smooth() -> tuple[ArrayHandle, ArrayHandle, ArrayHandle]:
    """Return the handles that the smooth stage starts from: masks, labels, what it leaves alone.

    A stage between refine and smooth writes arrays like those and is named here.
    """
    return REFINED_MASKS, REFINED_LABELS, SETTLED


def neighbour_offsets(radius: int) -> tuple[int, ...]:
    """Return the neighbours of a frame in the order that arrays hold them: -r … -1, 1 … r."""
    return tuple(k for k in range(-radius, radius + 1) if k)
