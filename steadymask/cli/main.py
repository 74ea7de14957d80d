"""Finds the command, runs it, and turns errors into exit statuses."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from pipeline.errors import NO_ROOM, FullError, PipelineError
from pipeline.exit_status import ExitStatus
from pipeline.terminal_access import close_standard_input
from steadymask.cli.commands import COMMANDS, refuse_mistyped
from steadymask.cli.compiled_code import place_compiled_code
from steadymask.cli.interruption import Interrupted, stop_on_signals
from steadymask.cli.terminal import drop_output, escaped_text, write_anything


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status: one of `ExitStatus`, or that of a signal."""
    # One thread a task: tasks run side by side, and OpenCV's own pool would fight them.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    place_compiled_code()
    close_standard_input()  # no command reads it, and no child may change the terminal through it
    write_anything()
    try:
        with stop_on_signals():
            status = _run_command(list(arguments))
            sys.stdout.flush()
            return status
    except PipelineError as error:
        print(f"error: {escaped_text(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        drop_output()
        return ExitStatus.UNREAD
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: {NO_ROOM}", file=sys.stderr)
        return FullError.exit_code
    except KeyboardInterrupt as error:
        signalled = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        with suppress(OSError):  # the terminal may be gone
            print(f"\n{signalled}", file=sys.stderr, flush=True)
        return signalled.exit_code


def command() -> int:
    """Run the command that the process was started with: ``steadymask``, as installed."""
    return main(sys.argv[1:])


def _run_command(arguments: list[str]) -> int:
    name = "run"
    if arguments and arguments[0] in COMMANDS:
        name = arguments.pop(0)
    elif arguments:
        refuse_mistyped(arguments[0])
    module = importlib.import_module(f"steadymask.cli.{name.replace('-', '_')}")
    status: int = module.main(arguments)
    return status
