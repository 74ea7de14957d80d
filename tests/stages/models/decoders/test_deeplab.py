"""The decoder by itself, with seeded weights that are good for nothing, on noise."""

import pytest
import torch
import torchvision

from pipeline.errors import ConfigError, InputError, ShapeError
from stages.models.decoders.deeplab import DeepLabDecoder
from stages.models.decoders.windows import refined, refined_logits


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Pictures this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(**settings):
    return DeepLabDecoder(**({"window": 3, "classes": 5, "width": 32} | settings))


@pytest.fixture(scope="module")
def decoder():
    """Of window 3 and 5 classes; its state is as built, in evaluation mode."""
    return build(encoder_weights="random").eval()


@pytest.fixture(scope="module")
def encoder_state():
    """Weights of a ResNet-50 that are not those of "random"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return torchvision.models.resnet50(weights=None).state_dict()


def inputs(batch=1, window=3, classes=5, size=(64, 64)):
    seeded = torch.Generator().manual_seed(3)
    frames = torch.rand((batch, window, 3, *size), generator=seeded)
    masks = torch.randn((batch, window, classes, *size), generator=seeded).mul(3).softmax(dim=2)
    return frames, masks


def trained(decoder):
    """Give the last layer values other than zero, as training would."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        decoder.joint[-1].weight.normal_(0, 0.1)
        decoder.joint[-1].bias.normal_(0, 0.1)
    return decoder


@pytest.fixture
def trained_decoder(decoder):
    """Undone afterwards, the last layer as well as the mode."""
    before = {name: value.clone() for name, value in decoder.joint[-1].state_dict().items()}
    yield trained(decoder)
    decoder.joint[-1].load_state_dict(before)
    decoder.zero_grad()
    decoder.eval()


def test_untrained_it_returns_its_input_exactly(decoder):
    frames, masks = inputs()
    residuals = decoder(frames, masks)
    assert residuals.shape == masks.shape
    assert (residuals == 0).all()
    assert torch.equal(refined(masks, residuals), masks)
    hard = torch.nn.functional.one_hot(masks.argmax(dim=2), 5).movedim(-1, 2).float()
    assert torch.equal(refined(hard, residuals), hard)


@pytest.mark.parametrize(("window", "classes"), [(1, 2), (5, 5), (7, 2)])
def test_every_window_and_any_number_of_classes_works(window, classes):
    decoder = trained(build(window=window, classes=classes, encoder_weights="random")).eval()
    frames, masks = inputs(1, window, classes, size=(16, 24))
    with torch.no_grad():
        residuals = decoder(frames, masks)
    assert residuals.shape == masks.shape
    assert residuals.abs().min() > 0
    with pytest.raises(ShapeError, match=rf"frames: expected {window} frames in a window.*got 2 "):
        decoder(*inputs(1, 2, classes, size=(16, 24)))


@pytest.mark.parametrize("size", [(1, 1), (37, 51)])
def test_any_size_of_picture_works(trained_decoder, size):
    frames, masks = inputs(batch=2, size=size)
    with torch.no_grad():
        residuals = trained_decoder(frames, masks)
    assert residuals.shape == (2, 3, 5, *size)
    assert residuals.isfinite().all()


def test_every_frame_and_mask_of_the_window_tells_on_every_output(trained_decoder):
    frames, masks = inputs(size=(24, 24))
    with torch.no_grad():
        before = trained_decoder(frames, masks)
        for k in range(3):
            other_frames, other_masks = frames.clone(), masks.clone()
            other_frames[:, k] = 1 - other_frames[:, k]
            other_masks[:, k] = other_masks[:, k].flip(1)  # other classes, the same outlines
            for after in (
                trained_decoder(other_frames, masks),
                trained_decoder(frames, other_masks),
            ):
                assert ((after - before).abs().amax(dim=(0, 2, 3, 4)) > 1e-4).all()


def test_frozen_encoders_learn_nothing_in_training_mode(trained_decoder):
    decoder = trained_decoder.train()
    encoders = {"frame_encoder", "mask_encoder"}
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    decoder(*inputs(size=(24, 24))).square().sum().backward()
    without = {name for name, p in decoder.named_parameters() if p.grad is None}
    assert {name.split(".")[0] for name in without} == encoders
    learns = {name for name, p in decoder.named_parameters() if p.requires_grad}
    assert learns.isdisjoint(without)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert decoder.training
    assert decoder.joint.training


def test_encoders_learn_when_asked_to():
    decoder = trained(build(frozen=False, encoder_weights="random", classes=2)).train()
    before = decoder.mask_encoder.bn1.running_mean.clone()
    decoder(*inputs(classes=2, size=(16, 16))).square().sum().backward()
    assert decoder.frame_encoder.conv1.weight.grad.abs().sum() > 0
    assert decoder.mask_encoder.conv1.weight.grad.abs().sum() > 0
    assert not torch.equal(decoder.mask_encoder.bn1.running_mean, before)


