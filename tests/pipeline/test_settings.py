import pytest
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ConfigError
from pipeline.settings import build, check_names, merge_layers, read_overrides, read_preset


class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    radius: int = Field(4, ge=0)
    eps: float = 1e-4


def test_an_override_beats_the_preset_and_the_preset_beats_the_default():
    preset = {"smooth": {"radius": 2, "eps": 0.5}}
    merged = merge_layers(preset, read_overrides(["smooth.radius=3"]))
    assert build(Filter, "smooth", merged["smooth"], "x") == Filter(radius=3, eps=0.5)


def test_numbers_may_be_written_with_an_exponent():
    assert read_overrides(["smooth.eps=1e-3"]) == {"smooth": {"eps": 1e-3}}


def test_fields_of_a_field_are_given_one_by_one():
    layers = [
        {"engine": {"chunk": 8, "resources": {"flow": {"cpus": 1, "gpus": 1}, "refine": {}}}},
        {"engine": {"resources": {"smooth": {"gpus": 0.2}}}},
        read_overrides(["engine.resources.flow.gpus=0.5", "engine.resources.refine={cpus: 2}"]),
    ]
    kept = [str(layer) for layer in layers]
    assert merge_layers(*layers)["engine"] == {
        "chunk": 8,
        "resources": {
            "flow": {"cpus": 1, "gpus": 0.5},
            "refine": {"cpus": 2},
            "smooth": {"gpus": 0.2},
        },
    }
    assert [str(layer) for layer in layers] == kept


def test_the_last_one_said_counts_and_nothing_takes_all_back():
    preset = {"labels": {"sure_of": {1: 0.5, 2: 0.9}}}
    assert merge_layers(preset, read_overrides(["labels.sure_of.1=0.7"])) == {
        "labels": {"sure_of": {1: 0.7, 2: 0.9}}
    }
    assert merge_layers(preset, read_overrides(["labels.sure_of={}"])) == {
        "labels": {"sure_of": {}}
    }


def test_a_value_in_place_of_fields_is_refused_where_it_is_checked():
    merged = merge_layers({"smooth": {"eps": {"a": 1}}}, read_overrides(["smooth.eps.b=1"]))
    with pytest.raises(ConfigError, match=r"smooth\.eps = "):
        build(Filter, "smooth", merged["smooth"], "x")


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


@pytest.mark.parametrize(
    "text", ["smooth", "smooth.eps", "=3", "smooth=3", "smooth.eps=[1", "smooth..eps=1", "a.b.=1"]
)
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


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "not YAML: expected values, got an alias"),
        ("a: &a {x: 1}\nsmooth:\n  <<: *a\n", "not YAML: expected values, got an alias"),
        ("smooth: !!python/object/apply:os.mkdir [{place}]", "not YAML: could not determine a con"),
        ("smooth: !!python/name:os.system", "not YAML: could not determine a constructor"),
        ("smooth: " + "[" * 5000 + "]" * 5000, "not YAML: maximum recursion depth exceeded"),
        ("smooth: {eps: " + "9" * 9999 + "}", "not YAML: Exceeds the limit"),
        ("smooth: {eps: 2026-99-99}", "not YAML: month must be in 1..12"),
        ("smooth: {eps: !!int one}", "not YAML: invalid literal for int"),
        ("smooth: \0", "not YAML: unacceptable character"),
        ("#" * 2**20 + "\n", "expected at most 1048576 bytes of settings, got more"),
        ("[" + "x," * 9999 + "x]", "expected sections such as 'flow:', got ['x', "),
    ],
)
def test_a_hostile_preset_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "preset.yaml"
    path.write_text(text.replace("{place}", str(tmp_path / "sprung")))
    with pytest.raises(ConfigError) as caught:
        read_preset(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("value", ["&a [*a]", "!!python/name:os.system", "9" * 9999, "[" * 9999])
def test_a_hostile_override_is_refused_too(value):
    with pytest.raises(ConfigError, match="the value is not YAML"):
        read_overrides([f"smooth.eps={value}"])


def test_a_number_that_python_does_not_write_is_still_named():
    with pytest.raises(ConfigError, match=r"smooth\.eps = a number of thousands of digits"):
        build(Filter, "smooth", read_overrides([f"smooth.eps=0x{'f' * 5000}"])["smooth"], "--set")
