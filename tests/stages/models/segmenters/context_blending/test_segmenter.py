import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import ConfigError, InputError
from stages.media.masks.palette import read_labels
from stages.models.segmenters.context_blending.network import load_network, save_network
from stages.models.segmenters.load import frames_back, load_segmenter, segmenter_digest
from steadymask.cli.main import main
from tests.support.small_library import scene, write_clip
from tests.support.video_samples import write_network

FRAMES = [scene(t)[0] for t in range(14)]


def segmenter(path, **settings):
    write_network(path, **settings)
    load_segmenter.cache_clear()
    return load_segmenter(f"{settings.get('model', 'tcb')}:{path}")


@pytest.mark.parametrize("memory", [0, 12])
@pytest.mark.parametrize("context", [("ppm",), ("ocr",), ("ppm", "ocr")])
def test_frames_together_have_the_masks_that_each_has_with_its_past(tmp_path, context, memory):
    if memory and "ocr" not in context:
        return
    network = segmenter(tmp_path / "n.safetensors", context=context, memory=memory)
    assert network.reach == max(9, memory)
    together = network.segment_after(FRAMES, 0)
    for t in range(len(FRAMES)):
        start = max(t - network.reach, 0)
        (alone,) = network.segment_after(FRAMES[start : t + 1], t - start)
        assert np.array_equal(alone, together[t])


def test_masks_are_those_of_the_network_on_the_frames_3_6_and_9_before(tmp_path):
    path = tmp_path / "n.safetensors"
    masks = segmenter(path).segment_after(FRAMES, 12)[0]
    clip = np.stack([FRAMES[t] for t in (12, 9, 6, 3)]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        scores, _ = load_network(path).eval()(torch.from_numpy(clip)[None].float() / 255)
    agree = scores[0].argmax(dim=0).numpy() == np.concatenate(
        [1 - masks.sum(axis=0, keepdims=True), masks]
    ).argmax(axis=0)
    assert agree.mean() > 0.97  # scores are enlarged before the softmax in training, after it here


def test_the_first_frame_of_a_shot_stands_for_those_before_it(tmp_path):
    network = segmenter(tmp_path / "n.safetensors")
    still = [FRAMES[0]] * 9 + FRAMES[:5]
    for after, before in zip(network.segment_after(still, 9), network.segment_after(FRAMES, 0)[:5],
                             strict=True):  # fmt: skip
        assert np.array_equal(after, before)


def test_the_past_counts(tmp_path):
    network = segmenter(tmp_path / "n.safetensors")
    moving = network.segment_after(FRAMES, 13)[0]
    assert not np.array_equal(moving, network(FRAMES[13]))


def test_classes_are_chosen_in_a_video_network_as_in_others(tmp_path):
    path = tmp_path / "n.safetensors"
    both = segmenter(path).segment_after(FRAMES, 10)
    chosen = load_segmenter(f"tcb:{path}", classes=(7,)).segment_after(FRAMES, 10)
    assert all(np.array_equal(a[1:], b) for a, b in zip(both, chosen, strict=True))


def test_a_per_frame_network_looks_at_no_other_frame(tmp_path):
    path = tmp_path / "n.safetensors"
    network = segmenter(path, model="per_frame")
    assert network.reach == frames_back(f"per_frame:{path}") == 0
    assert network(FRAMES[0]).shape == (2, *FRAMES[0].shape[:2])


def test_other_weights_or_settings_are_another_key(tmp_path):
    digests = set()
    for memory in (0, 9, 12):
        write_network(tmp_path / "n.safetensors", memory=memory)
        digests.add(segmenter_digest(f"tcb:{tmp_path / 'n.safetensors'}"))
    assert len(digests) == 3


def test_the_prefix_must_be_that_of_the_file(tmp_path):
    write_network(tmp_path / "n.safetensors")
    with pytest.raises(ConfigError, match="got one of `train tcb`: use --segmenter tcb:"):
        segmenter_digest(f"per_frame:{tmp_path / 'n.safetensors'}")


@pytest.mark.parametrize("content", [b"", b"\x10", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, content):
    path = tmp_path / "n.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"n\.safetensors: expected a \.safetensors file"):
        segmenter_digest(f"tcb:{path}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent"):
        frames_back(f"tcb:{tmp_path / 'absent.safetensors'}")


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="expected a video network of version 1"):
        segmenter_digest(f"tcb:{path}")


def test_weights_of_another_number_of_classes_are_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    about = write_network(path, class_ids=(1, 2, 3)).settings.metadata()
    write_network(path)
    save_file(load_file(path), path, metadata=about)
    with pytest.raises(InputError, match="not weights of tcb with 4 classes"):
        load_network(path)


def test_several_scales_are_refused_with_a_network_that_looks_back(tmp_path):
    path = tmp_path / "n.safetensors"
    write_network(path)
    with pytest.raises(ConfigError, match="looks at 9 frames back"):
        load_segmenter(f"tcb:{path}", flip=True)


def test_its_preset_takes_a_network_whose_class_fills_the_picture(tmp_path, capsys):
    write_clip(tmp_path, "a", 4)
    path = tmp_path / "tcb.safetensors"
    network = write_network(path)
    network.head[-1].bias.data[1] = 1e4
    save_network(path, network)
    command = [str(tmp_path / "footage"), "--segmenter", f"tcb:{path}", "--executor", "inline"]
    command += ["--out", str(tmp_path / "out"), "--set", "report.enabled=false"]
    assert main(command) != 0
    assert "segment.check=false" in capsys.readouterr().err
    assert main([*command, "--config", "tcb"]) == 0
    pictures = sorted((tmp_path / "out/a/masks").glob("*.png"))
    assert len(pictures) == 4
    assert {int(v) for picture in pictures for v in np.unique(read_labels(picture))} == {3}
