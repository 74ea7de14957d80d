import json

import numpy as np
import pytest
from PIL import Image

from stages.media.masks.palette import read_labels, write_indexed_png
from stages.metrics.temporal import StabilityRate
from steadymask.cli.main import main


def perturb(*arguments):
    return main(["perturb", *map(str, arguments)])


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "i").mkdir()
    (tmp_path / "m").mkdir()
    for name in ("x", "y"):
        picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "i" / f"{name}.jpg")
        labels = np.zeros((48, 64), np.uint8)
        labels[12:36, 16:48] = 5
        write_indexed_png(tmp_path / "m" / f"{name}.png", labels)
    return tmp_path


def test_every_kind_and_severity_is_a_clip_with_frames_labels_and_flow(images):
    few = ["--severities", 2, 5, "--frames", 4]
    assert perturb(images / "i", "--masks", images / "m", "--to", images / "o", *few) == 0
    record = json.loads((images / "o" / "perturbation.json").read_text())
    assert len(record["clips"]) == 2 * 4 * 2
    for name, entry in record["clips"].items():
        assert len(list((images / "o" / "JPEGImages" / name).iterdir())) == 4
        with np.load(images / "o" / "flow" / f"{name}.npz") as flow:
            assert flow["forward"].shape == flow["backward"].shape == (3, 2, 48, 64)
            assert flow["seen"].shape == flow["seen_back"].shape == (3, 48, 64)
        assert entry["kind"] in name


def test_true_labels_on_exact_flow_are_stable_but_for_rounding(images):
    perturb(images / "i", "--masks", images / "m", "--to", images / "o", "--frames", 5)
    for path in (images / "o" / "flow").iterdir():
        labels = [
            read_labels(p) for p in sorted((images / "o" / "Annotations" / path.stem).iterdir())
        ]
        total = StabilityRate()
        with np.load(path) as flow:
            for t in range(1, 5):
                back, visible = flow["backward"][t - 1], flow["seen_back"][t - 1]
                total.add(labels[t], labels[t - 1], back, visible)
        if "occlusion" in path.stem:
            assert total.value() == 1
        else:
            assert total.value() > 0.97


def test_the_same_seed_gives_the_same_bytes(images):
    few = ["--kinds", "rotation", "--severities", 3, "--frames", 3]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["--masks", images / "m", "--to", images / name, "--seed", seed]
        perturb(images / "i", *arguments, *few)
    frame = "JPEGImages/x-rotation-3/00002.png"
    first, second, other = ((images / name / frame).read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_without_images_it_takes_photographs_that_are_there(tmp_path):
    few = ["--kinds", "translation", "--severities", 1, "--frames", 2]
    assert perturb("--to", tmp_path / "o", *few) == 0
    labels = read_labels(tmp_path / "o/Annotations/chelsea-translation-1/00000.png")
    assert 0.05 < (labels > 0).mean() < 0.9


def test_what_cannot_start_says_why(images, capsys):
    def refused(*arguments, to="o"):
        assert perturb(*arguments, "--to", images / to) == 2
        return capsys.readouterr().err

    pictures, masks = images / "i", images / "m"
    assert "together, or neither" in refused(pictures)
    assert "--frames 1: expected at least 2" in refused("--frames", 1)
    assert "none: expected a folder" in refused(images / "none", "--masks", masks)
    assert "expected a new or empty folder" in refused(pictures, "--masks", masks, to="i")
    (masks / "y.png").unlink()
    assert "y.png: expected the labels of y.jpg" in refused(pictures, "--masks", masks)
    write_indexed_png(masks / "x.png", np.zeros((10, 20), np.uint8))
    message = refused(pictures, "--masks", masks, to="p")
    assert "expected 64 x 48 as x.jpg, got 20 x 10" in message
    (images / "empty").mkdir()
    assert "expected pictures" in refused(images / "empty", "--masks", masks, to="q")
    with pytest.raises(SystemExit):
        perturb("--to", images / "r", "--kinds", "wobble")
