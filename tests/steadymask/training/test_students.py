import json

import numpy as np
import onnx
import pytest
import torch
from torchvision.models import mobilenet_v3_large

from pipeline.errors import ConfigError, InputError, PipelineError
from stages.models.segmenters.load import load_segmenter
from steadymask.training.onnx_file import export_onnx
from steadymask.training.students import (
    NETWORKS,
    build_student,
    check_classes,
    load_student,
    save_student,
)
from tests.support.tiny_onnx import FLOAT, model

TINY = "tests.support.tiny_student:network"


@pytest.fixture
def student():
    torch.manual_seed(0)
    return build_student(TINY, (3, 7)).eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_student_of_torchvision_has_a_score_for_each_class_and_pixel(name):
    network = build_student(name, (4, 9, 200), backbone="random").eval()
    scores, features = network.with_features(torch.rand(1, 3, 40, 70))
    assert scores.shape == (1, 4, 40, 70)
    assert features.shape[1] in (128, 256)
    torch.testing.assert_close(
        network(torch.zeros(1, 3, 40, 70)), network(torch.zeros(1, 3, 40, 70))
    )


def test_features_are_what_the_last_convolution_sees(student):
    picture = torch.rand(1, 3, 20, 24)
    scores, features = student.with_features(picture)
    again = torch.nn.functional.interpolate(
        student.network[-1](features), size=(20, 24), mode="bilinear"
    )
    torch.testing.assert_close(again, scores)


def test_pictures_are_normalised_as_imagenets(student):
    picture = torch.rand(1, 3, 20, 24)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    coarse = student.network((picture - mean) / std)
    fine = torch.nn.functional.interpolate(coarse, size=(20, 24), mode="bilinear")
    torch.testing.assert_close(student(picture), fine)


def test_a_backbone_takes_imagenet_weights(tmp_path):
    torch.manual_seed(1)
    whole = mobilenet_v3_large(weights=None)
    torch.save(whole.state_dict(), tmp_path / "backbone.pth")
    network = build_student(NETWORKS[0], (1,), backbone=str(tmp_path / "backbone.pth"))
    first = network.network.backbone["0"][0].weight
    torch.testing.assert_close(first, whole.features[0][0].weight)


def test_what_is_saved_loads_and_computes_the_same(student, tmp_path):
    save_student(tmp_path / "s.safetensors", student)
    again = load_student(tmp_path / "s.safetensors").eval()
    picture = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(again(picture), student(picture))
    assert again.class_ids == (3, 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lraspp", "expected lraspp_mobilenet_v3_large, deeplabv3"),
        ("tests.support.tiny_student:nothing", "a module that Python can import"),
        ("tests.support.tiny_student:not_a_network", "expected a torch.nn.Module, got a str"),
        (
            "tests.support.tiny_student:one_class_too_many",
            r"expected scores \(B, 3, H, W\) .* got \(1, 4, 32, 32\)",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        build_student(name, (3, 7))


def test_a_library_without_a_class_is_refused():
    with pytest.raises(ConfigError, match="one class or more"):
        build_student(TINY, ())


def test_a_student_of_other_classes_is_refused(student, tmp_path):
    with pytest.raises(InputError, match=r"of the classes \(1,\) as the labels have.*\(3, 7\)"):
        check_classes(student, (1,), tmp_path / "s.safetensors")


def test_other_weights_are_no_student(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="expected a student of version 1"):
        load_student(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not readable as weights"):
        load_student(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_the_onnx_file_is_a_segmenter_that_gives_the_students_probabilities(
    student, tmp_path, size
):
    export_onnx(student, tmp_path / "s.onnx")
    segmenter = load_segmenter(str(tmp_path / "s.onnx"))
    assert segmenter.class_ids == (3, 7)
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    below, right = -size[0] % 32, -size[1] % 32
    whole = torch.from_numpy(np.pad(frame, ((0, below), (0, right), (0, 0)))).permute(2, 0, 1)
    with torch.no_grad():
        wanted = student(whole[None].float() / 255).softmax(dim=1)[0, 1:, : size[0], : size[1]]
    np.testing.assert_allclose(segmenter(frame), wanted.numpy(), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["s.onnx"]


def test_a_graph_that_a_file_cannot_follow_is_refused(tmp_path):
    moody = build_student("tests.support.tiny_student:moody", (1,))
    with pytest.raises(PipelineError, match="expected the network's probabilities"):
        export_onnx(moody, tmp_path / "s.onnx")
    assert list(tmp_path.iterdir()) == []


def name_classes(content, path, text):
    named = onnx.load_from_string(content)
    onnx.helper.set_model_props(named, {"steadymask.classes": text})
    onnx.save(named, path)


@pytest.mark.parametrize("named", ["[5]", "[5, 5]", "[0, 1]", "five"])
def test_a_model_whose_classes_do_not_fit_its_channels_is_refused(tmp_path, named):
    content = model([("Identity", {})], [(FLOAT, (1, 3, 30, 40))])
    path = tmp_path / "m.onnx"
    name_classes(content, path, named)
    with pytest.raises(InputError, match=r"steadymask\.classes"):
        load_segmenter(str(path))


def test_a_model_may_name_its_classes(tmp_path):
    content = model([("Identity", {})], [(FLOAT, (1, 3, 30, 40))])
    path = tmp_path / "m.onnx"
    name_classes(content, path, json.dumps([9, 300]))
    assert load_segmenter(str(path)).class_ids == (9, 300)
