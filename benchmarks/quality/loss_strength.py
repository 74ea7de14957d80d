"""How strongly each term of a student's loss pulls, beside the cross-entropy.

    python benchmarks/quality/loss_strength.py FOOTAGE --masks MASKS --out OUT
        --student pretrained:refined [--samples 12] [any other option of distill]

For a student as it starts, on samples of the library: the norm of the gradient of each term at its
default weight, as a share of the norm of the gradient of the cross-entropy, and how far the two
point the same way (cosine). A term of a thousandth changes nothing, whatever it is made of. Prints
a Markdown table, means over the batches and their standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.plan import steps_for  # noqa: E402
from pipeline.store.store import Store  # noqa: E402
from stages.catalogue import build_steps  # noqa: E402
from steadymask.cli.clip_pairing import pair_masks  # noqa: E402
from steadymask.cli.distill import TRAINED_ON, build_parser  # noqa: E402
from steadymask.cli.execution import prepare  # noqa: E402
from steadymask.cli.options import read_settings  # noqa: E402
from steadymask.training.labelled import LabelledClips, Origin  # noqa: E402
from steadymask.training.losses.distillation import ConvLSTM  # noqa: E402
from steadymask.training.stored_library import StoredLibrary  # noqa: E402
from steadymask.training.student_objective import WEIGHTS, student_losses  # noqa: E402
from steadymask.training.students import Student, build_student  # noqa: E402
from steadymask.training.triplets import Triplets  # noqa: E402

BATCH = 4


def main() -> None:
    """Print the table."""
    parser = build_parser()
    parser.set_defaults(samples=12, side=192)
    options = parser.parse_args()
    settings, source = read_settings(options)
    everything, engine = build_steps(settings, source)
    steps = steps_for(everything, TRAINED_ON)
    clips, *_ = pair_masks(options.footage, options.masks, follow_links=options.follow_links)
    store = Store(str(options.out / ".store"))
    clips = prepare("loss_strength", options, clips, steps, store, engine)
    library = StoredLibrary(clips, steps, store, engine.chunk)
    union = bool(settings.get("segment", {}).get("union", False))
    labelled = LabelledClips(library, Origin(options.labels, union=union))
    torch.manual_seed(options.seed)
    student = build_student(options.student, labelled.class_ids, backbone="random")
    places, *_ = labelled.places(apart=0)
    side = min(options.side, library.side)
    samples = Triplets(
        labelled, places, range(options.samples), side=side, reach=options.reach,
        seed=options.seed, varied=True,
    )  # fmt: skip
    report_strength(student, samples)


def report_strength(student: Student, samples: Triplets) -> None:
    """Print share and cosine of every term."""
    lstm = ConvLSTM()
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in WEIGHTS}
    for first in range(0, len(samples) - BATCH + 1, BATCH):
        items = [samples[k] for k in range(first, first + BATCH)]
        batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        losses = student_losses(student, batch, WEIGHTS, lstm=lstm)
        entropy = gradient_of(losses["labels"], student)
        for name, weight in WEIGHTS.items():
            pull = gradient_of(weight * losses[name], student)
            cosine = float(pull @ entropy / (pull.norm() * entropy.norm()).clamp(min=1e-12))
            shares[name].append((float(pull.norm() / entropy.norm()), cosine))
    print("| term | weight | share of the cross-entropy's gradient | cosine with it |")
    print("|---|---|---|---|")
    for name, pairs in shares.items():
        share, cosine = zip(*pairs, strict=True)
        print(f"| {name} | {WEIGHTS[name]:g} | {_cell(share)} | {_cell(cosine)} |")


def gradient_of(loss: torch.Tensor, student: Student) -> torch.Tensor:
    """Return the gradient of a loss for all of the student that learns, as one vector."""
    learning = [p for p in student.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, learning, retain_graph=True, allow_unused=True)
    known = [
        torch.zeros_like(p) if g is None else g for g, p in zip(gradients, learning, strict=True)
    ]
    return torch.cat([gradient.flatten() for gradient in known])


def _cell(values: Sequence[float]) -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.4f} ± {error:.4f}"


if __name__ == "__main__":
    os.environ.setdefault("STUDENT_WEIGHTS", "")
    main()