def test_its_settings_and_its_state_build_it_again(trained_decoder):
    again = DeepLabDecoder(**trained_decoder.settings, encoder_weights="random").eval()
    assert again.settings == trained_decoder.settings
    again.load_state_dict(trained_decoder.state_dict())
    pair = inputs(size=(24, 24))
    with torch.no_grad():
        assert torch.equal(again(*pair), trained_decoder(*pair))


@pytest.mark.parametrize("kind", ["deeplab", "resnet"])
def test_weights_of_a_deeplab_or_a_resnet_go_to_both_encoders(tmp_path, encoder_state, kind):
    state = encoder_state
    if kind == "deeplab":
        state = {f"backbone.{k}": v for k, v in state.items() if not k.startswith("fc.")}
        state["classifier.4.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    decoder = build(encoder_weights=str(tmp_path / "w.pth"))
    for name in ("conv1.weight", "layer4.2.conv3.weight", "bn1.running_var"):
        assert torch.equal(decoder.frame_encoder.state_dict()[name], encoder_state[name])
    deep = decoder.mask_encoder.state_dict()["layer4.2.conv3.weight"]
    assert torch.equal(deep, encoder_state["layer4.2.conv3.weight"])


def test_masks_are_seen_as_a_picture_of_coloured_classes(decoder):
    """Some colours, through the frames' first filters, give the masks' first filters."""
    theirs = decoder.mask_encoder.conv1.weight.detach().movedim(1, 0).flatten(1)
    filters = decoder.frame_encoder.conv1.weight.detach().movedim(1, 0).flatten(1)
    colours = torch.linalg.lstsq(filters.T.double(), theirs.T.double()).solution.T
    torch.testing.assert_close((colours @ filters.double()).float(), theirs)
    assert torch.cdist(colours, colours)[~torch.eye(5, dtype=torch.bool)].min() > 0.1


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save({"layer": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: not weights of a ResNet-50"):
        build(encoder_weights=str(tmp_path / "w.pth"))


def test_another_number_of_classes_is_refused_with_both_numbers(decoder):
    wanted = (
        r"masks: expected 5 classes, background included, .* got 4 in \(3, 4, 64, 64\): build or "
    )
    with pytest.raises(ShapeError, match=wanted):
        decoder(*inputs(classes=4))


def test_sizes_that_differ_are_named(decoder):
    frames, masks = inputs()
    with pytest.raises(ShapeError, match=r"masks: .* with H=64 as in frames"):
        decoder(frames, masks[..., :32, :])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"window": 4}, r"decoder\.window = 4: expected one of \(1, 3, 5, 7\)"),
        ({"classes": 1}, r"decoder\.classes = 1: expected 2 or more"),
        ({"width": 40}, r"decoder\.width = 40: expected a multiple of 32"),
        ({"width": 0}, r"decoder\.width = 0: expected a multiple of 32"),
    ],
)
def test_settings_that_no_decoder_has_are_refused(wrong, text):
    with pytest.raises(ConfigError, match=text):
        build(encoder_weights="random", **wrong)


def test_residuals_are_added_to_the_logarithm_of_the_masks():
    _, masks = inputs(size=(9, 9))
    masks = (masks + 0.01) / 1.05
    residuals = torch.randn(masks.shape, generator=torch.Generator().manual_seed(6)) * 3
    expected = (masks.double().log() + residuals).softmax(dim=2).float()
    actual = refined(masks, residuals)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(refined_logits(masks, residuals).softmax(dim=2), expected)


def test_classes_still_sum_to_one_where_some_had_none():
    _, masks = inputs(size=(9, 9))
    masks = (masks - 0.2).clamp(min=0)
    masks /= masks.sum(dim=2, keepdim=True)
    residuals = torch.randn(masks.shape, generator=torch.Generator().manual_seed(6)) * 9
    actual = refined(masks, residuals)
    assert (masks == 0).any()
    assert actual.min() >= 0
    torch.testing.assert_close(actual.sum(dim=2), torch.ones_like(actual[:, :, 0]))


def test_a_probability_of_zero_can_rise_and_of_one_can_fall():
    masks = torch.zeros((1, 1, 2, 4, 4))
    masks[:, :, 0] = 1
    residuals = torch.zeros_like(masks)
    residuals[:, :, 1] = 20
    actual = refined(masks, residuals)
    assert actual[:, :, 1].min() > 0.999
    assert actual.min() >= 0
    assert refined_logits(masks, residuals).isfinite().all()
