import pytest
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ConfigError
from pipeline.settings import build, check_names, merge, read_overrides, read_preset


class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    radius: int = Field(4, ge=0)
    eps: float = 1e-4


def test_an_override_beats_the_preset_and_the_preset_beats_the_default():
    preset = {"smooth": {"radius": 2, "eps": 0.5}}
    merged = merge(preset, read_overrides(["smooth.radius=3"]))
    assert build(Filter, "smooth", merged["smooth"], "x") == Filter(radius=3, eps=0.5)


def test_numbers_may_be_written_with_an_exponent():
    assert read_overrides(["smooth.eps=1e-3"]) == {"smooth": {"eps": 1e-3}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raduis": 1}, "no setting smooth.raduis: did you mean 'radius'?"),
        ({"radius": -1}, "smooth.radius = -1: input should be greater than or equal to 0"),
        ({"eps": "small"}, "smooth.eps = 'small': input should be a valid number"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(fields, message):
    with pytest.raises(ConfigError) as error:
        build(Filter, "smooth", fields, "fast.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("fast.yaml: ")


def test_an_unknown_section_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"no section 'smoth': did you mean 'smooth'\?"):
        check_names({"smoth": {}}, ["smooth", "flow"], "--set")


@pytest.mark.parametrize("text", ["smooth", "smooth.eps", "=3", "smooth=3", "smooth.eps=[1"])
def test_an_override_of_another_form_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        read_overrides([text])


@pytest.mark.parametrize("text", ["- a\n- b", "smooth: 3", "a: [", "\x00"])
def test_a_preset_that_is_no_preset_is_refused_by_name(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        read_preset(path)


def test_a_preset_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_preset(tmp_path / "none.yaml")
