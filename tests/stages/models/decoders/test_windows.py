"""The decoder over whole shots."""

import numpy as np
import pytest
import torch

from pipeline.errors import ShapeError
from stages.models.decoders.deeplab import DeepLabDecoder
from stages.models.decoders.windows import slide

SIZE, CLASSES = (17, 24), 3


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Pictures this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def decoder():
    """Of window 3, its last layer as if trained."""
    network = DeepLabDecoder(window=3, classes=CLASSES, width=32, encoder_weights="random")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        network.joint[-1].weight.normal_(0, 0.1)
    return network


def shot(count, size=SIZE, classes=CLASSES):
    """Noise: frames (H, W, 3) and masks (H, W, C)."""
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 256, (count, *size, 3), np.uint8)
    masks = np.exp(rng.normal(0, 1, (count, *size, classes)))
    return frames, (masks / masks.sum(-1, keepdims=True)).astype(np.float32)


def whole(decoder, frames, masks):
    return np.stack(list(slide(decoder, frames, masks, start=0, stop=len(frames))))


def slow_slide(decoder, frames, masks):
    """METHOD 5, window by window: softmax(log P + mean of a frame's residuals)."""
    decoder.eval()
    last, half = len(frames) - 1, decoder.window // 2
    residuals = [[] for _ in frames]
    for centre in range(len(frames)):
        places = [centre + step for step in range(-half, half + 1)]
        filled = [0 if k < 0 else last if k > last else k for k in places]
        pictures = torch.tensor(frames[filled]).movedim(-1, 1).float() / 255
        with torch.no_grad():
            actual = decoder(pictures[None], torch.tensor(masks[filled]).movedim(-1, 1)[None])[0]
        for frame, residual in zip(places, actual, strict=True):
            if 0 <= frame <= last:
                residuals[frame].append(residual.double())
    soft = torch.tensor(masks).movedim(-1, 1).double()
    mean = torch.stack([sum(of_frame) / len(of_frame) for of_frame in residuals])
    return (soft.log() + mean).softmax(dim=1).numpy()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_equals_its_definition_for_shots_of_any_length(decoder, count):
    frames, masks = shot(count)
    actual = whole(decoder, frames, masks)
    assert actual.shape == (count, CLASSES, *SIZE)
    assert actual.dtype == np.float32
    assert np.abs(actual - masks.transpose(0, 3, 1, 2)).max() > 0.01
    np.testing.assert_allclose(actual, slow_slide(decoder, frames, masks), atol=1e-3)
    np.testing.assert_allclose(actual.sum(axis=1), 1, atol=1e-5)


def test_the_bits_do_not_depend_on_how_the_shot_was_cut_up(decoder):
    frames, masks = shot(10)
    at_once, reach = whole(decoder, frames, masks), decoder.window - 1
    for start, stop in [(0, 3), (1, 2), (3, 4), (4, 9), (9, 10)]:
        low, high = max(start - reach, 0), min(stop + reach, 10)
        piece = slide(
            decoder, frames[low:high], masks[low:high], start=start - low, stop=stop - low
        )
        np.testing.assert_array_equal(np.stack(list(piece)), at_once[start:stop])


def test_what_lies_beyond_the_reach_changes_nothing_and_what_lies_within_does(decoder):
    frames, masks = shot(6)
    before = whole(decoder, frames, masks)
    frames[5] = 255 - frames[5]
    after = whole(decoder, frames, masks)
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False, False, False, True, True, True]


def test_an_untrained_decoder_returns_the_masks_exactly():
    decoder = DeepLabDecoder(window=5, classes=CLASSES, width=32, encoder_weights="random")
    frames, masks = shot(3)
    np.testing.assert_array_equal(whole(decoder, frames, masks), masks.transpose(0, 3, 1, 2))


class Spool:
    """A sequence that notes what is read of it."""

    def __init__(self, arrays):
        self.arrays, self.read = arrays, []

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, k):
        self.read.append(k)
        return self.arrays[k]


def test_a_frame_is_read_once_and_not_before_its_window_comes(decoder):
    frames, masks = (Spool(arrays) for arrays in shot(7))
    results = slide(decoder, frames, masks, start=2, stop=6)
    assert frames.read == []
    next(results)
    assert frames.read == masks.read == [0, 1, 2, 3, 4]
    assert len(list(results)) == 3
    assert frames.read == masks.read == list(range(7))


def test_torch_is_left_as_it_was_between_two_frames(decoder):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        results = slide(decoder, *shot(3), start=0, stop=3)
        next(results)
        assert torch.get_num_threads() == threads + 1
        assert not torch.is_inference_mode_enabled()
        list(results)
    finally:
        torch.set_num_threads(threads)


def test_nothing_wanted_is_nothing_done(decoder):
    assert list(slide(decoder, *shot(2), start=1, stop=1)) == []
    assert list(slide(decoder, [], [], start=0, stop=0)) == []


def test_frames_and_masks_that_do_not_match_are_refused(decoder):
    frames, masks = shot(3)
    with pytest.raises(ShapeError, match="masks: expected 3, one a frame, got 2"):
        slide(decoder, frames, masks[:2], start=0, stop=2)
    with pytest.raises(ShapeError, match="expected frames 1 to 4, as wanted, among them, got 3"):
        slide(decoder, frames, masks, start=1, stop=4)
    with pytest.raises(ShapeError, match=r"masks: expected 3 classes.* got 2"):
        next(slide(decoder, frames, masks[..., :2], start=0, stop=3))
    uneven = [masks[0], masks[1][:9], masks[2]]
    with pytest.raises(ShapeError, match=r"mask: .* with H=17"):
        list(slide(decoder, frames, uneven, start=0, stop=3))
    uneven_frames = [frames[0], frames[1][:9], frames[2]]
    with pytest.raises(ShapeError, match=r"one shape .* \(3, 17, 24\) .* got \(3, 9, 24\)"):
        list(slide(decoder, uneven_frames, uneven, start=0, stop=3))
