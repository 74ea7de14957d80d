"""What happens on Ray when workers and machines die, hang, or grow old."""

import os
from pathlib import Path
from threading import Timer

import pytest

from pipeline.errors import NowhereError
from pipeline.executor import Limits
from pipeline.ledger import Ledger
from pipeline.ray_process import RayProcess
from pipeline.scheduler import ATTEMPTS, Run
from pipeline.stage import Resources
from pipeline.store.store import Store
from tests.pipeline.test_faults import kinds, page
from tests.pipeline.test_faults import run as run_inline
from tests.support.processes import descendants, title
from tests.support.toy_stages import STEPS, Trap, clip_of, numbers

pytestmark = pytest.mark.slow


def run(tmp_path, clips, trap, *, limits=None, address="", retry=False, chunk=8):
    from pipeline.ray_executor import RayExecutor

    events, store = [], Store(str(tmp_path / "store"))
    steps = (STEPS[0], trap, *STEPS[2:])

    def start():
        limits_of_run = limits or Limits()
        return RayExecutor(store.url, 2, address=address, resources={}, limits=limits_of_run)

    out = tmp_path / "out"
    library_run = Run(steps, store, out, start, chunk=chunk, listener=events.append, retry=retry)
    library_run.go(clips)
    return events


@pytest.fixture
def clip(tmp_path):
    number_clip = clip_of(tmp_path, "a", numbers(20))
    run_inline(tmp_path, [number_clip], out="quiet")
    return number_clip


@pytest.mark.parametrize("needs", [{"gpus": 0.5}, {"cpus": 2}, {"memory_bytes": 10**15}])
def test_what_this_machine_never_has_is_refused_and_not_waited_for(needs):
    from pipeline.ray_executor import RayExecutor

    (field,) = needs
    with pytest.raises(NowhereError, match=rf"engine\.resources\.mean\.{field} = .*: expected"):
        RayExecutor("/nowhere", 1, address="", resources={"mean": Resources(**needs)})


def test_ray_here_starts_no_process_that_nobody_asks(tmp_path):
    started = RayProcess(
        {
            "store_url": str(tmp_path), "workers": 1, "address": "", "resources": {},
            "limits": Limits(), "recent": 0,
        },
        [],
    )  # fmt: skip
    try:
        assert started.receive() is None
        assert started.ready
        titles = [title(pid) for pid in descendants(os.getpid())]
    finally:
        started.close()
    assert any("gcs_server" in text for text in titles)
    idle = ("monitor.py", "log_monitor.py", "dashboard.py")
    assert not [text for text in titles if any(f"/{name}" in text for name in idle)]


@pytest.mark.parametrize("death", ["kill", "abort"])
def test_a_worker_that_dies_costs_one_attempt(tmp_path, clip, death):
    (tmp_path / "trap").write_text(death)
    events = run(tmp_path, [clip], Trap(folder=str(tmp_path)))
    assert kinds(events)["again"] >= 1
    assert kinds(events)["failed"] == 0
    assert page(tmp_path) == page(tmp_path, out="quiet")
    assert not (tmp_path / "out" / "a" / "logs").exists()


def test_a_worker_that_lost_its_device_gets_no_other_task(tmp_path, clip):
    (tmp_path / "trap").write_text("lose")
    events = run(tmp_path, [clip], Trap(folder=str(tmp_path)))
    assert any("GPU 0 does not answer" in e.text for e in events if e.kind == "again")
    assert kinds(events)["failed"] == 0
    assert page(tmp_path) == page(tmp_path, out="quiet")
    lost = {path.read_text() for path in tmp_path.glob("sprung-*")}
    assert lost.isdisjoint(path.read_text() for path in tmp_path.glob("by-*"))


def test_a_clip_that_kills_every_worker_is_put_aside_with_its_log(tmp_path, clip):
    (tmp_path / "trap").write_text("abort")
    trap = Trap(folder=str(tmp_path), always=True)
    events = run(tmp_path, [clip], trap)
    assert kinds(events)["failed"] == 1
    entry = Ledger(Store(str(tmp_path / "store")), tmp_path / "out").entry("a")
    assert entry.state == "quarantined"
    assert entry.stages["mean"].attempts == ATTEMPTS
    assert "Fatal Python error: Aborted" in Path(entry.log).read_text()
    (tmp_path / "trap").unlink()
    assert kinds(run(tmp_path, [clip], trap))["finished"] == 0
    assert kinds(run(tmp_path, [clip], trap, retry=True))["finished"] == 1


def test_a_task_that_hangs_is_stopped_and_done_again(tmp_path, clip):
    (tmp_path / "trap").write_text("hang")
    events = run(tmp_path, [clip], Trap(folder=str(tmp_path)), limits=Limits(task_s=4))
    assert any("not done in 4 s" in event.text for event in events if event.kind == "again")
    assert kinds(events)["failed"] == 0
    assert page(tmp_path) == page(tmp_path, out="quiet")


def test_workers_are_replaced_when_they_are_old(tmp_path):
    clip = clip_of(tmp_path, "a", numbers(40))
    run(tmp_path, [clip], Trap(folder=str(tmp_path)), limits=Limits(worker_s=2), chunk=2)
    workers = {path.read_text() for path in tmp_path.glob("by-*")}
    assert len(workers) > 2  # two work at a time


def test_a_machine_that_goes_takes_nothing_with_it(tmp_path, clip):
    from ray.cluster_utils import Cluster

    clips = [clip, *(clip_of(tmp_path, f"c{k}", numbers(40, k)) for k in range(3))]
    run_inline(tmp_path, clips, out="quiet")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        gone = Timer(5.0, lambda: cluster.remove_node(second, allow_graceful=False))
        gone.start()
        events = run(tmp_path, clips, Trap(folder=str(tmp_path)), address=cluster.address)
        gone.join()
    finally:
        cluster.shutdown()
    assert kinds(events)["finished"] == len(clips)
    for each in clips:
        assert page(tmp_path, each.name) == page(tmp_path, each.name, out="quiet")
