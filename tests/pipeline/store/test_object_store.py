"""A store behind the S3 protocol: a real server on loopback."""

import socket
import subprocess
import sys
import time
import uuid
from threading import Thread

import numpy as np
import pytest

from pipeline.errors import CacheError
from pipeline.executor import InlineExecutor
from pipeline.ledger import Ledger
from pipeline.scheduler import Run
from pipeline.store.artifact import Manifest
from pipeline.store.store import Store
from tests.pipeline.test_faults import kinds, page
from tests.support.toy_stages import STEPS, Mean, clip_of, numbers

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")


def start_server(port):
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    server.kill()
    raise RuntimeError("the server did not start")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """Can be stopped and started again on the same port; then it has forgotten everything."""

    def __init__(self):
        self.port = free_port()
        self.process = start_server(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def start(self):
        self.process = start_server(self.port)


@pytest.fixture(scope="module")
def server():
    server = Server()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        yield server
    server.stop()


@pytest.fixture
def url(server):
    bucket = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/store"


def run(tmp_path, url, clips, steps=STEPS, chunk=4, out="out"):
    events, store = [], Store(url)
    start = lambda: InlineExecutor(url, 2)  # noqa: E731
    Run(steps, store, tmp_path / out, start, chunk=chunk, listener=events.append).go(clips)
    assert [event.text for event in events if event.kind == "failed"] == []
    return events


def test_artifacts_are_written_found_read_and_removed(url):
    store, key = Store(url), "ab" + "0" * 62
    values = np.random.default_rng(0).random((6, 50))
    with store.draft(key) as draft:
        draft.append({"x": values})
        assert store.find(key) is None
        store.publish(draft, Manifest(key, 10, draft.arrays, {}, {"stage": "toy"}))
    manifest = Store(url, create=False).find(key)
    np.testing.assert_array_equal(store.read(manifest.piece("x", 12, 15)), values[2:5])
    assert store.has_arrays(key)
    store.remove(key)
    assert store.find(key) is None
    assert not store.has_arrays(key)


def test_a_run_on_it_gives_what_one_on_a_disk_gives_and_goes_on(tmp_path, url):
    clips = [clip_of(tmp_path, name, numbers(20, k)) for k, name in enumerate("ab")]
    run(tmp_path, str(tmp_path / "store"), clips, out="disk")
    assert kinds(run(tmp_path, url, clips))["done"] > 0
    assert page(tmp_path) == page(tmp_path, out="disk")
    assert kinds(run(tmp_path, url, clips))["done"] == 0
    changed = (*STEPS[:1], Mean(scale=2.0), *STEPS[2:])
    again = run(tmp_path, url, clips, changed)
    assert {e.node.stage for e in again if e.kind == "done"} == {"mean", "difference", "page"}
    assert Ledger(Store(url), tmp_path / "out").entry("b").state == "done"


def test_a_damaged_object_is_made_again(tmp_path, url):
    clip = clip_of(tmp_path, "a", numbers(20))
    run(tmp_path, url, [clip])
    store, before = Store(url), page(tmp_path)
    for path in store.fs.find(store.root):
        if "/d/c." in path:
            store.fs.pipe_file(path, b"not what was written")
    (tmp_path / "out" / "a" / "page.txt").unlink()
    assert kinds(run(tmp_path, url, [clip]))["again"] > 0
    assert page(tmp_path) == before


def test_a_server_that_is_away_for_a_while_is_waited_for(server, url, monkeypatch):
    store = Store(url)
    server.stop()
    with monkeypatch.context() as impatient:
        impatient.setattr("pipeline.store.store.PATIENCE_S", 0.5)
        with pytest.raises(CacheError, match="expected the store, not there for"):
            store.find("ab" + "0" * 62)

    def back():
        server.start()
        s3fs.S3FileSystem().mkdir(url.split("/")[2])
        Store(url)

    coming = Thread(target=back)
    coming.start()
    assert store.find("ab" + "0" * 62) is None
    coming.join()
