"""The executor on Ray in a process of its own, which this one talks to.

So Ray starts while this process already works, and is gone with its process: nobody waits for its
end. Its signals, its messages and its state stay out of this process, which may have Ray in use.
"""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from typing import Any

from pipeline.errors import NowhereError, PipelineError
from pipeline.executor import Outcome
from pipeline.forked_workers import portable_error
from pipeline.plan import Task

ROOT = str(Path(__file__).parent.parent)
END_WAIT_S = 1.0  # ray job stop gives the whole command 3
POLL_S = 0.1


class RayProcess:
    """Starts `RayExecutor` in another process and passes tasks and outcomes on.

    Parameters
    ----------
    options : mapping
        What `RayExecutor` takes.
    modules : sequence of str
        That its workers import before it is ready.

    Attributes
    ----------
    connection : Connection
        Readable when `receive` has something to tell.
    ready : bool
        Whether tasks are taken up at once.
    slots : int
        How many tasks may be in flight.
    """

    def __init__(self, options: Mapping[str, Any], modules: Sequence[str]) -> None:
        self.connection, there = Pipe()
        self.ready, self.slots = False, 1
        self._tasks: dict[int, Task] = {}
        self._number = 0
        self._messages = TemporaryFile()  # noqa: SIM115 - open as long as the process
        path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # -P: the current folder, which may hold strangers' files, is not imported from
            [sys.executable, "-P", "-m", "pipeline.ray_process", str(there.fileno())],
            env=os.environ | {"PYTHONPATH": path} | ({} if options["address"] else _own_token()),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._messages,
            pass_fds=[there.fileno()],
            start_new_session=True,  # no terminal, and none of its signals
        )  # fmt: skip
        there.close()
        self._send_message((dict(options), list(modules)))

    @property
    def working(self) -> bool:
        """Whether tasks are in flight."""
        return bool(self._tasks)

    def submit(self, task: Task) -> None:
        """Pass a task on."""
        self._number += 1
        self._tasks[self._number] = task
        self._send_message((self._number, task))

    def receive(self) -> Outcome | None:
        """Take the next message; return the outcome of a task if it is one.

        Raises
        ------
        NowhereError
            If Ray did not start, or has died.
        """
        try:
            kind, *content = self.connection.recv()
        except (EOFError, OSError):
            raise self._is_dead() from None
        if kind == "failed":
            raise content[0]
        self.slots = content[-1]
        if kind == "ready":
            self.ready = True
            return None
        number, outcome, _ = content
        return self._tasks.pop(number), outcome

    def close(self) -> None:
        """End Ray, or leave the cluster; what is running is dropped."""
        self.connection.close()
        try:
            self._process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._messages.close()

    def _send_message(self, content: Any) -> None:
        try:
            self.connection.send(content)
        except OSError:
            raise self._is_dead() from None

    def _is_dead(self) -> NowhereError:
        self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"status {self._process.returncode}"
        return NowhereError(
            f"ray: its process ended: {why}: run it again, or with --executor inline"
        )


def _own_token() -> dict[str, str]:
    """Return the variables that make Ray ask for a token that only this run knows.

    Without it Ray writes one into the home folder, which may not be writable, or hold the token
    of another cluster.
    """
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def serve_tasks(connection: Connection[Any, Any]) -> None:
    """Run the tasks that come over a connection until it is closed."""
    options, modules = connection.recv()
    tasks: SimpleQueue[bytes] = SimpleQueue()
    leave = threading.Event()
    at_once = not options["address"]  # Ray's processes here end with this one
    threading.Thread(
        target=_receive_message, args=(connection, tasks, leave, at_once), daemon=True
    ).start()
    try:
        from pipeline.ray_executor import RayExecutor

        executor = RayExecutor(**options)
        if at_once:
            executor.import_in_workers(modules)
    except PipelineError as error:
        connection.send(("failed", error))
        return
    with suppress(OSError):  # the other end has closed
        _run_tasks(connection, executor, tasks, leave)
    executor.close()


def _run_tasks(
    connection: Connection[Any, Any],
    executor: Any,
    tasks: SimpleQueue[bytes],
    leave: threading.Event,
) -> None:
    numbers: dict[int, int] = {}
    connection.send(("ready", executor.slots))
    while not leave.is_set():
        while not numbers or not tasks.empty():
            content = tasks.get()
            if leave.is_set():
                return
            number, task = pickle.loads(content)
            numbers[id(task)] = number
            executor.submit(task)
        done = executor.poll_done(POLL_S)
        if done is not None:
            task, outcome = done
            sent = portable_error(outcome) if isinstance(outcome, BaseException) else outcome
            connection.send(("done", numbers.pop(id(task)), sent, executor.slots))


def _receive_message(
    connection: Connection[Any, Any],
    tasks: SimpleQueue[bytes],
    leave: threading.Event,
    at_once: bool,
) -> None:
    """Queue what comes, as bytes.

    To make tasks of them imports OpenCV, which must not happen while the other thread imports Ray:
    both change the path of imports, and OpenCV sets it back.
    """
    with suppress(EOFError, OSError):
        while True:
            tasks.put(connection.recv_bytes())
    if at_once:
        os._exit(0)
    leave.set()
    tasks.put(b"")


if __name__ == "__main__":
    serve_tasks(Connection(int(sys.argv[1])))
