import numpy as np
import pytest
import skimage.data
import torch

from pipeline.errors import ConfigError, InputError
from stages.models.decoders.aligned import AlignedDecoder
from stages.models.decoders.load import SHIPPED as DECODERS
from stages.models.decoders.load import save_decoder
from stages.models.refiners.cascade import CascadeRefiner, _pass_sizes
from stages.models.refiners.load import load_refiner
from stages.ops.refiner_inputs import refiner_planes


def round_thing(size=240):
    """Return a picture of a dark disc with a lighter half on grass, and its mask."""
    rows, columns = np.mgrid[:size, :size]
    mask = np.hypot(rows - size / 2, columns - size / 2) < size / 4
    grass = skimage.data.grass()[:size, :size].astype(float)
    picture = np.stack([grass / 2, grass, grass / 3], axis=-1)
    picture[mask] = np.where(columns[mask, None] > size / 2, [150, 40, 60], [110, 20, 40])
    return picture.astype(np.uint8), mask


def coarse(mask):
    """Return the mask at a twelfth of its size."""
    small = mask.reshape(20, 12, 20, 12).mean(axis=(1, 3)) > 0.5
    return small.repeat(12, axis=0).repeat(12, axis=1)


def overlap(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_the_shipped_refiner_follows_the_picture():
    picture, mask = round_thing()
    rough = coarse(mask)
    refined = load_refiner()(picture, rough) > 0.5
    assert 1 - overlap(refined, mask) < 0.5 * (1 - overlap(rough, mask))


def test_a_right_mask_stays_as_it_is():
    picture, mask = round_thing()
    assert overlap(load_refiner()(picture, mask) > 0.5, mask) > 0.98


def test_a_mask_that_fits_the_picture_is_not_even_tried(monkeypatch):
    picture, mask = round_thing()
    monkeypatch.setattr(CascadeRefiner, "_pass", lambda *_: pytest.fail("it was"))
    np.testing.assert_array_equal(load_refiner()(picture, mask), mask)


def test_a_result_that_fits_the_picture_no_better_is_dropped(monkeypatch):
    picture, mask = round_thing()
    rough = coarse(mask)
    monkeypatch.setattr(CascadeRefiner, "_pass", lambda self, planes: 0 * planes[0])
    np.testing.assert_array_equal(load_refiner()(picture, rough), rough)


def test_no_mask_stays_none():
    picture, mask = round_thing()
    assert not (load_refiner()(picture, np.zeros_like(mask)) > 0.5).any()


@pytest.mark.parametrize("size", [(1, 1), (5, 700), (31, 33)])
def test_odd_sizes_do(size):
    picture = np.zeros((*size, 3), np.uint8)
    mask = np.ones(size, np.bool_)
    assert load_refiner()(picture, mask).shape == size


def test_the_same_bits_come_whatever_the_number_of_threads():
    picture, mask = round_thing()
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(load_refiner()(picture, coarse(mask)))
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(*results)


def test_an_untrained_refiner_gives_the_mask_back(tmp_path):
    save_decoder(tmp_path / "new.safetensors", AlignedDecoder(window=1))
    picture, mask = round_thing()
    refined = CascadeRefiner(tmp_path / "new.safetensors")(picture, mask) > 0.5
    assert overlap(refined, mask) > 0.97


def test_passes_go_from_about_240_rows_to_the_full_size():
    assert _pass_sizes(480, 854) == [(240, 427), (480, 854)]
    assert _pass_sizes(1080, 1920) == [(270, 480), (540, 960), (1080, 1920)]
    assert _pass_sizes(100, 200) == [(50, 100), (100, 200)]


def test_planes_hold_picture_masks_and_evidence_of_colour():
    picture, mask = round_thing()
    soft = mask.astype(np.float32)
    planes = refiner_planes(picture, soft, 1 - soft)
    np.testing.assert_allclose(planes[:3].transpose(1, 2, 0) * 255, picture, atol=1e-3)
    np.testing.assert_array_equal(planes[3], soft)
    np.testing.assert_array_equal(planes[4], 1 - soft)
    assert planes[5][mask].mean() < 0.5 < planes[5][~mask].mean()  # of the earlier result


def test_a_decoder_of_several_frames_is_refused():
    with pytest.raises(InputError, match="expected a refiner, which sees one frame"):
        load_refiner(str(DECODERS["aligned"]))


@pytest.mark.parametrize("spec", ["nothing", "math:nothing", "no_such_module:f", "math:pi"])
def test_what_is_no_function_is_refused(spec):
    with pytest.raises(ConfigError, match="--refiner"):
        load_refiner(spec)


@pytest.mark.parametrize("answer", ["small", "whole", "large", "raises"])
def test_a_function_that_answers_wrongly_is_named(tmp_path, monkeypatch, answer):
    (tmp_path / f"own_{answer}.py").write_text(
        "import numpy as np\n"
        "def small(picture, mask): return mask[1:]\n"
        "def whole(picture, mask): return mask.astype(int)\n"
        "def large(picture, mask): return mask * 2.0\n"
        "def raises(picture, mask): raise ValueError('no')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    picture, mask = round_thing()
    with pytest.raises(InputError, match=f"own_{answer}:{answer}"):
        load_refiner(f"own_{answer}:{answer}")(picture, mask)
