"""Sizes and ages as people write them."""

from __future__ import annotations

import re

from pipeline.errors import ConfigError

BYTES = {"": 1, "B": 1} | {
    f"{letter}{unit}": base**power
    for unit, base in (("B", 1000), ("iB", 1024))
    for power, letter in enumerate("KMGTP", start=1)
}
SECONDS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def size_bytes(where: str, text: str) -> int:
    """Return the bytes that `text` says: 500MB, 1.5TB, 200GiB, or a plain number of bytes.

    Raises
    ------
    ConfigError
        Naming `where` it was given.
    """
    expected = "a size like 500MB, 200GB or 1.5TB (GiB and the like count by 1024)"
    units = {unit.lower(): size for unit, size in BYTES.items()}
    return int(_parsed_number(where, text, {**units, **_bare_letters(units)}, expected))


def age_seconds(where: str, text: str) -> float:
    """Return the seconds that `text` says: 30d, 36h, 2w, or a plain number of days.

    Raises
    ------
    ConfigError
        Naming `where` it was given.
    """
    return _parsed_number(where, text, {"": SECONDS["d"], **SECONDS}, "an age like 30d, 36h or 2w")


def size_text(size: float) -> str:
    """Return bytes as people read them: 1.5 GB; 1 GB is 1000 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"


def duration_text(seconds: float) -> str:
    """Return a time as people read it: 12 s, 3 min 5 s, 2 h 7 min."""
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def age_text(seconds: float) -> str:
    """Return an age as people read it: 12 min ago."""
    if seconds < 3600:
        return f"{max(seconds, 0) / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d ago"


def _bare_letters(units: dict[str, int]) -> dict[str, int]:
    """Return the letters alone: 200G is 200GB."""
    return {unit[0]: size for unit, size in units.items() if len(unit) == 2}


def _parsed_number(
    where: str, text: str, units: dict[str, int] | dict[str, float], expected: str
) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    if match is None or match[2] not in units:
        raise ConfigError(f"{where}: expected {expected}, got {text!r}")
    return float(match[1]) * units[match[2]]
