import math
import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from steadymask.evaluation.pools import ValuePool
from steadymask.evaluation.score_clip import TRUTH, ClipScores
from steadymask.evaluation.summary import (
    HIGHER,
    LOWER,
    MEASURES,
    NEITHER,
    Gate,
    summarise_clips,
)


def clip(name, **values):
    return ClipScores(name, 5, {system: dict(scores) for system, scores in values.items()})


PAGE = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"
BETTER = {"↑": HIGHER, "↓": LOWER, "": NEITHER}

SCORES = [
    clip("a", raw={"J": 0.5, "E_cons": 4.0}, ours={"J": 0.7, "E_cons": 1.0}, truth={"E_cons": 0.5}),
    clip("b", raw={"J": 0.7, "E_cons": 2.0}, ours={"J": 0.7, "E_cons": math.nan}),
    clip("c", raw={"J": 0.1, "E_cons": 9.0}),
]


def test_means_are_over_the_clips_that_all_systems_have():
    actual = summarise_clips(SCORES, ["raw", "ours"])
    assert actual.clips == ("a", "b")
    assert actual.left_out == ("c",)
    assert actual.means["raw"]["J"].value == pytest.approx(0.6)
    assert actual.means["raw"]["J"].low <= 0.6 <= actual.means["raw"]["J"].high
    assert actual.means["ours"]["E_cons"].value == 1.0
    assert math.isnan(actual.means["ours"]["E_cons"].low)
    assert actual.means[TRUTH]["E_cons"].value == 0.5


def test_the_best_is_the_higher_or_the_lower_and_never_the_truth():
    actual = summarise_clips(SCORES, ["raw", "ours"])
    assert actual.best("J") == {"ours"}
    assert actual.best("E_cons") == {"ours"}
    assert summarise_clips(SCORES, ["raw"]).best("J") == set()


def test_gates_name_clip_system_and_value():
    assert Gate.parse("E_cons>3").failures(SCORES) == [
        "a: raw: E_cons = 4 > 3",
        "c: raw: E_cons = 9 > 3",
    ]
    assert len(Gate.parse(" J <= 0.5 ").failures(SCORES)) == 2
    assert Gate.parse("E_cons>=100").failures(SCORES) == []


@pytest.mark.parametrize("text", ["E_cons", "E_cons>", ">1", "E_cons>one", "E_cons=1", "J>1e"])
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected e\.g\."):
        Gate.parse(text)


def test_an_unknown_measure_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"no measure 'E_con'; there are J, .*E_cons"):
        Gate.parse("E_con>1")


def test_a_measure_that_is_not_registered_is_refused_with_where_to_do_so():
    message = r"a: ours: .*got 'sharpness': register each in MEASURES of .*summary\.py"
    scores = [clip("a", raw={"J": 0.5}, ours={"J": 0.5, "sharpness": 1.0}), SCORES[0]]
    with pytest.raises(ConfigError, match=message):
        summarise_clips(scores, ["raw"])
    scores[0] = clip("a", raw={"J": 0.5})
    scores[0].pools["ours"] = {"sharpness": ValuePool((1.0,))}
    with pytest.raises(ConfigError, match=message):
        summarise_clips(scores, ["raw"])


def documented_measures():
    """Yield name and direction of each measure in the table of docs/evaluation.md."""
    section = PAGE.read_text(encoding="utf-8").split("\n## What is measured\n")[1]
    table = section.split("\n## ")[0].split("\n### ")[0]
    rows = re.findall(r"^\| ([^|]+) \| *([^|]*?) *\|", table, re.MULTILINE)
    for names, arrows in rows[1:]:
        measures = re.sub(r" \(`--\w+`\)", "", names).split(", ")
        signs = arrows.split() or [""]
        signs *= len(measures) if len(signs) == 1 else 1
        yield from zip(measures, (BETTER[sign] for sign in signs), strict=True)


def test_the_table_in_the_documentation_has_the_measures_that_there_are():
    table = list(documented_measures())
    assert len(table) == len(dict(table)), "a measure stands there twice"
    assert dict(table) == {name: better for name, (better, _) in MEASURES.items()}
