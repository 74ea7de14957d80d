from itertools import pairwise

import cv2
import numpy as np
import pytest

from stages.metrics.accuracy import jaccard
from steadymask.training.synthetic.examples import SIZE, training_examples
from steadymask.training.synthetic.flicker import KINDS, Flicker
from steadymask.training.synthetic.materials import picture_region, sample_photographs, shape
from steadymask.training.synthetic.scenes import Scene, random_scene


def quiet_scene(seed, size=96, frames=7):
    """A scene without noise, blur or change of light."""
    scene = random_scene(
        np.random.default_rng(seed), sample_photographs(), size=size, frames=frames
    )
    return Scene(scene.layers, size, frames, light=0.0, blur=0.0, noise=0.0, seed=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_of_a_scene_is_exact_where_the_other_frame_shows_the_pixel(seed):
    scene = quiet_scene(seed)
    frames, tops = scene.render_frames()
    flow, visible = scene.flow(tops, 1, 5), scene.visible(tops, 1, 5)
    rows, columns = np.mgrid[:96, :96].astype(np.float32)
    there = cv2.remap(frames[5], columns + flow[0], rows + flow[1], cv2.INTER_LINEAR)
    wrong = np.abs(there.astype(float) - frames[1]).mean(-1)
    inside = cv2.erode(visible.astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.any()
    assert wrong[inside].mean() < 6  # grey levels: sampled twice, once more than the picture itself
    still = np.abs(frames[5].astype(float) - frames[1]).mean(-1)
    assert wrong[inside].mean() < 0.5 * still[inside].mean()


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_leads_to_its_texture_and_back(seed):
    layer = quiet_scene(seed).layers[1]
    places = np.mgrid[:96, :96].astype(np.float32)
    back = layer.picture_places(layer.texture_places(places, 2), 2)
    np.testing.assert_allclose(back, places, atol=1e-2)


def test_a_scene_is_drawn_again_from_its_seed():
    frames, tops = quiet_scene(3).render_frames()
    again, tops_again = quiet_scene(3).render_frames()
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(tops, tops_again)


@pytest.mark.parametrize("seed", range(6))
def test_regions_and_shapes_are_neither_nothing_nor_nearly_all(seed):
    rng = np.random.default_rng(seed)
    for mask in (picture_region(sample_photographs()[3], rng), shape(rng, 128)):
        assert 0 < mask.mean() < 0.75


def disc():
    rows, columns = np.mgrid[:160, :160] - 80
    return np.hypot(rows, columns) < 40


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_flicker_errs_but_keeps_the_object(kind):
    flicker = Flicker(np.random.default_rng(0), 160, kind=kind)
    flicker.share, flicker.strength = 1.0, 0.7
    masks = [flicker(disc(), np.zeros_like(disc())) for _ in range(20)]
    scores = [jaccard(mask, disc()) for mask in masks]
    assert min(scores) < 0.97
    assert np.median(scores) > 0.4
    assert any((a != b).any() for a, b in pairwise(masks))


def test_where_nothing_errs_the_mask_is_the_truth():
    flicker = Flicker(np.random.default_rng(0), 160)
    flicker.share = 0.0
    np.testing.assert_array_equal(flicker(disc(), ~disc()), disc())


def test_examples_repeat_with_their_seed_and_hold_what_the_decoder_reads():
    first, again = (list(training_examples([], 3, seed=5)) for _ in range(2))
    assert len(first) == 3
    for example, other in zip(first, again, strict=True):
        assert example["planes"].shape == (6, SIZE, SIZE)
        assert example["near"].shape == (12, SIZE // 2, SIZE // 2)
        assert set(np.unique(example["truth"])) <= {0, 255}
        for name, values in example.items():
            np.testing.assert_array_equal(values, other[name])
    assert any((example["planes"] != first[0]["planes"]).any() for example in first[1:])
