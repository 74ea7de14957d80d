"""The terms of a batch equal the papers' losses, put together by hand."""

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from steadymask.training.losses.consistency import warp_torch
from steadymask.training.losses.distillation import ConvLSTM
from steadymask.training.student_objective import ENLARGE, EXTENT, TERMS, WEIGHTS, student_losses
from steadymask.training.students import build_student
from steadymask.training.triplets import PAIRS
from tests.support import slow_losses as slow

SIDE, ITEMS = 10, 2


@pytest.fixture
def student():
    torch.manual_seed(0)
    network = build_student("tests.support.tiny_student:network", (3, 7)).double().eval()
    with torch.no_grad():
        network.network[-1].weight.mul_(30)  # or the same class would win everywhere
        network.network[-1].bias.zero_()
    return network


@pytest.fixture
def lstm():
    torch.manual_seed(1)
    return ConvLSTM(2).double()


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    size = SIDE, SIDE
    whole = rng.integers(-2, 3, (ITEMS, len(PAIRS), 2, *size))
    batch_values = {
        "frames": rng.random((ITEMS, 3, 3, *size)),
        "labels": rng.choice([0, 1, 2, 255], (ITEMS, 3, *size)),
        "soft": rng.dirichlet(np.ones(3), (ITEMS, 3, *size)).transpose(0, 1, 4, 2, 3),
        "flow": whole + rng.uniform(0.1, 0.9, whole.shape),
        "seen": rng.random((ITEMS, len(PAIRS), 1, *size)) < 0.7,
        "move": rng.uniform(-1, 1, (ITEMS, 2, *size)),
    }
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch_values.items()
    }


def lovasz_by_frame(masks, labels):
    frames = zip(
        masks.reshape(-1, masks.shape[2], SIDE**2), labels.reshape(-1, SIDE**2), strict=True
    )
    return [slow.lovasz(mask.T[own != 255].tolist(), own[own != 255].tolist())
            for mask, own in frames]  # fmt: skip


def by_hand(student, lstm, batch):
    """Return every term from the slow references."""
    with torch.no_grad():
        scores, features = student.with_features(batch["frames"].flatten(0, 1))
        moved, _ = warp_torch(batch["frames"][:, 1], batch["move"])
        of_moved = student(moved).softmax(dim=1).numpy()
    masks = scores.softmax(dim=1).unflatten(0, (ITEMS, 3)).numpy()
    by_item = scores.unflatten(0, (ITEMS, 3)).numpy()
    features = features.unflatten(0, (ITEMS, 3)).numpy()
    arrays = {name: value.numpy() for name, value in batch.items()}
    frames, soft, flow, visible = (arrays[name] for name in ("frames", "soft", "flow", "seen"))
    actual = {name: [] for name in TERMS}
    for i, j in ((0, 1), (1, 2)):
        here, there = PAIRS.index((i, j)), PAIRS.index((j, i))
        pair, way, back = (masks[:, i], masks[:, j]), flow[:, here], flow[:, there]
        colours, both = (frames[:, i], frames[:, j]), (by_item[:, i], by_item[:, j])
        actual["temporal_divergence"].append(slow.motion_guided(*pair, way, *colours))
        actual["consistency"] += [
            slow.soft_disagreement(masks[b, i], masks[b, j], way[b], visible[b, here])
            + slow.soft_disagreement(masks[b, j], masks[b, i], back[b], visible[b, there])
            for b in range(ITEMS)
        ]
        actual["temporal"].append(slow.normalised_motion(*both, way, *colours))
        wanted = soft[:, i], soft[:, j]
        actual["pair_wise"].append(slow.pair_wise(pair, wanted, SIDE, SIDE))
        actual["boundary"].append(slow.boundary_coherency(*pair, way, back, 15))
        total = slow.global_coherency(*pair, way, back, visible[:, here], visible[:, there], 0.05)
        actual["global"].append(total * 473**2 / SIDE**2)
    grid = features.shape[-2:]
    distance, extent = slow.multi_frame(lstm, features, soft, *grid)
    actual["multi_frame"].append(distance + ENLARGE * max(EXTENT - extent, 0))
    actual["lovasz"] = lovasz_by_frame(masks, arrays["labels"])
    actual["single_frame"].append(slow.single_frame(masks[:, 1], soft[:, 1]))
    actual["transform"].append(slow.transform_invariance(of_moved, masks[:, 1], arrays["move"]))
    labels = arrays["labels"].reshape(-1, SIDE, SIDE)
    entropy = slow.cross_entropy(scores.numpy(), labels)
    return {name: np.mean(values) for name, values in actual.items()} | {"labels": entropy}


