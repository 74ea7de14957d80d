"""The exit statuses of every command, in one place."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """How a command ended.

    Commands that check something (`doctor`, `cache verify`, `evaluate --fail-if`) end with `FAILED`
    where it did not pass. See docs/operations.md.
    """

    DONE = 0
    FAILED = 1  # some clips failed, or what was checked did not pass
    REFUSED = 2  # nothing could start: settings or files are wrong
    WARNED = 5  # with --fail-on-warning: all done, some clip has a warning
    UNCOVERED = 6  # with --fail-on-uncovered: all done, redaction left something bare
    UNREAD = 141  # nobody reads the output; 128 + SIGPIPE, as shells say it


def signal_status(number: int) -> int:
    """Return the exit status that shells give to a signal: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number
