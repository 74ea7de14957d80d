import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import InputError
from stages.models.decoders.aligned import AlignedDecoder
from stages.models.decoders.load import (
    build_decoder,
    decoder_digest,
    decoder_window,
    load_decoder,
    save_decoder,
)
from stages.ops.decoder_inputs import DecoderInputs

SMALL = (8, 8)


def small(window=7, seed=0):
    torch.manual_seed(seed)
    decoder = AlignedDecoder(window, SMALL)
    torch.nn.init.normal_(decoder.head.weight, std=0.1)
    return decoder


def inputs(window=7, size=(21, 30), classes=2):
    rng = np.random.default_rng(0)
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    return DecoderInputs(
        picture=rng.random((3, *size), np.float32),
        masks=rng.random((classes, 3, *size), np.float32),
        near=rng.random((classes, 2 * (window - 1), *half), np.float32),
    )


def test_an_untrained_decoder_changes_nothing_and_does_not_know_what_to_trust():
    residual, trust = AlignedDecoder().refine(inputs())
    assert not residual.any()
    assert (trust == 0.5).all()


@pytest.mark.parametrize("window", [1, 3, 5, 7])
def test_every_window_works_at_any_size(window):
    for size in ((21, 30), (1, 1), (16, 16)):
        for out in small(window).refine(inputs(window, size)):
            assert out.shape == (*size, 2)


def test_each_class_is_decoded_by_itself():
    decoder_inputs = inputs()
    both = small().refine(decoder_inputs)
    single_class = small().refine(
        DecoderInputs(decoder_inputs.picture, decoder_inputs.masks[1:], decoder_inputs.near[1:])
    )
    for together, alone in zip(both, single_class, strict=True):
        np.testing.assert_array_equal(together[..., 1:], alone)


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "d.safetensors"
    save_decoder(path, small(window=5))
    loaded = load_decoder("aligned", str(path))
    assert decoder_window("aligned", str(path)) == 5
    decoder_inputs = inputs(5)
    np.testing.assert_array_equal(
        loaded.refine(decoder_inputs), small(window=5).refine(decoder_inputs)
    )


def test_other_weights_have_another_digest(tmp_path):
    for seed in (0, 1):
        save_decoder(tmp_path / f"{seed}.safetensors", small(seed=seed))
    digests = {decoder_digest("aligned", str(tmp_path / f"{seed}.safetensors")) for seed in (0, 1)}
    assert len(digests) == 2


def test_the_decoder_that_comes_with_the_project_is_small_and_sees_seven_frames():
    decoder = load_decoder("aligned")
    assert decoder.window == 7
    assert sum(p.numel() for p in decoder.parameters()) <= 1_500_000


def test_weights_that_are_not_a_decoders_are_refused_with_their_reason(tmp_path):
    good = tmp_path / "good.safetensors"
    save_decoder(good, small())
    about = {
        "format": "steadymask.decoder",
        "kind": "aligned",
        "settings": json.dumps({"window": 7}),
    }
    state = small().state_dict()
    cases = {
        "cut": (good.read_bytes()[:-100], "not readable as weights"),
        "other": (None, "got other weights"),
        "deeplab": (None, "expected a aligned decoder of version 1, got 'deeplab'"),
        "future": (None, "got 'aligned' of version '2'"),
        "wide": (None, "not weights of the aligned decoder"),
        "odd": (None, "do not build"),
    }
    headers = {
        "other": {},
        "deeplab": about | {"kind": "deeplab", "version": "1"},
        "future": about | {"version": "2"},
        "wide": about | {"version": "1"},
        "odd": about | {"version": "1", "settings": json.dumps({"window": 7, "wings": 2})},
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if content is None:
            save_file(state, path, metadata=headers[name])
        else:
            path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            load_decoder("aligned", str(path))
        assert str(path) in str(caught.value)


def test_a_pickled_checkpoint_is_refused(tmp_path):
    path = tmp_path / "d.ckpt"
    torch.save(small(), path)
    with pytest.raises(InputError, match="may hold code"):
        load_decoder("aligned", str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.safetensors"):
        load_decoder("aligned", str(tmp_path / "gone.safetensors"))


def test_the_papers_decoder_comes_without_weights():
    with pytest.raises(InputError, match=r"refine\.weights: expected a file"):
        decoder_digest("deeplab", "")


def test_build_decoder_gives_the_kind_asked_for():
    assert isinstance(build_decoder("aligned", window=3), AlignedDecoder)
