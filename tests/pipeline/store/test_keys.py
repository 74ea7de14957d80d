from typing import ClassVar

import numpy as np
import pytest

from pipeline.stage import Resources
from pipeline.store.keys import digest_array, digest_json, record_of
from tests.support.toy_stages import Mean

INPUTS = {"x": "a" * 64, "y": "b" * 64}


def key(stage, frames=(0, 8), inputs=INPUTS):
    return digest_json(record_of(stage, frames, inputs))


def test_spelling_out_a_default_keeps_the_key():
    assert key(Mean()) == key(Mean(reach=2))


@pytest.mark.parametrize(
    ("stage", "frames", "inputs"),
    [
        pytest.param(Mean(reach=3), (0, 8), INPUTS, id="a field"),
        pytest.param(Mean(), (0, 9), INPUTS, id="the frames"),
        pytest.param(Mean(), (0, 8), INPUTS | {"x": "c" * 64}, id="an input"),
        pytest.param(Mean(), (0, 8), {"x": "b" * 64, "y": "a" * 64}, id="inputs swapped"),
    ],
)
def test_what_can_change_the_result_changes_the_key(stage, frames, inputs):
    assert key(stage, frames, inputs) != key(Mean())


def test_a_new_version_changes_the_key():
    class Newer(Mean):
        version: ClassVar[int] = 2

    assert key(Newer()) != key(Mean())


def test_resources_do_not_change_the_key():
    class Faster(Mean):
        resources: ClassVar[Resources] = Resources(cpus=16)

    assert key(Faster()) == key(Mean())


def test_the_key_is_the_same_in_every_process_and_release():
    """A frozen value: if this fails, everybody's store is void. Say so in CHANGELOG."""
    assert key(Mean()) == ("585d05c85182e76d67061aa5c32230a7ed6a94346df39a1260e465f238adb264")


def test_equal_bytes_of_another_type_or_shape_have_another_digest():
    zeros = np.zeros(8, np.uint8)
    others = zeros.reshape(2, 4), zeros.view(np.int8), zeros.view(np.uint16)
    assert len({digest_array(array) for array in (zeros, *others)}) == 4
