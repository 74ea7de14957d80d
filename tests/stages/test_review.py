"""The frames that a run lists for review, made by the real pipeline."""

import csv
import json

import numpy as np
import pytest

from stages.media.masks.palette import read_labels, write_indexed_png
from steadymask.cli.run import main
from tests.support.small_library import write_clip

BAD = range(10, 13)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A clip with true masks but for three frames, in which the disc is another place."""
    root = tmp_path_factory.mktemp("library")
    truth = write_clip(root, "=odd, name", 24, size=(120, 160))
    for t, path in enumerate(sorted((root / "masks" / "=odd, name").iterdir())):
        labels = truth[t].astype(np.uint16)
        if t in BAD:
            labels[labels == 3] = 0
            labels[5:47, 100:143] = 3
        write_indexed_png(path, labels)
    return root


def run(root, out, *more, method="none"):
    status = main(
        [
            *(str(root / "footage"), "--masks", str(root / "masks"), "--out", str(out)),
            *("--executor", "inline", "--workers", "1", "--set", f"refine.method={method}"),
            *("--set", "smooth.method=none", "--set", "smooth.votes=0", *more),
        ]
    )
    assert status == 0
    return out


def test_trust_is_in_the_review_of_the_default_and_nowhere_else(root, tmp_path):
    out = run(root, tmp_path, method="trust")
    review = json.loads((out / "=odd, name" / "review.json").read_text())
    assert list(review["trust"]) == list(review["risk"])
    disc = {kind: np.array(values) for kind, values in review["trust"]["3"].items()}
    assert set(np.argsort(-disc["wrong"])[:3]) == set(BAD)
    assert disc["wrong"][list(BAD)].min() > 0.5
    assert (disc["wrong"] <= disc["untrusted"]).all()
    page = next(p for p in (out / "report").glob("*.html") if p.name != "index.html").read_text()
    assert '"untrusted"' in page
    assert "what is trust?" in page
    run(root, tmp_path)
    assert json.loads((out / "=odd, name" / "review.json").read_text())["trust"] == {}
    page = next(p for p in (out / "report").glob("*.html") if p.name != "index.html").read_text()
    assert "what is trust?" not in page


def test_the_bad_frames_are_those_at_the_highest_risk_and_listed_with_a_reason(root, tmp_path):
    out = run(root, tmp_path, "--set", "review.least_risk=0")
    review = json.loads((out / "=odd, name" / "review.json").read_text())
    risk = np.array(review["risk"]["3"])
    assert len(risk) == 24
    assert set(np.argsort(-risk)[:3]) == set(BAD)
    with (out / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", "frame", "first", "last", "object", "risk", "reason"]
    assert {row["clip"] for row in rows} == {"=odd, name"}
    assert [float(row["risk"]) for row in rows] == sorted(float(r["risk"]) for r in rows)[::-1]
    disc = next(row for row in rows if row["object"] == "3")
    assert int(disc["frame"]) in BAD
    assert "disagrees with" in disc["reason"]
    scores = json.loads((out / "metrics.json").read_text())["clips"]["=odd, name"]
    assert len(scores["review"]) == len(rows)
    page = (out / "report" / "index.html").read_text()
    assert "review.csv" in page
    assert disc["reason"] in page
    assert read_labels(next((out / "=odd, name" / "masks").iterdir())) is not None


def test_an_inverted_key_frame_is_listed_and_kept(root, tmp_path):
    labels = read_labels(sorted((root / "masks" / "=odd, name").iterdir())[4])
    inverted = np.where(labels == 3, 0, 3).astype(np.uint16)
    keys = tmp_path / "keys" / "=odd, name"
    keys.mkdir(parents=True)
    write_indexed_png(keys / "00004.png", inverted)
    options = ("--keyframes", str(keys.parent), "--set", "segment.first=0")
    out = run(root, tmp_path / "out", *options, method="trust")
    with (out / "review.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "fits the masks on neither" in row["reason"]]
    assert [(row["frame"], row["object"]) for row in rows] == [("4", "3")]
    kept = read_labels(sorted((out / "=odd, name" / "masks").iterdir())[4])
    np.testing.assert_array_equal(kept, inverted)


def test_switched_off_there_is_no_list(root, tmp_path):
    out = run(root, tmp_path)
    assert (out / "review.csv").exists()
    run(root, tmp_path, "--set", "review.enabled=false")
    assert not (out / "review.csv").exists()
    assert "review.csv" not in (out / "report" / "index.html").read_text()
    assert json.loads((out / "metrics.json").read_text())["clips"]["=odd, name"]["review"] == []
