"""Text for a terminal: names and messages of strangers may hold what would command it."""

from __future__ import annotations

import re
import sys

LONGEST = 4000  # letters of one message
# Control characters (C0, delete, C1), what turns the direction of writing, what no encoding has.
CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
UNSEEN = re.compile(rf"[{CONTROL}\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def seen(text: str) -> str:
    """Return a text with what a terminal would obey, or cannot show, written out as an escape."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} …"
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def line(text: str) -> str:
    """Return what `seen` gives, in one line: a name cannot pretend to be another message."""
    return seen(text).replace("\n", "\\n").replace("\t", "\\t")


def write_anything() -> None:
    """Let what the terminal's encoding lacks be written as an escape, not stop the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
