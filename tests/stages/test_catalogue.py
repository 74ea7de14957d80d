import pytest

from pipeline.errors import ConfigError
from pipeline.plan import check_steps, steps_for
from stages.catalogue import build_steps, step_types

SHARING = {"visibility", "refine", "smooth", "measure", "scores", "report", "pseudo_labels"}


def test_the_radius_of_flow_is_that_of_every_stage_that_has_one():
    steps, _ = build_steps({"flow": {"radius": 2}, "pseudo_labels": {"enabled": True}}, "test")
    radii = {step.name: step.radius for step in steps if hasattr(step, "radius")}
    assert set(radii) >= SHARING | {"flow"}
    assert set(radii.values()) == {2}


def test_no_stage_has_a_radius_of_its_own():
    types = step_types(segmenter=False)
    for section in SHARING:
        with pytest.raises(ConfigError, match=rf"{section}\.radius = 5: .* flow\.radius, 3"):
            build_steps({section: {"radius": 5}}, "test")
        assert "radius" in types[section].model_fields


def test_appearance_is_that_of_refine():
    steps, _ = build_steps({"refine": {"appearance": 7.0}}, "test")
    shared = {step.name: step.appearance for step in steps if step.name in ("refine", "smooth")}
    assert shared == {"refine": 7.0, "smooth": 7.0}


def test_what_a_training_needs_follows_from_the_inputs():
    steps, _ = build_steps({}, "test")
    needed = steps_for(steps, ("flow", "smooth"))
    check_steps(needed)
    names = [step.name for step in needed]
    assert {"probe", "ingest", "classes", "segment", "flow", "trust", "refine", "smooth"} == {
        *names
    }
    assert [step.name for step in steps_for(steps, ("flow",))][-1] == "flow"
