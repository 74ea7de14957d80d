"""Large frames, full devices and lost ones, in the driver of the RAFT family."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.errors import InputError, LostError
from stages.models.flow.raft import pair_correlation as raft_correlation
from stages.models.flow.raft.family import PIXEL_BYTES, RaftFamily
from stages.models.flow.settings import FAMILY, NetworkSettings
from tests.support.raft_samples import InThrees, by_ptlflow, clip, driver, network


@pytest.fixture
def no_squares(monkeypatch):
    monkeypatch.setattr(raft_correlation, "SQUARE_BYTES", 1)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.usefixtures("no_squares")
def test_large_frames_have_the_same_flow(name):
    frames = clip(3)
    flows = RaftFamily(network(name), NetworkSettings()).run(frames, {(0, 2), (2, 0)}, reach=2)
    for pair in [(0, 2), (2, 0)]:
        error = np.abs(flows.flow(*pair) - by_ptlflow(network(name), frames, *pair))
        assert error.mean() < 1e-4
        assert error.max() < 1e-3


@pytest.mark.usefixtures("no_squares")
def test_large_frames_in_bf16_are_near_those_in_fp32():
    frames = clip(2)
    exact, rough = (driver("gma", precision=p)(frames[0], frames[1]) for p in ("fp32", "bf16"))
    error = np.hypot(*(rough - exact))
    assert 0 < error.mean() < 0.03 * np.hypot(*exact).mean()


class Largest(TorchDispatchMode):
    """Keeps how large the largest tensor was."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        for tensor in outputs if isinstance(outputs, tuple | list) else [outputs]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return outputs


@pytest.mark.parametrize("name", ["raft", "gma"])
@pytest.mark.parametrize("square", [True, False])
def test_of_large_frames_nothing_is_held_between_all_pixels(name, square, monkeypatch):
    monkeypatch.setattr(raft_correlation, "SQUARE_BYTES", 1 << 30 if square else 1)
    frames, pixels = clip(2, (256, 400)), 32 * 50
    with Largest() as largest:
        driver(name, iterations=1)(frames[0], frames[1])
    assert (largest.elements >= pixels**2) == square


def failing(error):
    """A driver whose first layer fails."""
    model = network("raft_small")

    def fail(*arguments):
        raise error

    model.fnet.register_forward_pre_hook(fail)
    return RaftFamily(model, NetworkSettings())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        torch.AcceleratorError("CUDA error: out of memory"),
    ],
)
def test_a_lack_of_memory_is_said_with_what_to_do(error):
    frames = clip(2)
    with pytest.raises(InputError, match=r"flow of 203x131: out of memory: .*lower flow\.scale"):
        failing(error)(frames[0], frames[1])


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA driver error: device not ready"),
    ],
)
def test_a_gpu_that_goes_is_an_error_after_which_the_task_is_done_elsewhere(error):
    frames = clip(2)
    with pytest.raises(LostError, match=r"203x131: the GPU failed or is gone: (CUDA|cuDNN)"):
        failing(error)(frames[0], frames[1])


def test_other_errors_stay_what_they_are():
    frames = clip(2)
    with pytest.raises(RuntimeError, match="size mismatch"):
        failing(RuntimeError("size mismatch"))(frames[0], frames[1])


class Cramped(InThrees):
    """A device that says it has room for six pairs and takes no more than `fitting`."""

    fitting = 2
    error = torch.OutOfMemoryError("CUDA out of memory")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        inner = self.update

        def update(state, *more):
            if len(state) > self.fitting:
                raise self.error
            return inner(state, *more)

        update.dtype, update.context = inner.dtype, inner.context
        self.update = update

    @property
    def room_bytes(self):
        return 6 * (PIXEL_BYTES * 16**2 + 12 * 16**4) + 1

    def batch_size(self, pixels):
        return RaftFamily.batch_size(self, pixels)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
    ],
)
def test_batches_that_do_not_fit_are_halved_until_they_do(error):
    frames, pairs = clip(5, (128, 128)), {(1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1)}
    model = driver(kind=Cramped, iterations=1)
    model.error = error
    assert model.batch_size(16**2) == 6
    run = model.run(frames, pairs, reach=3)
    flows = {pair: run.flow(*pair) for pair in sorted(pairs)}
    assert model.ran == [1] * 6  # six and three did not fit, then half of three
    alone = driver(iterations=1).run(frames, pairs, reach=3)
    for pair, flow in flows.items():
        np.testing.assert_array_equal(flow, alone.flow(*pair))


def test_a_pair_that_does_not_fit_by_itself_is_an_error():
    model = driver(kind=Cramped, iterations=1)
    model.fitting = 0
    with pytest.raises(InputError, match=r"128x128: out of memory: one pair at a time"):
        model.run(clip(2, (128, 128)), {(0, 1)}, reach=1).flow(0, 1)


@pytest.mark.slow
def test_gma_at_1080p_takes_less_than_3_gb():
    """Of all that a worker has, libraries too; two volumes would be 11 GB, attention 4."""
    script = Path(__file__).parents[5] / "benchmarks/speed/flow_memory.py"
    command = [sys.executable, script, "--row", "--sizes", "1920x1080", "--iterations", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, _ = json.loads(done.stdout.splitlines()[-1])
    assert peak < 3e9
