from typing import get_args

import pytest

from stages.catalogue import Engine, step_types
from steadymask import Settings


@pytest.mark.parametrize("segmenter", [False, True])
def test_every_stage_of_the_catalogue_is_a_typed_section(segmenter):
    expected = step_types(segmenter=segmenter) | {"engine": Engine}
    assert set(Settings.model_fields) == set(expected)
    for name, model in expected.items():
        assert model in get_args(Settings.model_fields[name].annotation), name


def test_every_section_gives_only_the_fields_that_were_set():
    for name, model in step_types(segmenter=False).items():
        assert Settings(**{name: model()}).sections() == {name: {}}
    assert Settings(trust={"reach": 5}).sections() == {"trust": {"reach": 5}}
