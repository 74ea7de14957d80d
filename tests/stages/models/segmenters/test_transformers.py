"""Small networks of transformers with random weights; rembg with a tiny model."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.load import load_segmenter, segmenter_digest
from tests.support.tiny_onnx import FLOAT, model

RNG = np.random.default_rng(7)
FRAMES = [RNG.integers(0, 256, (40, 56, 3), np.uint8) for _ in range(5)]
NAMES = {0: "background", 1: "cat", 2: "dog"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Return a function that writes a small network of a kind; each is made once."""
    transformers = pytest.importorskip("transformers")
    import torch

    folders = {}

    def write(kind, names=NAMES):
        key = kind, tuple(names.values())
        if key not in folders:
            folder = folders[key] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(0)
            network, processor = MAKERS[kind](transformers, names)
            network.save_pretrained(folder)
            processor.save_pretrained(folder)
            (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
        return f"hf:{folders[key]}"

    return write


def segformer(transformers, names):
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
        patch_sizes=[3, 3], strides=[2, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
        decoder_hidden_size=16, id2label=names,
    )  # fmt: skip
    network = transformers.SegformerForSemanticSegmentation(config)
    return network, transformers.SegformerImageProcessor(size={"height": 64, "width": 96})


def maskformer(transformers, names):
    swin = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=swin, hidden_dim=32, feature_size=32, mask_feature_size=32,
        encoder_feedforward_dim=32, dim_feedforward=32, encoder_layers=1, decoder_layers=2,
        num_attention_heads=2, num_queries=6, id2label=names,
    )  # fmt: skip
    network = transformers.Mask2FormerForUniversalSegmentation(config)
    processor = transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 60, "longest_edge": 120}, size_divisor=32
    )
    return network, processor


MAKERS = {"segformer": segformer, "mask2former": maskformer}


@pytest.mark.parametrize("kind", MAKERS)
def test_masks_are_probabilities_of_named_classes(networks, kind):
    net = load_segmenter(networks(kind))
    assert net.class_ids == (1, 2)
    assert dict(net.class_names) == {1: "cat", 2: "dog"}
    assert "licence apache-2.0" in net.notes[0]
    soft = net(FRAMES[0])
    assert soft.shape == (2, 40, 56)
    assert soft.dtype == np.float32
    assert 0 <= soft.min() < soft.max() <= 1
    assert soft.sum(axis=0).max() <= 1 + 1e-6


def test_a_semantic_network_gives_what_transformers_itself_gives(networks):
    import torch
    import transformers

    spec = networks("segformer")
    folder = spec.removeprefix("hf:")
    network = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    processor = transformers.SegformerImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        answer = network(**processor(images=FRAMES[0], return_tensors="pt"))
    theirs = processor.post_process_semantic_segmentation(answer, [(40, 56)])[0].numpy()
    soft = load_segmenter(spec)(FRAMES[0])
    ours = np.concatenate([1 - soft.sum(axis=0, keepdims=True), soft]).argmax(axis=0)
    assert (ours == theirs).mean() > 0.99


def test_a_network_of_queries_gives_what_transformers_itself_gives(networks):
    import torch
    import transformers

    spec = networks("mask2former")
    folder = spec.removeprefix("hf:")
    network = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    processor = transformers.Mask2FormerImageProcessor.from_pretrained(folder, size_divisor=0)
    picture = np.asarray(RNG.integers(0, 256, (64, 96, 3)), np.uint8)  # a shape without padding
    with torch.no_grad():
        answer = network(pixel_values=processor(images=picture, return_tensors="pt").pixel_values)
    chance = answer.class_queries_logits.softmax(-1)[0, :, :-1].T
    small = (chance @ answer.masks_queries_logits.sigmoid()[0].flatten(1)).clamp(0, 1)
    small = small.reshape(3, *answer.masks_queries_logits.shape[-2:]).numpy()
    soft = load_segmenter(spec)(picture)
    assert soft.shape == (2, 64, 96)
    assert abs(soft.mean() - (small[1:] / np.maximum(small[1:].sum(0), 1)).mean()) < 0.02


def test_without_a_background_every_class_is_foreground(networks):
    net = load_segmenter(networks("segformer", {0: "wall", 1: "sky", 2: "tree"}))
    assert net.class_ids == (1, 2, 3)
    assert dict(net.class_names) == {1: "wall", 2: "sky", 3: "tree"}
    np.testing.assert_allclose(net(FRAMES[0]).sum(axis=0), 1, atol=1e-5)


def test_masks_do_not_depend_on_how_frames_fall_into_batches(networks):
    net = load_segmenter(networks("segformer"), batch=3)
    whole = net.segment_all(FRAMES)
    apart = [*net.segment_all(FRAMES[:2]), *net.segment_all(FRAMES[2:])]
    np.testing.assert_array_equal(whole, apart)
    alone = load_segmenter(networks("segformer")).segment_all(FRAMES)
    np.testing.assert_allclose(whole, alone, atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_nearly_the_same(networks, precision):
    full = load_segmenter(networks("segformer"))(FRAMES[0])
    half = load_segmenter(networks("segformer"), precision=precision)(FRAMES[0])
    assert 0 < np.abs(full - half).max() < 0.05


def test_classes_may_be_chosen_and_pictures_seen_smaller(networks):
    net = load_segmenter(networks("segformer"), classes=(2,), scales=(0.5, 1.0), flip=True)
    assert net.class_ids == (2,)
    assert net(FRAMES[0]).shape == (1, 40, 56)


def test_other_networks_and_pickles_are_refused(networks, tmp_path):
    spec = networks("segformer")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    config = {"model_type": "bert", "architectures": ["BertModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"sees pictures alone .* got BertModel"):
        load_segmenter(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="others could run code and are not loaded"):
        load_segmenter(f"hf:{tmp_path}")
    assert segmenter_digest(spec) == segmenter_digest(spec)


def test_what_is_not_here_and_cannot_be_downloaded_says_so(monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="it is not here and cannot be downloaded"):
        load_segmenter("hf:nobody/nothing")


def test_rembg_gives_one_foreground(tmp_path, monkeypatch):
    pytest.importorskip("rembg")
    grey = ("ReduceMean", {"axes": [1], "keepdims": 1})
    path = tmp_path / "models" / "u2netp" / "u2netp.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model([grey], [(FLOAT, (1, 3, 320, 320))]))
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    net = load_segmenter("rembg:u2netp")
    assert net.class_ids == (1,)
    assert net.notes == ("rembg:u2netp: licence Apache-2.0",)
    frame = np.zeros((40, 56, 3), np.uint8)
    frame[:, 28:] = 255
    soft = net(frame)
    assert soft.shape == (1, 40, 56)
    assert soft[0, :, :26].max() < 0.05
    assert soft[0, :, 30:].min() > 0.95
    assert len(segmenter_digest("rembg:u2netp")) == 64


def test_models_of_rembg_are_named_and_none_sends_pictures_away():
    pytest.importorskip("rembg")
    with pytest.raises(ConfigError, match=r"expected a model of rembg: .*u2net"):
        load_segmenter("rembg:nothing")
    with pytest.raises(ConfigError, match="sends the pictures to a service"):
        load_segmenter("rembg:withoutbg")


def test_several_threads_may_be_the_first_to_need_the_package():
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from stages.models.segmenters.transformers import import_transformers\n"
        "def ask(k): return import_transformers('hf:x').AutoConfig.__name__\n"
        "with ThreadPoolExecutor(4) as pool: print(set(pool.map(ask, range(4))))\n"
    )
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'AutoConfig'}"
