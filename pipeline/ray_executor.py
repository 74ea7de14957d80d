"""The executor on Ray, here or on a cluster. The only file that imports Ray."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import ray

from pipeline.errors import ConfigError, PipelineError
from pipeline.executor import Outcome
from pipeline.plan import Task
from pipeline.stage import Resources
from pipeline.store import Manifest
from pipeline.work import perform

RETRIES = 3
OBJECT_STORE_BYTES = 100 * 2**20  # only manifests travel
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # 15 by default: workers would wait for any other program
}


class RayExecutor:
    """Tasks on Ray workers. A lost worker or node costs a retry elsewhere, nothing more.

    Parameters
    ----------
    store_url : str
        Must be reachable from every node.
    workers : int
        Tasks in flight; on a machine of one's own also the processors given to Ray.
    address : str
        Of a running cluster; empty starts Ray on this machine and stops it at the end.
    resources : mapping of stage name to Resources
        Beats what the stage says of itself.
    """

    def __init__(
        self, store_url: str, workers: int, *, address: str, resources: dict[str, Resources]
    ) -> None:
        self.slots = workers
        self._store_url, self._resources = store_url, resources
        self._running: dict[Any, Task] = {}
        # Workers import the project; not what lies in this folder, which may be strangers' footage.
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        if address:
            _join(address, path)
        else:
            with _environment(PYTHONPATH=path, **QUIET):
                _start_here(workers)
        self._remote = ray.remote(perform)

    def submit(self, task: Task) -> None:
        """Start a task on a worker that has what its stage needs."""
        needs = self._resources.get(task.step.name, task.step.resources)
        remote = self._remote.options(
            # Names of clips may hold bytes that are no UTF-8, which Ray takes nowhere.
            name=ascii(f"{task.clip.name}: {task.node}")[1:-1],
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes or None,
            max_retries=RETRIES,
        )
        self._running[remote.remote(task, self._store_url)] = task

    def next_done(self) -> Outcome:
        """Wait for a task to end; return it with its manifest or with what it raised."""
        done, _ = ray.wait(list(self._running), num_returns=1)
        task = self._running.pop(done[0])
        try:
            manifest: Manifest = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            return task, cause if isinstance(cause, PipelineError) else error
        except ray.exceptions.RayError as error:
            text = f"{task.node}: its worker died {RETRIES + 1} times ({type(error).__name__})"
            return task, PipelineError(text)
        return task, manifest

    def close(self) -> None:
        """Stop; what is running is dropped, what is committed stays."""
        ray.shutdown()


def _start_here(workers: int) -> None:
    """Start Ray on this machine, for this run alone."""
    with _explained("ray: could not start here"), redirect_stderr(io.StringIO()):
        # What it says is advice on its token; errors are raised.
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            configure_logging=False,
            job_config=_without_this_folder(),
        )


def _join(address: str, path: str) -> None:
    """Join a running cluster."""
    with _explained(f"ray: could not join {address!r}"):
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            job_config=_without_this_folder(),
        )


def _without_this_folder() -> ray.job_config.JobConfig:
    """Keep the current folder, which may hold strangers' files, out of the workers' imports.

    Ray would put it before all others, where a file numpy.py in it would be run.
    """
    config = ray.job_config.JobConfig()
    config._client_job = True  # what Ray looks at; tests/end_to_end/test_hostile.py guards it
    return config


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever Ray raises inside into an error with a way out.

    It raises a bare `Exception` too: on a machine too busy, say, when its parts start too slowly.
    """
    try:
        yield
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{what}: {why}: run it again, or with --executor inline") from error


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables for what is started meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
