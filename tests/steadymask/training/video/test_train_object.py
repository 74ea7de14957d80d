import csv

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from stages.models.segmenters.spatiotemporal.network import load_spatiotemporal
from stages.ops.ignored_label import IGNORE
from steadymask.cli.main import main
from steadymask.training.video.clip_samples import ClipSamples, LabelSetFrames
from steadymask.training.video.object_samples import (
    AsOneObject,
    GeneratedClips,
    scene_pictures,
)
from tests.support.object_networks import write_object_network
from tests.support.video_samples import write_label_set

SHORT = ("--samples", "4", "--batch", "2", "--side", "48")


def command(root, data, *more):
    return ["train", "stcnn", str(data), "--out", str(root / "out"), *SHORT, *more]


def rows(root):
    with (root / "out/losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(root):
    return load_spatiotemporal(root / "out/stcnn.safetensors").state_dict()


def same(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


def test_generated_scenes_train_a_network(tmp_path, capsys):
    assert main(command(tmp_path, "generated", "--epochs", "1")) == 0
    assert f"trained: {tmp_path / 'out/stcnn.safetensors'}" in capsys.readouterr().out
    assert {"held_out_total", "held_out_frame", "held_out_discriminator"} <= set(rows(tmp_path)[0])


@pytest.mark.parametrize("context", ["temporal", "attention", "none", "attention,temporal"])
def test_parts_are_chosen(tmp_path, context):
    assert main(command(tmp_path, "generated", "--epochs", "1", "--context", context)) == 0
    parts = load_spatiotemporal(tmp_path / "out/stcnn.safetensors").settings.context
    wanted = set() if context == "none" else set(context.split(","))
    assert set(parts) == wanted
    assert ("train_frame" in rows(tmp_path)[0]) == ("temporal" in wanted)


def test_stopped_after_an_epoch_it_goes_on_to_the_same_weights(tmp_path, monkeypatch, capsys):
    from steadymask.training import loop

    started = command(tmp_path, "generated", "--epochs", "3", "--patience", "9")
    assert main(started) == 0
    whole, table = weights(tmp_path), rows(tmp_path)
    (tmp_path / "out").rename(tmp_path / "whole")

    def stop(*_):
        raise KeyboardInterrupt

    plot = loop._plot_losses
    monkeypatch.setattr(loop, "_plot_losses", lambda *a: stop() if len(a[0]) > 1 else plot(*a))
    assert main(started) == 130
    monkeypatch.setattr(loop, "_plot_losses", plot)
    assert not (tmp_path / "out/stcnn.safetensors").exists()
    assert main(started) == 0
    assert "train: going on from" in capsys.readouterr().out
    assert rows(tmp_path) == table
    assert same(whole, weights(tmp_path))


def test_it_learns_the_object_of_a_set_and_to_predict_its_frames(tmp_path):
    root = write_label_set(tmp_path / "set")
    more = ["--epochs", "8", "--samples", "48", "--batch", "4", "--side", "64"]
    assert main([*command(tmp_path, root), *more, "--patience", "99"]) == 0
    first, *_, last = rows(tmp_path)
    assert float(last["train_total"]) < 0.5 * float(first["train_total"])
    assert float(last["train_frame"]) < 0.5 * float(first["train_frame"])
    network = load_spatiotemporal(tmp_path / "out/stcnn.safetensors").eval()
    frames = LabelSetFrames(root)
    samples = AsOneObject(
        ClipSamples(
            frames, frames.held_out, numbers=range(4), side=64, dilations=(1, 2, 3, 4), seed=0,
            varied=False,
        )
    )  # fmt: skip
    both = either = 0
    for k in range(4):
        with torch.no_grad():
            mask = network(samples[k]["frames"][None])[0].argmax(dim=0) == 1
        true = samples[k]["labels"] == 1
        both += int((mask & true).sum())
        either += int(((mask | true) & (samples[k]["labels"] != IGNORE)).sum())
    assert both / either > 0.5


def test_a_scene_is_the_same_whenever_it_is_drawn_and_ends_with_its_labels():
    pictures = scene_pictures(held_out=False)
    many = GeneratedClips(pictures, numbers=range(3), side=40, seed=5)
    late = GeneratedClips(pictures, numbers=range(2, 3), side=40, seed=5)
    assert len(many) == 3
    for name, value in many[2].items():
        assert torch.equal(value, late[0][name])
    assert many[0]["frames"].shape == (5, 3, 40, 40)
    assert set(many[0]["labels"].unique().tolist()) <= {0, 1}


def test_held_out_scenes_are_made_of_photographs_of_their_own():
    shown = [{p.tobytes() for p in scene_pictures(held_out=held)} for held in (False, True)]
    assert shown[0]
    assert shown[1]
    assert not shown[0] & shown[1]


def test_all_labels_of_a_set_are_one_object(tmp_path):
    frames = LabelSetFrames(write_label_set(tmp_path / "set"), ignored=(3,))
    samples = ClipSamples(
        frames, frames.train, numbers=range(1), side=64, dilations=(1,), seed=0, varied=False
    )
    before, after = samples[0]["labels"].numpy(), AsOneObject(samples)[0]["labels"].numpy()
    assert set(np.unique(after).tolist()) == {0, 1, IGNORE}
    assert np.array_equal(after == IGNORE, before == IGNORE)
    assert np.array_equal(after == 1, (before > 0) & (before != IGNORE))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--context", "ppm"], "--context ppm: expected some of temporal, attention, or none"),
        (["--dilations", "3"], "expected no --dilations: leave it out"),
        (["--memory"], "expected no --memory"),
        (["--backbone", "mobilenet_v3_large"], "expected no --backbone"),
        (["--classes", "3"], "expected no --classes"),
        (["--side", "16"], "--side 16: expected 32 pixels or more"),
        (["--batch", "1"], "--batch 1: expected 2 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, capsys, more, message):
    assert main(command(tmp_path, "generated", *more)) == ConfigError.exit_code
    assert message in capsys.readouterr().err


def test_weights_are_gone_on_from_if_they_are_of_the_same_parts(tmp_path, capsys):
    path = tmp_path / "start.safetensors"
    start = write_object_network(path, width=16).state_dict()
    more = ["--weights", str(path), "--epochs", "1", "--rate", "1e-12"]
    assert main(command(tmp_path, "generated", *more)) == 0
    name = "spatial.final.weight"
    torch.testing.assert_close(weights(tmp_path)[name], start[name], atol=1e-6, rtol=0)
    assert main(command(tmp_path, "generated", *more, "--context", "none")) == 2
    assert "expected a network with --context none, got temporal,attention" in (
        capsys.readouterr().err
    )
