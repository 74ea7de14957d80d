"""What every torch network here needs: built alike, loaded strictly, run so that it repeats."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, InputError, LostError
from stages.models.weights import reason

if TYPE_CHECKING:
    import torch

RANDOM = "random"  # in place of weights, for tests: seeded, and good for nothing
SEED = 0
RANDOM_DIGEST = f"{RANDOM}-{SEED}"  # stands in keys for the digest of such weights

_one_at_a_time = threading.RLock()


@contextmanager
def seeded() -> Iterator[None]:
    """Build a network inside with the same random weights each time; the caller's state stays.

    All threads draw from one generator, and each may load a network: they take turns.
    """
    import torch

    with _one_at_a_time, torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def fill(model: torch.nn.Module, state: Mapping[str, Any], *, path: Path, name: str) -> None:
    """Put all of `state`, read from `path`, into the network called `name`.

    Raises
    ------
    InputError
        If a tensor is missing, left over, or of another shape.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not weights of {name}: {why}") from error


def move_to_device(model: torch.nn.Module, device: str, *, setting: str) -> None:
    """Make the network ready to run on a device.

    Raises
    ------
    ConfigError
        If there is no such device; `setting` is the field that asked for it.
    """
    try:
        model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ConfigError(
            f"{setting} = {device!r}: expected a device of this machine, such as cpu: "
            f"{reason(error)}"
        ) from error


LOST = ("CUDA error", "CUDA driver error", "_EXECUTION_FAILED", "_MAPPING_ERROR")


@contextmanager
def explained(what: str, advice: str) -> Iterator[None]:
    """Turn errors of memory and of a lost GPU into those that tell the user the way out.

    Parameters
    ----------
    what, advice : str
        What is being done, with the size it is done at; and what would need less memory.

    Raises
    ------
    InputError
        If memory ran out.
    LostError
        If the device failed: the process gets no other, but the task may be done elsewhere.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise InputError(f"{what}: out of memory: {advice}") from error
        if isinstance(error, torch.AcceleratorError) or any(s in str(error) for s in LOST):
            raise LostError(f"{what}: the GPU failed or is gone: {reason(error)}") from error
        raise


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means that memory, of the CPU or of a device, ran out."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error)
    if isinstance(error, torch.AcceleratorError) or any(part in message for part in LOST):
        return "out of memory" in message or "ALLOC_FAILED" in message  # others speak of memory too
    return isinstance(error, RuntimeError) and ("memory" in message or "ALLOC_FAILED" in message)


@contextmanager
def repeatable() -> Iterator[None]:
    """Run networks inside so that the same input gives the same bits.

    How many threads share a convolution changes its last bits (measured: 1e-4 pixels with RAFT),
    and a Ray worker has fewer threads than the process that runs inline: so it is always one.
    On a GPU, cuDNN may neither try out its algorithms nor use those that add in any order, and
    fp32 is fp32: with TF32, which is its default, results were not those of a CPU.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
