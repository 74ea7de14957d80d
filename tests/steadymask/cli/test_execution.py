"""Where tasks run."""

from types import SimpleNamespace

import pytest

import steadymask
from pipeline.errors import ConfigError
from stages.catalogue import Engine
from steadymask.cli.execution import Placement, executor_starter

MESSAGE = "executor: expected one of ray, inline, got 'rya'"


def test_the_name_of_no_executor_is_refused_before_anything_starts(tmp_path):
    store = SimpleNamespace(url=str(tmp_path))
    with pytest.raises(ConfigError, match=MESSAGE):
        executor_starter(Placement("rya"), store, Engine())
    with pytest.raises(ConfigError, match=MESSAGE):
        steadymask.run(tmp_path, tmp_path, tmp_path / "out", executor="rya")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ray", "inline"])
def test_each_name_of_an_executor_has_a_starter(tmp_path, name):
    assert callable(executor_starter(Placement(name), SimpleNamespace(url=str(tmp_path)), Engine()))
