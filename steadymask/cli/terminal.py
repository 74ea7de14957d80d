"""Text for a terminal: names and messages of strangers may hold what would command it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 4000  # letters of one message
WIDE = 240  # columns of a file or pipe, so that no table is cut there
# Control characters (C0, delete, C1), what turns the direction of writing, what no encoding has.
CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
UNSEEN = re.compile(rf"[{CONTROL}\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped_text(text: str) -> str:
    """Return a text with what a terminal would obey, or cannot show, written out as an escape."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} …"
    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def line(text: str) -> str:
    """Return a text in one line, as `escaped_text` shows it: no name passes for a message."""
    return escaped_text(text).replace("\n", "\\n").replace("\t", "\\t")


def announce(text: str) -> None:
    """Print a line about the run on standard error at once, if anybody reads it."""
    with suppress(BrokenPipeError):
        print(line(f"steadymask: {text}"), file=sys.stderr, flush=True)


def drop_output() -> None:
    """Send what is still to be written nowhere: whoever read it is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        try:
            (sys.stdout, sys.stderr)[number - 1].flush()
        except OSError:
            os.dup2(null, number)
    os.close(null)


def write_anything() -> None:
    """Let what the terminal's encoding lacks be written as an escape, not stop the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def plain_console() -> Console:
    """Return a console for tables and lines in which names of strangers mean nothing.

    That nobody reads it raises `BrokenPipeError`, as `print` does.
    """
    from rich.console import Console  # slow to import

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    chosen = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if chosen else WIDE
    return Plain(markup=False, emoji=False, highlight=False, width=width)
