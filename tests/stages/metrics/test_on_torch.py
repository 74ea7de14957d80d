import numpy as np
import pytest
import torch

from stages.metrics import on_torch
from stages.metrics.semantic import Confusion
from stages.metrics.stability import disagreement
from stages.metrics.temporal import carried_labels

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_pair(seed):
    rng = np.random.default_rng(seed)
    labels, others = rng.integers(0, 6, (2, 20, 30), np.uint8)
    labels[:2] = 255
    flow = np.round(rng.normal(0, 4, (2, 20, 30)) * 4).astype(np.float32) / 4  # with halves
    return labels, others, flow, rng.random((20, 30)) < 0.7


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(5))
def test_counts_of_tensors_are_those_of_arrays(seed, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    labels, others, flow, visible = random_pair(seed)
    tensors = [torch.from_numpy(array).to(device) for array in (labels, others, flow, visible)]
    assert on_torch.disagreement(*tensors) == disagreement(labels, others, flow, visible)
    carried = on_torch.carried_labels(tensors[1], tensors[2])
    np.testing.assert_array_equal(carried.cpu().numpy(), carried_labels(others, flow))
    total = Confusion(5)
    total.add(others, labels)
    counts = on_torch.confusion_counts(tensors[1], tensors[0], classes=5)
    np.testing.assert_array_equal(counts.cpu().numpy(), total.counts)
