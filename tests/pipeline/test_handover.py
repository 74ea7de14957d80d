"""First tasks in forked workers, the others on Ray in a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import LostError, NowhereError
from pipeline.executor import Limits
from pipeline.forked_workers import ForkedWorkers, portable_error
from pipeline.handover_executor import HandoverExecutor
from pipeline.ray_process import RayProcess
from pipeline.scheduler import Run
from pipeline.stage import Resources
from pipeline.store.store import Store
from tests.pipeline.test_faults import kinds, page
from tests.pipeline.test_faults import run as run_inline
from tests.support.toy_stages import STEPS, Trap, clip_of, numbers

pytestmark = pytest.mark.slow


class NeverReady:
    """Stands for a Ray that has not started yet."""

    ready, slots = False, 1

    def __init__(self):
        self.connection, self._other = os.pipe()
        self.tasks = []

    def submit(self, task):
        self.tasks.append(task)

    def close(self):
        for end in (self.connection, self._other):
            os.close(end)


def run(tmp_path, clips, trap, ray, *, limits=None, early=6, early_may=lambda task: True):
    events, store = [], Store(str(tmp_path / "store"))
    steps = (STEPS[0], trap, *STEPS[2:])
    workers = ForkedWorkers(early)

    def start():
        return HandoverExecutor(
            workers, ray, store_url=store.url, recent=0, limits=limits or Limits(),
            early_may=early_may,
        )  # fmt: skip

    Run(steps, store, tmp_path / "out", start, chunk=8, listener=events.append).go(clips)
    return events, workers


def process(tmp_path, **resources):
    options = {
        "store_url": str(tmp_path / "store"),
        "workers": 2,
        "address": "",
        "limits": Limits(),
    }
    needs = {name: Resources(**fields) for name, fields in resources.items()}
    return RayProcess({**options, "resources": needs, "recent": 0}, ["json"])


@pytest.fixture
def clip(tmp_path):
    number_clip = clip_of(tmp_path, "a", numbers(20))
    run_inline(tmp_path, [number_clip], out="quiet")
    return number_clip


def test_early_workers_do_a_run_by_themselves_and_end_with_it(tmp_path, clip):
    events, workers = run(tmp_path, [clip], Trap(folder=str(tmp_path)), NeverReady())
    assert kinds(events)["finished"] == 1
    assert page(tmp_path) == page(tmp_path, out="quiet")
    assert workers.workers == []


def test_an_early_worker_that_dies_costs_one_attempt(tmp_path, clip):
    (tmp_path / "trap").write_text("kill")
    events, _ = run(tmp_path, [clip], Trap(folder=str(tmp_path)), NeverReady())
    assert kinds(events)["again"] >= 1
    assert kinds(events)["failed"] == 0
    assert page(tmp_path) == page(tmp_path, out="quiet")


def test_an_early_task_that_hangs_is_stopped_and_done_again(tmp_path, clip):
    (tmp_path / "trap").write_text("hang")
    trap = Trap(folder=str(tmp_path))
    events, _ = run(tmp_path, [clip], trap, NeverReady(), limits=Limits(task_s=2))
    assert any("not done in 2 s" in event.text for event in events if event.kind == "again")
    assert kinds(events)["finished"] == 1


def test_ray_takes_over_and_ends_with_the_run(tmp_path, clip):
    ray = process(tmp_path)
    events, _ = run(tmp_path, [clip], Trap(folder=str(tmp_path)), ray, early_may=lambda task: False)
    assert kinds(events)["finished"] == 1
    assert page(tmp_path) == page(tmp_path, out="quiet")
    assert ray._process.returncode is not None


def test_what_this_machine_never_has_is_refused(tmp_path, clip):
    ray = process(tmp_path, mean={"gpus": 0.5})
    with pytest.raises(NowhereError, match=r"engine\.resources\.mean\.gpus = 0\.5: expected"):
        run(tmp_path, [clip], Trap(folder=str(tmp_path)), ray, early_may=lambda task: False)


def test_a_ray_that_dies_is_an_error_that_says_so(tmp_path):
    ray = process(tmp_path)
    ray._process.kill()
    ray._process.wait()
    with pytest.raises(NowhereError, match="its process ended: status -9"):
        ray.receive()
    ray.close()


def test_early_workers_end_when_the_command_is_killed(tmp_path):
    code = (
        "import time; from pipeline.forked_workers import ForkedWorkers; "
        "print(*(worker.pid for worker in ForkedWorkers(2).workers), flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    ) as command:
        pids = [int(word) for word in command.stdout.readline().split()]
        command.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_errors_that_cannot_travel_send_their_text():
    class Local(Exception):
        pass

    assert str(portable_error(Local("x"))) == "Local: x"
    assert isinstance(portable_error(LostError("y")), LostError)
