"""What is stored of flow, and how near it is."""

import numpy as np
import pytest

from stages.ops.fixed_point import pack_flow, unpack_flow


@pytest.mark.parametrize("steps", [64, 32, 16])
def test_flow_comes_back_within_half_a_step(steps):
    flow = np.random.default_rng(0).uniform(-300, 300, (2, 40, 50)).astype(np.float32)
    packed = pack_flow(flow, steps=steps)
    apart = np.abs(unpack_flow(packed) - flow).max()
    assert 0.4 / steps < apart <= 0.501 / steps
    assert not (packed % (64 // steps)).any()


@pytest.mark.parametrize("steps", [64, 32, 16])
def test_flow_too_long_to_be_stored_is_cut(steps):
    flow = unpack_flow(pack_flow(np.array([1e6, -1e6], np.float32), steps=steps))
    np.testing.assert_allclose(flow, [511.9, -511.9], atol=0.1)
