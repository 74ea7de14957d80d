"""Segmenters of torchvision with random weights: plumbing, not accuracy."""

import numpy as np
import pytest
import skimage.data

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.load import load_segmenter, segmenter_digest
from stages.models.segmenters.torchvision import working_size

FRAME = skimage.data.astronaut()[:60, :90]
LIGHT = "lraspp_mobilenet_v3_large"


@pytest.mark.slow
@pytest.mark.parametrize("name", [LIGHT, "deeplabv3_mobilenet_v3_large"])
def test_a_model_gives_probabilities_at_the_pictures_size(name):
    model = load_segmenter(name, weights="random")
    assert model.class_ids == tuple(range(1, 21))
    soft = model(FRAME)
    assert soft.shape == (20, 60, 90)
    assert soft.dtype == np.float32
    assert (soft >= 0).all()
    assert soft.sum(axis=0).max() <= 1 + 1e-5
    np.testing.assert_array_equal(soft, model(FRAME))


@pytest.mark.parametrize("size", [(1, 1), (200, 1), (3, 90)])
def test_any_size_will_do(size):
    soft = load_segmenter(LIGHT, weights="random")(np.zeros((*size, 3), np.uint8))
    assert soft.shape == (20, *size)
    assert np.isfinite(soft).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 854), (520, 925)), ((60, 90), (520, 780)), ((1, 4000), (32, 2080))],
)
def test_a_picture_is_seen_at_the_size_of_training_within_bounds(size, expected):
    assert working_size(*size) == expected


def test_the_number_of_threads_does_not_change_a_bit():
    import torch

    model, before = load_segmenter(LIGHT, weights="random"), torch.get_num_threads()
    soft = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            soft.append(model(FRAME))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*soft)


@pytest.mark.parametrize("form", ["w.pth", "w.safetensors"])
def test_weights_of_other_classes_are_taken(tmp_path, form):
    import torch
    import torchvision
    from safetensors.torch import save_file

    net = torchvision.models.get_model(LIGHT, weights=None, weights_backbone=None, num_classes=3)
    path = tmp_path / form
    if form == "w.pth":
        torch.save({"model": net.state_dict(), "epoch": 7}, path)
    else:
        save_file(net.state_dict(), path)
    model = load_segmenter(LIGHT, weights=str(path))
    assert model.class_ids == (1, 2)
    assert model(FRAME).shape == (2, 60, 90)
    assert segmenter_digest(LIGHT, weights=str(path)) != segmenter_digest(LIGHT, weights="random")


def test_weights_of_another_model_are_refused(tmp_path):
    import torch

    torch.save({"layer": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: not weights of lraspp"):
        load_segmenter(LIGHT, weights=str(tmp_path / "w.pth"))


def test_weights_that_cannot_be_downloaded_say_what_to_get(monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(url, path, **how):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    wanted = rf"get https://download\.pytorch\.org/.*{LIGHT}.*--set segment\.weights=PATH"
    with pytest.raises(InputError, match=wanted):
        load_segmenter(LIGHT)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    expected = r"expected one of .*fcn_resnet50.*module:function; did you mean deeplabv3_resnet50"
    with pytest.raises(ConfigError, match=expected):
        load_segmenter("deeplab_resnet50")


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match=r"segment\.device = 'abacus'"):
        load_segmenter(LIGHT, weights="random", device="abacus")