def test_every_term_is_the_papers_and_the_total_weighs_them(student, lstm, batch):
    actual = student_losses(student, batch, WEIGHTS, lstm=lstm)
    expected = by_hand(student, lstm, batch)
    for name, value in expected.items():
        assert value != 0, name
        assert actual[name].item() == pytest.approx(value, rel=1e-6), name
    total = expected["labels"] + sum(WEIGHTS[name] * expected[name] for name in TERMS)
    assert actual["total"].item() == pytest.approx(total, rel=1e-6)


def test_only_what_is_asked_for_is_added(student, batch):
    plain = student_losses(student, batch, {})
    assert set(plain) == {"total", "labels"}
    assert plain["total"] == plain["labels"]
    losses = student_losses(student, batch, {"boundary": 2.0})
    assert losses["total"].item() == pytest.approx(
        (plain["labels"] + 2 * losses["boundary"]).item()
    )


def test_a_teacher_stands_in_for_the_soft_masks(student, lstm, batch):
    weights = {"pair_wise": 0.1, "multi_frame": 0.1}
    itself = student_losses(student, batch, weights, teacher=student, lstm=lstm)
    assert itself["pair_wise"].item() == pytest.approx(0, abs=1e-12)
    maps = student_losses(student, batch, weights, lstm=lstm)
    assert maps["pair_wise"] > 0.001
    assert 0 <= itself["multi_frame"] <= ENLARGE * EXTENT  # the embedding's size alone


def test_an_embedding_that_is_large_enough_earns_nothing_more(student, lstm, batch):
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.fill_(0.5)
    itself = student_losses(student, batch, {"multi_frame": 1.0}, teacher=student, lstm=lstm)
    assert itself["multi_frame"].item() == pytest.approx(0, abs=1e-12)


def test_pixels_by_class_are_counted_where_a_label_is(student, batch):
    from steadymask.training.student_objective import class_sums

    with torch.no_grad():
        predicted = student(batch["frames"].flatten(0, 1)).argmax(dim=1).numpy()
    labels = batch["labels"].flatten(0, 1).numpy()
    for c in range(3):
        expected = [
            ((labels == c) & (predicted == c)).sum(),
            (labels == c).sum(),
            ((predicted == c) & (labels != 255)).sum(),
        ]
        assert class_sums(student, batch)[:, c].tolist() == expected


def test_every_term_moves_the_student(student, lstm, batch):
    for name in TERMS:
        student.zero_grad()
        student_losses(student, batch, {name: 1.0}, lstm=lstm)[name].backward()
        assert student.network[0].weight.grad.abs().sum() > 0, name


def test_terms_that_lack_what_they_need_say_so(student, batch):
    with pytest.raises(ConfigError, match="expected a ConvLSTM"):
        student_losses(student, batch, {"multi_frame": 0.1})


def test_on_a_gpu_half_of_it_runs_in_bf16(student, lstm, batch):
    """As Lightning's bf16-mixed: the network in bf16, and losses near those in full."""
    student, lstm = student.float(), lstm.float()
    batch = {k: v.float() if v.is_floating_point() else v for k, v in batch.items()}
    full = student_losses(student, batch, WEIGHTS, lstm=lstm)
    with torch.autocast("cpu", torch.bfloat16):
        half = student_losses(student, batch, WEIGHTS, lstm=lstm)
        assert student(batch["frames"][:, 0]).dtype == torch.bfloat16
    half["total"].backward()
    gradients = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(parameter).all() for parameter in gradients)
    assert set(half) == set(full) == {*TERMS, "labels", "total"}
    for name, value in full.items():
        wanted = float(value.detach())
        assert float(half[name].detach()) == pytest.approx(wanted, rel=0.05, abs=2e-3), name


def test_band_and_margin_of_coherent_loss_are_settable(student, batch):
    weights = {"boundary": 1.0, "global": 1.0}
    paper = student_losses(student, batch, weights)
    other = student_losses(student, batch, weights, band=3, margin=0.3)
    assert other["boundary"] != paper["boundary"]
    assert other["global"] != paper["global"]
    again = student_losses(student, batch, weights, band=15, margin=0.05)
    assert again["boundary"] == paper["boundary"]
    assert again["global"] == paper["global"]
