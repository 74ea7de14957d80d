"""Prints the table of mask formats, or writes it into a page: ``python -m`` this module [FILE]."""

from __future__ import annotations

import sys
from pathlib import Path

from stages.media.masks.registry import format_table

BEGIN, END = "<!-- mask formats, generated -->", "<!-- end of mask formats -->"


def with_table(text: str) -> str:
    """Return a page with the table of the formats that there are, between its two marks.

    Raises
    ------
    ValueError
        If it lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected the marks {BEGIN} and {END}, got a page without")
    return f"{before}{BEGIN}\n{format_table()}\n{END}{after}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        page = Path(argument)
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    if not sys.argv[1:]:
        print(format_table())
