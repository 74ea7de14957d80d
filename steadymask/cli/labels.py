"""``labels``: gathers the pseudo-labels of a library into a set that training code reads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.lock import locked
from pipeline.plugins import let_import
from stages.media.label_sets.registry import LAYOUTS, layout_type
from stages.media.label_sets.write import MANIFEST, GatheredLabels, find_labels, write_set
from steadymask.cli.corrupt import refuse_full
from steadymask.cli.terminal import line
from steadymask.record import RunRecord

MOST_SAID = 40  # lines about clips

EPILOG = """\
First run the pipeline with --set pseudo_labels.enabled=true. SET then holds pictures and labels of
all clips of that run in the layout asked for, with 255 where a label is not trusted, certainty
(confidence/) and, with pseudo_labels.soft=true, soft masks (soft/), and manifest.json: where every
sample comes from and how often each class occurs. The same results give the same bytes.
A clip whose name holds more than letters, digits, _ and - is called otherwise in a set;
manifest.json says how. distill takes a set of layout davis where no clip is: --labels none --truth
SET/Annotations/480p.
Exit status: 0 done, 1 no room or damaged pseudo-labels, 2 cannot start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py labels",
        description="Gather pseudo-labels into a set to train on.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="the run's --out")
    parser.add_argument("--to", type=Path, required=True, metavar="SET", help="new folder")
    parser.add_argument(
        "--layout",
        default="voc",
        help=f"{', '.join(LAYOUTS)}, or module:Class of your own (voc)",
    )
    parser.add_argument("--val", type=float, default=0.2, help="share of the clips held out")
    parser.add_argument(
        "--shard", type=int, default=1000, metavar="N", help="samples of a webdataset shard at most"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if not 0 <= options.val <= 1:
        raise ConfigError(f"--val {options.val:g}: expected a share, 0 to 1")
    if options.shard < 1:
        raise ConfigError(f"--shard {options.shard}: expected at least 1")
    let_import(str(Path.cwd()))
    layout_type(options.layout)
    refuse_full(options.to)
    record = RunRecord.load(options.out)
    with locked(options.out):
        gathered = _gathered_labels(options.out, record)
        target = options.to.resolve()
        manifest = write_set(gathered, target, options.layout, val=options.val, shard=options.shard)
    remarks = [f"{name}: left out: {reason}" for name, reason in manifest["left_out"].items()]
    remarks += [f"warning: {warning}" for warning in manifest["warnings"]]
    for text in remarks[:MOST_SAID]:
        print(line(text))
    if len(remarks) > MOST_SAID:
        print(
            f"and {len(remarks) - MOST_SAID} more such lines: "
            f"see left_out and warnings in {MANIFEST}"
        )
    counts = ", ".join(f"{count} in {split}" for split, count in manifest["samples"].items())
    print(line(f"clips: {len(manifest['clips'])}; frames: {counts}: {options.to}"))
    return 0


def _gathered_labels(out: Path, record: RunRecord) -> GatheredLabels:
    """Return the pseudo-labels of a run's clips, with what is to be said of the others."""
    gathered = find_labels({name: out / name for name in record.clips})
    for name, reason in record.failures.items():
        if name not in gathered.clips:
            gathered.left_out[name] = f"it failed: {reason}"
    if not gathered.clips:
        name, reason = next(iter(gathered.left_out.items()), ("run.json", "there are no clips"))
        raise ConfigError(f"{out}: no clip has pseudo-labels to gather: {name}: {reason}")
    if record.state != "done":
        gathered.warnings.append("the run is not done: other clips may follow")
    return gathered
