import numpy as np
from PIL import Image

from stages.media.masks.palette import read_labels, write_indexed_png
from steadymask.cli.main import main
from tests.support.tiny_onnx import FLOAT, model

OWN = "import numpy as np\ndef moved(picture, mask): return np.roll(mask, 1, axis=1)\n"


def write_set(root):
    labels = np.zeros((6, 8), np.uint8)
    labels[2:4, 2:5] = 1
    for part in ("Annotations", "JPEGImages"):
        (root / part / "480p" / "a").mkdir(parents=True)
    write_indexed_png(root / "Annotations/480p/a/00000.png", labels)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(root / "JPEGImages/480p/a/00000.jpg")
    return labels


def test_a_function_of_ones_own_refines_a_set(tmp_path, monkeypatch, capsys):
    labels = write_set(tmp_path / "set")
    (tmp_path / "own_refiner.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert main(["refine-labels", "set", "--out", "out", "--refiner", "own_refiner:moved"]) == 0
    written = read_labels(tmp_path / "out/Annotations/480p/a/00000.png")
    np.testing.assert_array_equal(written, np.roll(labels, 1, axis=1))
    assert "a: 8.33% of the pixels changed" in capsys.readouterr().out


def test_an_onnx_model_refines_a_set(tmp_path, capsys):
    write_set(tmp_path / "set")
    nodes = [("ReduceMin", {"axes": [1], "keepdims": 1})]  # of a black picture and a mask: empty
    inputs = [(FLOAT, [1, 4, "rows", "columns"])]
    (tmp_path / "own.onnx").write_bytes(model(nodes, inputs))
    refiner = ["--refiner", str(tmp_path / "own.onnx")]
    assert (
        main(["refine-labels", str(tmp_path / "set"), "--out", str(tmp_path / "out"), *refiner])
        == 0
    )
    assert not read_labels(tmp_path / "out/Annotations/480p/a/00000.png").any()
    assert "a: 12.50% of the pixels changed" in capsys.readouterr().out


def test_what_cannot_be_meant_is_refused(tmp_path, capsys):
    write_set(tmp_path / "set")
    inside = str(tmp_path / "set/out")
    for arguments, message in (
        ([str(tmp_path / "set"), "--out", str(tmp_path / "set")], "expected a new or empty folder"),
        ([str(tmp_path / "set"), "--out", inside], "expected a folder outside SET"),
    ):
        assert main(["refine-labels", *arguments]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["refine-labels", str(tmp_path / "empty"), "--out", str(tmp_path / "new")]) == 1
    assert "expected a label set of layout davis" in capsys.readouterr().err
