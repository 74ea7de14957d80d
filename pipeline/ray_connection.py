"""Start Ray on this machine, or join a running cluster."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import ray

from pipeline.errors import NowhereError
from pipeline.ray_address import check_address
from pipeline.ray_token import ADVICE
from pipeline.stage import Resources

OBJECT_STORE_BYTES = 100 * 2**20  # only manifests travel
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # 15 by default: workers would wait for any other program
}


def connect_ray(address: str, workers: int, resources: Mapping[str, Resources]) -> None:
    """Connect this process to Ray; its workers import this project and nothing that lies around.

    Parameters
    ----------
    address : str
        Of a running cluster; empty starts Ray on this machine.
    workers : int
        Processors given to Ray on this machine.
    resources : mapping of stage name to Resources
        That this machine must have.

    Raises
    ------
    NowhereError
    """
    # Workers import the project; not what lies in this folder, which may be strangers' footage.
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with _without_script_folder(root):
        if address:
            _join_cluster(address, path)
        else:
            with _environment(PYTHONPATH=path, **QUIET), _without_idle_processes():
                _start_here(workers)
            _check_resources(resources)


def _start_here(workers: int) -> None:
    """Start Ray on this machine, for this run alone."""
    with _explain_errors("ray: could not start here"), redirect_stderr(io.StringIO()):
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


def _check_resources(resources: Mapping[str, Resources]) -> None:
    """Refuse what this machine never has: Ray would wait for it for ever.

    A cluster may grow; there it is waited for.
    """
    there = ray.cluster_resources()
    for stage, needs in resources.items():
        for field, name, way in (
            ("cpus", "CPU", ", or more --workers"),
            ("gpus", "GPU", f" and {stage}.device=cpu"),
            ("memory_bytes", "memory", ""),
        ):
            asked, most = getattr(needs, field), there.get(name, 0.0)
            if asked > most:
                ray.shutdown()
                setting = f"engine.resources.{stage}.{field}"
                raise NowhereError(
                    f"{setting} = {asked:g}: expected at most {most:g}, which this machine has: "
                    f"--set {setting}={most:g}{way}"
                )


def _join_cluster(address: str, path: str) -> None:
    """Join a running cluster."""
    check_address(address)
    with _explain_errors(f"ray: could not join {address!r}"):
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            # A job of Ray's client has none of this machine's folders anyway.
            **({} if address.startswith("ray://") else {"job_config": _without_this_folder()}),
        )


def _without_this_folder() -> ray.job_config.JobConfig:
    """Keep the current folder, which may hold strangers' files, out of the workers' imports.

    Ray would put it before all others, where a file numpy.py in it would be run.
    """
    config = ray.job_config.JobConfig()
    config._client_job = True  # what Ray looks at; tests/end_to_end/test_hostile.py guards it
    return config


@contextmanager
def _explain_errors(what: str) -> Iterator[None]:
    """Turn whatever Ray raises inside into an error with a way out.

    It raises a bare `Exception` too: on a machine too busy, say, when its parts start too slowly.
    """
    try:
        yield
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, ray.exceptions.AuthenticationError):
            why = f"{why}: {ADVICE}"
        raise NowhereError(f"{what}: {why}: run it again, or with --executor inline") from error


@contextmanager
def _without_script_folder(root: str) -> Iterator[None]:
    """Hide the folder of the program that runs from Ray, which puts it first in the workers' paths.

    A user's own program may lie beside a file that is called as one of our packages.
    """
    folder = os.path.dirname(os.path.realpath(sys.argv[0]))  # noqa: PTH120 - as Ray writes it
    before = list(sys.path)
    if folder != root:
        sys.path[:] = [entry for entry in before if os.path.realpath(entry) != folder]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _without_idle_processes() -> Iterator[None]:
    """Leave out the autoscaler, the log monitor and the dashboard that Ray starts meanwhile.

    Nothing asks them anything on a machine of one's own, and their start is waited for. Ray has no
    setting for it; tests/pipeline/test_ray.py guards it.
    """
    parameters, node = ray._private.parameter, ray._private.node.Node
    whole, start_dashboard = parameters.RayParams, node.start_api_server

    def start_nothing(node: Any, **options: Any) -> None:
        pass

    parameters.RayParams = partial(whole, no_monitor=True, include_log_monitor=False)
    node.start_api_server = start_nothing
    try:
        yield
    finally:
        parameters.RayParams, node.start_api_server = whole, start_dashboard


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
