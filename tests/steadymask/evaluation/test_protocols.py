import numpy as np
import pytest

from pipeline.errors import ConfigError
from steadymask.evaluation.pools import ClassPool, ValuePool, pooled_interval, pooled_scores
from steadymask.evaluation.protocols import choose_protocol
from steadymask.evaluation.score_clip import ClipScores
from steadymask.evaluation.summary import summarise_clips


def test_a_set_of_objects_is_not_the_mean_of_its_clips():
    clips = [ClipScores(name, 3, {"net": {"J": value}}) for name, value in (("a", 0.25), ("b", 1))]
    clips[0].pools["net"] = {"J": ValuePool((0.1, 0.4))}
    clips[1].pools["net"] = {"J": ValuePool((1.0,))}
    mean = summarise_clips(clips, ["net"]).means["net"]["J"]
    assert mean.value == pytest.approx(0.5)
    assert mean.low <= 0.25 + 1e-12
    assert mean.high == pytest.approx(1.0)


def slow_mean_iou(pairs):
    """Mean IoU over the classes of the truth, pixel by pixel, of all pairs together."""
    classes = {int(t) for _, truth in pairs for t in truth.ravel()}
    shares = []
    for c in classes:
        both = sum(1 for p, t in pairs for a, b in zip(p.ravel(), t.ravel(), strict=True)
                   if a == b == c)  # fmt: skip
        either = sum(1 for p, t in pairs for a, b in zip(p.ravel(), t.ravel(), strict=True)
                     if c in (a, b))  # fmt: skip
        shares.append(both / either)
    return np.mean(shares)


def test_pixels_of_all_clips_make_one_score():
    from stages.metrics.semantic import Confusion

    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 5, (6, 7), np.uint8), rng.integers(0, 3, (6, 7), np.uint8))
             for _ in range(2)]  # fmt: skip
    pools = []
    for prediction, truth in pairs:
        confusion = Confusion(6)
        confusion.add(prediction, truth)
        pools.append(ClassPool(confusion.class_sums(), "mIoU"))
    score, low, high = pooled_interval(pools)
    assert score == pytest.approx(slow_mean_iou(pairs))
    ends = pooled_scores(pools, np.array([[2, 0], [0, 2]]))
    assert ends == pytest.approx([slow_mean_iou([pair]) for pair in pairs])
    assert low == pytest.approx(ends.min())
    assert high == pytest.approx(ends.max())


def test_values_that_are_nan_and_clips_without_values_count_for_nothing():
    pools = [ValuePool((0.5, float("nan"))), ValuePool(())]
    assert pooled_interval(pools)[0] == 0.5
    assert np.isnan(pooled_interval([ValuePool(())])[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("davis2016", "classes", ["folders"]), "davis2016: scores objects, expected --task objec"),
        (("vspw", "objects", ["vspw"]), "vspw: scores classes, expected --task classes"),
        (("davis2017", None, ["cityscapes"]), "got the layout of Cityscapes"),
        (("davis", None, ["folders"]), "expected one of all, davis2016"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused(asked, message):
    with pytest.raises(ConfigError, match=message):
        choose_protocol(*asked)


def test_the_layout_of_vspw_brings_its_protocol_unless_objects_are_asked_for():
    assert choose_protocol(None, None, ["vspw", "folders"]).name == "vspw"
    assert choose_protocol(None, "objects", ["vspw"]).name == "all"
    assert choose_protocol(None, None, ["vspw"], union=True).name == "all"
    assert choose_protocol("all", None, ["vspw"]).name == "all"
    with pytest.raises(ConfigError, match="--union would make one"):
        choose_protocol("vspw", None, ["vspw"], union=True)
