import csv
import json

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, InputError
from stages.media.masks.palette import read_labels, write_indexed_png
from stages.models.segmenters.context_blending.network import load_network
from stages.models.segmenters.context_blending.settings import read_settings
from steadymask.cli.main import main
from steadymask.training.video.clip_samples import ClipSamples, LabelSetFrames
from tests.support.small_library import write_clip
from tests.support.video_samples import write_label_set, write_network, write_set_again

SHORT = ("--samples", "4", "--batch", "2", "--side", "48")


@pytest.fixture
def label_set(tmp_path):
    return write_label_set(tmp_path / "set")


def command(label_set, *more, model="tcb"):
    out = str(label_set.parent / "out")
    return ["train", model, str(label_set), "--out", out, *SHORT, *more]


def rows(label_set):
    with (label_set.parent / "out/losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(label_set, model="tcb"):
    return load_network(label_set.parent / f"out/{model}.safetensors").state_dict()


def same(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_network_that_is_written_is_the_segmenter_of_a_run(label_set, capsys):
    more = ["--epochs", "2", "--dilations", "1,2", "--memory", "4"]
    assert main(command(label_set, *more)) == 0
    path = label_set.parent / "out/tcb.safetensors"
    assert capsys.readouterr().out.endswith(f"trained: {path}\nuse it: --segmenter tcb:{path}\n")
    settings = read_settings(path)
    assert (settings.class_ids, settings.dilations, settings.memory) == ((3, 7), (1, 2), 4)
    write_clip(label_set.parent, "c", 6)
    again = [str(label_set.parent / "footage"), "--segmenter", f"tcb:{path}"]
    again += ["--out", str(label_set.parent / "again"), "--executor", "inline"]
    assert main([*again, "--set=report.enabled=false", "--set=segment.check=false"]) == 0
    pictures = sorted((label_set.parent / "again/c/masks").glob("*.png"))
    assert len(pictures) == 6
    assert {int(v) for path in pictures for v in np.unique(read_labels(path))} <= {0, 3, 7}


def test_the_total_is_the_head_and_four_tenths_of_the_auxiliary_head(label_set):
    assert main(command(label_set, "--epochs", "1")) == 0
    (row,) = rows(label_set)
    total = float(row["train_labels"]) + 0.4 * float(row["train_auxiliary"])
    assert float(row["train_total"]) == pytest.approx(total, abs=1e-5)


def test_stopped_after_an_epoch_it_goes_on_to_the_same_weights(label_set, monkeypatch, capsys):
    from steadymask.training import loop

    assert main(command(label_set, "--epochs", "3", "--patience", "9")) == 0
    whole, table = weights(label_set), rows(label_set)
    (label_set.parent / "out").rename(label_set.parent / "whole")

    def stop(*_):
        raise KeyboardInterrupt

    plot = loop._plot_losses
    monkeypatch.setattr(loop, "_plot_losses", lambda *a: stop() if len(a[0]) > 1 else plot(*a))
    assert main(command(label_set, "--epochs", "3", "--patience", "9")) == 130
    monkeypatch.setattr(loop, "_plot_losses", plot)
    assert not (label_set.parent / "out/tcb.safetensors").exists()
    assert main(command(label_set, "--epochs", "3", "--patience", "9")) == 0
    assert "train: going on from" in capsys.readouterr().out
    assert rows(label_set) == table
    assert same(whole, weights(label_set))


@pytest.mark.parametrize("context", ["none", "ppm", "ocr"])
def test_a_per_frame_network_is_trained_by_the_same_door(label_set, context):
    more = ["--epochs", "1", "--context", context]
    assert main(command(label_set, *more, model="per_frame")) == 0
    settings = read_settings(label_set.parent / "out/per_frame.safetensors")
    assert settings.reach == 0
    assert settings.context == (() if context == "none" else (context,))


def test_clips_of_the_sets_own_list_are_held_out(tmp_path):
    frames = LabelSetFrames(write_label_set(tmp_path / "set", held_out=("b",)))
    assert {frame.clip for frame in frames.train} == {0}
    assert {frame.clip for frame in frames.held_out} == {1}


def test_a_coco_set_trains_the_network_that_the_same_set_of_layout_davis_does(tmp_path):
    davis = write_label_set(tmp_path / "davis", held_out=("b",))
    coco = write_set_again(davis, tmp_path / "coco", "coco")
    trained = []
    for root in (davis, coco):
        out = tmp_path / f"{root.name}-out"
        command = ["train", "per_frame", str(root), "--out", str(out), "--epochs", "1"]
        assert main([*command, *SHORT]) == 0
        trained.append(load_network(out / "per_frame.safetensors").state_dict())
    assert same(*trained)


def test_without_a_list_the_last_frames_are_held_out(label_set):
    frames = LabelSetFrames(label_set)
    assert [frame.number for frame in frames.held_out] == [6, 7, 6, 7]
    assert len(frames.train) == 12


def test_a_sample_is_the_same_whenever_it_is_drawn(label_set):
    frames = LabelSetFrames(label_set)
    how = {"side": 40, "dilations": (1, 2), "seed": 3, "varied": True}
    many = ClipSamples(frames, frames.train, numbers=range(6), **how)
    late = ClipSamples(frames, frames.train, numbers=range(4, 6), **how)
    for name, value in many[5].items():
        assert torch.equal(value, late[1][name])
    assert many[0]["frames"].shape == (3, 3, 40, 40)


def test_a_middle_crop_is_of_the_frame_and_those_before_it(label_set):
    frames = LabelSetFrames(label_set)
    place = frames.train[5]
    sample = ClipSamples(
        frames, [place], numbers=range(1), side=200, dilations=(3,), seed=0, varied=False
    )[0]
    rows_, columns = frames.picture(place).shape[:2]
    for k, back in enumerate((0, 3)):
        shown = sample["frames"][k, :, :rows_, :columns].permute(1, 2, 0).numpy() * 255
        assert np.array_equal(np.rint(shown), frames.picture(place, back))
    assert (sample["labels"][rows_:] == 255).all()
    assert set(sample["labels"].unique().tolist()) <= {0, 1, 2, 255}


def test_ignored_labels_count_for_nothing(label_set):
    frames = LabelSetFrames(label_set, ignored=(0,))
    labels = frames.labels(frames.train[0], frames.picture(frames.train[0]).shape[:2])
    assert set(np.unique(labels).tolist()) == {1, 2, 255}


def test_a_class_that_never_occurs_is_refused(label_set):
    with pytest.raises(ConfigError, match=r"--classes 9: expected labels that occur .*\[3, 7\]"):
        LabelSetFrames(label_set, classes=(3, 9))


def test_a_class_of_held_out_frames_alone_is_said(label_set):
    path = label_set / "Annotations/480p/a/00007.png"
    labels = read_labels(path).astype(np.uint8)
    labels[:4] = 5
    write_indexed_png(path, labels)
    frames = LabelSetFrames(label_set)
    assert frames.class_ids == (3, 7)
    assert frames.warnings[0].startswith("labels [5] occur in held-out frames alone")


def test_weights_of_other_classes_are_refused(label_set, capsys):
    path = label_set.parent / "start.safetensors"
    write_network(path, class_ids=(1, 2, 3))
    assert main(command(label_set, "--weights", str(path))) == InputError.exit_code
    error = capsys.readouterr().err
    assert "expected weights for the labels (3, 7) as the set has, got some for (1, 2, 3)" in error
    assert "leave --weights out" in error


def test_weights_of_the_same_network_are_gone_on_from(label_set):
    path = label_set.parent / "start.safetensors"
    write_network(path, sharp=2.0)
    assert main(command(label_set, "--weights", str(path), "--epochs", "1")) == 0
    task = json.loads((label_set.parent / "out/task.json").read_text())
    (label_set.parent / "out").rename(label_set.parent / "first")
    assert main(command(label_set, "--epochs", "1")) == 0
    assert json.loads((label_set.parent / "out/task.json").read_text()) != task


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("tcb", ["--batch", "1"], "--batch 1: expected 2 or more"),
        ("tcb", ["--epochs", "0"], "--epochs 0: expected a number above 0"),
        ("tcb", ["--dilations", "3,x"], "--dilations '3,x': expected different whole numbers"),
        ("tcb", ["--dilations", "0,3"], "expected frames back, 1 or more"),
        ("tcb", ["--context", "none"], "use train per_frame"),
        ("tcb", ["--context", "psp"], "--context psp: expected some of ppm, ocr"),
        ("tcb", ["--context", "ppm", "--memory"], "expected --context with ocr"),
        ("per_frame", ["--dilations", "3"], "use train tcb"),
        ("tcb", ["--backbone", "vgg"], "expected one of small, mobilenet_v3_large"),
    ],
)
def test_what_cannot_be_meant_is_refused(label_set, capsys, model, more, message):
    assert main(command(label_set, *more, model=model)) == ConfigError.exit_code
    assert message in capsys.readouterr().err


def test_mobilenet_is_a_backbone_too(label_set):
    more = ["--epochs", "1", "--backbone", "mobilenet_v3_large", "--backbone-weights", "random"]
    assert main(command(label_set, *more)) == 0
