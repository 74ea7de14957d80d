"""Networks that take boxes and points: a tiny SAM with random weights, and the file of prompts."""

import json

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.stage import Clip
from stages.models.segmenters.prompts import Prompt, label_names, prompts_at, read_prompts
from stages.segment import Classes, Segment

FRAME = np.random.default_rng(3).integers(0, 256, (40, 56, 3), np.uint8)
BOX = (2.0, 3.0, 20.0, 30.0)


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 32}
    config = transformers.SamConfig(
        vision_config={**small, "image_size": 64, "patch_size": 8, "output_channels": 16,
                       "global_attn_indexes": [0], "window_size": 4, "num_pos_feats": 8},
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8,
                               "image_embedding_size": 8, "mask_input_channels": 4},
        mask_decoder_config={**small, "iou_head_hidden_dim": 16},
    )  # fmt: skip
    pictures = transformers.SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sam")
    transformers.SamModel(config).save_pretrained(folder)
    transformers.SamProcessor(pictures).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return f"hf:{folder}"


def write_prompts(tmp_path, content):
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(box=BOX),
        Prompt(points=((5.0, 6.0), (30.0, 20.0)), signs=(1, 0)),
        Prompt(box=BOX, points=((9.0, 9.0),)),
    ],
)
def test_it_gives_what_transformers_itself_gives(sam, prompt):
    import torch
    import transformers

    folder = sam.removeprefix("hf:")
    network = transformers.SamModel.from_pretrained(folder).eval()
    processor = transformers.SamProcessor.from_pretrained(folder)
    told = {}
    if prompt.box:
        told["input_boxes"] = [[list(prompt.box)]]
    if prompt.points:
        told["input_points"] = [[list(map(list, prompt.points))]]
        told["input_labels"] = [[list(prompt.signs) or [1]]]
    inputs = processor(images=FRAME, return_tensors="pt", **told)
    floats = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
    sizes = floats.pop("original_sizes"), floats.pop("reshaped_input_sizes")
    with torch.no_grad():
        maps = network(**floats, multimask_output=False).pred_masks
    theirs = processor.image_processor.post_process_masks(maps, *sizes, binarize=False)[0][0, 0]
    ours = Segment(segmenter=sam).load_prompted()(FRAME, [[prompt]])
    assert ours.shape == (1, 40, 56)
    np.testing.assert_allclose(ours[0], theirs.sigmoid().numpy(), atol=1e-5)


def test_classes_are_the_labels_of_the_clips_prompts(sam, tmp_path):
    boxes = [{"label": "cat", "box": BOX}, {"label": "dog", "box": BOX, "frame": 4}]
    file = write_prompts(tmp_path, {"clip": boxes})
    settings = Segment(segmenter=sam, prompts=str(file)).model_dump(mode="json")
    known = Classes(settings=settings).run(Clip("clip", {}), {}, (0, -1), print)
    assert known["classes"] == [1, 2]
    assert known["class_names"] == {"1": "cat", "2": "dog"}
    assert known["prompts"][1]["frame"] == 4
    assert "licence mit" in known["mask_reading"]


def test_without_prompts_it_asks_for_them(sam, tmp_path):
    settings = Segment(segmenter=sam).model_dump(mode="json")
    with pytest.raises(ConfigError, match=r"segment\.prompts=FILE\.json"):
        Classes(settings=settings).run(Clip("clip", {}), {}, (0, -1), print)
    file = write_prompts(tmp_path, {"other": []})
    with pytest.raises(ConfigError, match=r"expected an entry 'clip', such as .*got other"):
        read_prompts(file, "clip")


def test_other_prompts_are_another_key(sam, tmp_path):
    before = Segment(segmenter=sam, prompts=str(write_prompts(tmp_path, {"clip": [1]})))
    digest = before.prompts_digest
    write_prompts(tmp_path, {"clip": [2]})
    assert Segment(segmenter=sam, prompts=before.prompts).prompts_digest != digest


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "expected a box .* or points"),
        ({"box": [5, 5, 2, 9]}, "left before right"),
        ({"points": [[1, 2]], "signs": [1, 0]}, "a sign, 1 inside or 0 outside, for each point"),
        ({"box": [1, 2, 3]}, "box.3"),
        ({"bx": 1}, "Extra inputs"),
    ],
)
def test_prompts_that_are_wrong_are_named(tmp_path, entry, message):
    file = write_prompts(tmp_path, {"clip": [entry]})
    with pytest.raises(ConfigError, match=rf"prompts\.json: clip\.0.*{message}"):
        read_prompts(file, "clip")


def test_the_last_prompt_of_a_label_holds():
    prompts = [
        Prompt(label="a", box=(0, 0, 1, 1)),
        Prompt(label="b", frame=3, points=((1, 1),)),
        Prompt(label="a", frame=5, box=(2, 2, 4, 4)),
        Prompt(label="a", frame=5, box=(6, 6, 8, 8)),
    ]
    assert label_names(prompts) == {1: "a", 2: "b"}
    assert [[len(some) for some in prompts_at(prompts, t)] for t in (0, 3, 5)] == [
        [1, 0], [1, 1], [2, 1],
    ]  # fmt: skip
    assert prompts[0].scaled(2, 3).box == (0, 0, 2, 3)
