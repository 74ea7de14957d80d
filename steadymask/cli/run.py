"""``run``: a directory of videos and their masks in, temporally stable masks out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.errors import ConfigError
from steadymask.cli.commands import installed_version, listed_commands
from steadymask.cli.options import add_library
from steadymask.cli.terminal import announce

EPILOG = f"""\
OUT then holds, for every clip, masks/ (indexed PNG), masks.mkv, overlay.mp4 and metrics.json.
report/index.html shows all of it. A run that was stopped goes on where it was when the same command
is given again.
Exit status: 0 all done, 1 some clips failed, 2 nothing could start; with --fail-on-warning, 5 all
done, but some clips came out worse than they went in; with --fail-on-uncovered, 6 all done, but
redaction could not cover an object in some frames.

commands, each with --help:
{listed_commands()}"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py",
        description="Turn flickering per-frame masks into temporally stable ones.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_library(parser)
    parser.add_argument(
        "--demo", action="store_true", help="make footage with known truth and run on it"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="only the clips that failed, quarantined or not"
    )
    parser.add_argument(
        "--fail-on-warning", action="store_true",
        help="exit with status 5 if a clip came out worse than it went in",
    )  # fmt: skip
    parser.add_argument("--only", default="", help="classes to export, by name or id: person,car")
    parser.add_argument("--frames", default="", help="frames to export, counted from 0: 100-200")
    parser.add_argument(
        "--fail-on-uncovered", action="store_true",
        help="exit with status 6 if redaction left a frame bare between two with the object",
    )  # fmt: skip
    parser.add_argument(
        "--plan", action="store_true", help="say what would run and why; run nothing"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print all settings, with their meaning as comments, and stop",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if options.version:
        print(f"steadymask {installed_version()}")
        return 0
    if options.print_config:
        from steadymask.cli.settings_text import print_settings

        return print_settings(options)
    if options.out is None:
        raise ConfigError(
            "--out: expected a folder for the results: give FOOTAGE --masks MASKS --out OUT, or "
            "--demo --out OUT to see one run; --help has the rest"
        )
    evidence = options.masks or options.segmenter or options.keyframes
    if not options.demo and (options.footage is None or not evidence):
        raise ConfigError(
            "expected FOOTAGE and --masks, --segmenter or --keyframes (or --demo); see --help"
        )
    if options.segmenter and options.keyframes:
        raise ConfigError(
            "--keyframes goes with --masks or alone: run the segmenter first, then give its OUT as "
            "--masks together with the key frames"
        )
    announce("making a demo" if options.demo else f"looking for clips in {options.footage}")
    from steadymask.cli.library_run import run_library  # slow to import

    return run_library(options)
