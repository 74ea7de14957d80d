"""The commands by name, each with a line for ``--help``."""

from __future__ import annotations

import difflib
from pathlib import Path

from pipeline.errors import ConfigError

COMMANDS = {
    "run": "make masks stable (the command where none is named)",
    "status": "say how far a run is",
    "evaluate": "score the masks of any system",
    "cache": "list, check and shrink what a run keeps for the next one",
    "review": "write the frames that want a look as a task for a labelling tool",
    "labels": "gather results as label sets to train on elsewhere",
    "fit": "train a decoder on a library",
    "distill": "train a small network on the results",
    "refine-labels": "refine the labels of a set before a network is trained on it",
    "train": "train a per-frame or a video network on a label set",
    "perturb": "make footage with known flow and labels",
    "corrupt": "make masks flicker",
    "doctor": "check the installation",
}
ALIKE = 0.75  # from here on a word is taken for a command that was mistyped


def listed_commands() -> str:
    """Return the commands as lines for the end of a help text."""
    return "\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())


def refuse_mistyped(word: str) -> None:
    """Refuse a word that is neither an option nor a path, but nearly a command.

    Raises
    ------
    ConfigError
        Naming the command that it is nearest to.
    """
    if word.startswith("-") or Path(word).name != word or Path(word).exists():
        return
    near = difflib.get_close_matches(word.lower(), COMMANDS, n=1, cutoff=ALIKE)
    if near:
        raise ConfigError(
            f"{word}: expected a command, or a folder or file with footage. Did you mean "
            f"{near[0]!r}? Commands: {', '.join(COMMANDS)}."
        )


def installed_version() -> str:
    """Return the version of the package that is installed."""
    import importlib.metadata  # slow to import

    try:
        return importlib.metadata.version("steadymask")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed: run from its source)"
