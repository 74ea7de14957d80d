import pytest

from pipeline.errors import GraphError
from stages.facts import ClipFacts

FACTS = {
    "size": [4, 6],
    "shots": [[0, 3], [3, 5]],
    "classes": [7, 2],
    "masks": {"parts": [[0, 5]], "kind": "labels"},
}


def test_plain_json_values_come_out_typed():
    facts = ClipFacts(FACTS)
    assert facts.size == (4, 6)
    assert facts.pixels == 24
    assert facts.shots == ((0, 3), (3, 5))
    assert facts.classes == (7, 2)
    assert facts.mask_parts == ((0, 5),)
    assert facts.mask_warnings == ()


def test_a_fact_that_a_step_does_not_use_is_refused_by_name():
    with pytest.raises(GraphError, match=r"'rate'.*classes, masks, shots, size.*`uses`"):
        _ = ClipFacts(FACTS).rate


def test_facts_cannot_be_changed():
    with pytest.raises(AttributeError):
        ClipFacts(FACTS).values = {}
