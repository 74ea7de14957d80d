"""The names of flow methods are written once: texts and documentation follow the registry."""

import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from stages.flow import Flow
from stages.models.flow.registry import METHODS, FlowChoice, NetworkMethod, find_method
from stages.models.flow.settings import FAMILY
from steadymask.cli.evaluate import build_parser

PAGE = Path(__file__).resolve().parents[4] / "docs" / "flow.md"


def test_the_table_in_the_documentation_has_the_methods_that_there_are():
    table = PAGE.read_text(encoding="utf-8").split("\n\n")[1]
    rows = re.findall(r"^\| `([\w:]+)` \| (.*) \| (.*) \|$", table, re.MULTILINE)
    named = [name for name, _, _ in rows]
    assert named == [*METHODS, *FAMILY, "module:function"]
    for name, _, weights in rows[:-1]:
        is_network = isinstance(find_method(name), NetworkMethod)
        assert weights == ("`flow.weights`" if is_network else "none"), name


def test_texts_name_the_methods_that_there_are():
    description = Flow.model_fields["method"].description
    assert description.startswith(f"{', '.join(METHODS)}, the name of a ptlflow model (")
    for field in ("method", "iterations", "precision", "recorded"):
        assert ", ".join(FAMILY) in Flow.model_fields[field].description
    flow = next(a for a in build_parser()._actions if a.dest == "flow")
    assert flow.help.startswith(f"{', '.join(METHODS)} or a ptlflow model")


@pytest.mark.parametrize("ask", ["build", "digest"])
def test_an_unknown_name_is_refused_with_the_methods_that_there_are(ask):
    pytest.importorskip("ptlflow")
    choice = FlowChoice("depflow", weights="random")
    message = rf"expected {', '.join(METHODS)}, module:function, .*did you mean deepflow"
    with pytest.raises(ConfigError, match=message):
        getattr(find_method(choice.method), ask)(choice)
