"""Every loss of a student equals its slow reference, and its gradient finite differences."""

import numpy as np
import pytest
import torch

from pipeline.errors import InputError, ShapeError
from stages.metrics.temporal import edge_band
from steadymask.training.losses.coherence import (
    boundary_coherency_loss,
    global_coherency_loss,
    label_band,
)
from steadymask.training.losses.consistency import warp_torch
from steadymask.training.losses.distillation import (
    ConvLSTM,
    cosine_similarity,
    multi_frame_loss,
    pair_wise_loss,
)
from steadymask.training.losses.flow_agreement import (
    motion_guided_loss,
    normalised_motion_loss,
    transform_invariance_loss,
)
from steadymask.training.losses.label_agreement import cross_entropy, lovasz_softmax
from tests.support import slow_losses as slow

SIZE = (6, 8)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def soft_masks(rng, *lead, classes=3, size=SIZE):
    return torch.from_numpy(rng.normal(0, 2, (*lead, classes, *size))).softmax(dim=-3)


def off_grid(rng, *lead, size=SIZE):
    """Flow that never leads onto a pixel's centre, where bilinear sampling bends."""
    whole = rng.integers(-2, 3, (*lead, 2, *size))
    return torch.from_numpy(whole + rng.uniform(0.1, 0.9, whole.shape))


def pictures(rng, *lead, size=SIZE):
    return torch.from_numpy(rng.random((*lead, 3, *size)))


def some(rng, *lead, size=SIZE, share=0.6):
    return torch.from_numpy(rng.random((*lead, 1, *size)) < share)


def arrays(*tensors):
    return [tensor.detach().numpy() for tensor in tensors]


def hold(rng, function, *tensors):
    """Check the gradient of a function for tensors of doubles."""
    assert torch.autograd.gradcheck(function, [t.clone().requires_grad_() for t in tensors])


def test_cross_entropy_is_the_mean_over_labelled_pixels(rng):
    logits = torch.from_numpy(rng.normal(0, 2, (2, 3, *SIZE)))
    labels = torch.from_numpy(rng.choice([0, 1, 2, 255], (2, *SIZE)))
    actual = cross_entropy(logits, labels)
    assert actual.item() == pytest.approx(slow.cross_entropy(*arrays(logits, labels)))
    hold(rng, lambda x: cross_entropy(x, labels), logits)


def test_without_a_label_there_is_no_loss_and_no_gradient(rng):
    logits = torch.from_numpy(rng.normal(0, 2, (1, 3, *SIZE))).requires_grad_()
    loss = cross_entropy(logits, torch.full((1, *SIZE), 255))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_a_label_that_the_network_does_not_know_is_refused():
    labels = torch.zeros((1, *SIZE), dtype=torch.int64)
    labels[0, 2, 3] = 3
    with pytest.raises(InputError, match="expected 0 to 2, or 255, got 3"):
        cross_entropy(torch.zeros((1, 3, *SIZE)), labels)


def test_lovasz_softmax_is_the_extension_of_the_jaccard_loss(rng):
    masks = soft_masks(rng, 2)
    labels = torch.from_numpy(rng.integers(0, 2, (2, *SIZE)))
    counted = some(rng, 2)[:, 0]
    expected = np.mean(
        [
            slow.lovasz(list(mask[:, which].T), label[which].tolist())
            for mask, label, which in zip(*arrays(masks, labels, counted), strict=True)
        ]
    )
    assert lovasz_softmax(masks, labels, counted).item() == pytest.approx(expected)
    hold(rng, lambda x: lovasz_softmax(x, labels, counted), masks)


def test_lovasz_softmax_of_hard_masks_is_one_minus_iou(rng):
    truth, guess = rng.integers(0, 2, (2, 1, *SIZE))
    hot = torch.nn.functional.one_hot(torch.from_numpy(guess), 2).movedim(-1, 1).double()
    iou = [
        ((guess == c) & (truth == c)).sum() / ((guess == c) | (truth == c)).sum() for c in (0, 1)
    ]
    actual = lovasz_softmax(hot, torch.from_numpy(truth), torch.ones((1, *SIZE), dtype=torch.bool))
    assert actual.item() == pytest.approx(1 - np.mean(iou))


def test_lovasz_softmax_of_no_pixel_is_zero(rng):
    masks = soft_masks(rng, 1).requires_grad_()
    loss = lovasz_softmax(
        masks, torch.zeros((1, *SIZE), dtype=torch.int64), torch.zeros((1, *SIZE), dtype=torch.bool)
    )
    loss.backward()
    assert loss.item() == 0
    assert (masks.grad == 0).all()


def test_the_temporal_loss_is_the_divergence_where_frames_look_alike(rng):
    here, there = soft_masks(rng, 2, 2)
    flow, (picture, other) = off_grid(rng, 2), pictures(rng, 2, 2)
    actual = motion_guided_loss(here, there, flow, picture, other)
    expected = slow.motion_guided(*arrays(here, there, flow, picture, other))
    assert actual.item() == pytest.approx(expected)
    hold(rng, lambda a, b: motion_guided_loss(a, b, flow, picture, other), here, there)


def test_masks_that_move_with_the_picture_cost_no_temporal_loss(rng):
    scene, picture = soft_masks(rng, 1, size=(6, 9)), pictures(rng, 1, size=(6, 9))
    flow = torch.zeros((1, 2, *SIZE), dtype=torch.float64)
    flow[:, 0] = 1
    args = scene[..., 1:], scene[..., :-1], flow, picture[..., 1:], picture[..., :-1]
    assert motion_guided_loss(*args).item() == pytest.approx(0, abs=1e-12)
    assert motion_guided_loss(args[0], args[1], -flow, *args[3:]).item() > 0.1


def test_where_frames_look_unlike_the_temporal_loss_counts_less(rng):
    here, there = soft_masks(rng, 2, 1)
    flow, picture = torch.zeros((1, 2, *SIZE), dtype=torch.float64), pictures(rng, 1)
    alike = motion_guided_loss(here, there, flow, picture, picture)
    unlike = motion_guided_loss(here, there, flow, picture, picture + 1)
    assert unlike.item() == pytest.approx(alike.item() * np.exp(-3))


def test_transform_invariance_is_the_distance_a_pixel(rng):
    transformed, masks = soft_masks(rng, 2, 2)
    move = off_grid(rng, 2)
    actual = transform_invariance_loss(transformed, masks, move)
    expected = slow.transform_invariance(*arrays(transformed, masks, move))
    assert actual.item() == pytest.approx(expected)
    hold(rng, lambda a, b: transform_invariance_loss(a, b, move), transformed, masks)


def test_an_equal_transform_costs_nothing_and_can_be_trained_on(rng):
    masks, move = soft_masks(rng, 1).requires_grad_(), off_grid(rng, 1)
    loss = transform_invariance_loss(warp_torch(masks, move)[0].detach(), masks, move)
    loss.backward()
    assert loss.item() == 0
    assert masks.grad.isfinite().all()


def test_likeness_is_the_cosine_of_every_two_pixels(rng):
    first, second = torch.from_numpy(rng.normal(0, 1, (2, 2, 4, 3, 5)))
    actual = cosine_similarity(first, second)
    for b in range(2):
        expected = slow.likeness(*arrays(first[b], second[b]))
        np.testing.assert_allclose(actual[b].numpy(), expected)


@pytest.mark.parametrize(
    ("side", "own", "other", "grid"),
    [(3, (6, 6), (6, 6), (3, 3)), (4, (3, 8), (6, 8), (3, 4)), (9, (6, 8), (6, 8), (6, 8))],
)
def test_pair_wise_loss_compares_the_likeness_of_two_frames(rng, side, own, other, grid):
    student = soft_masks(rng, 2, 2, size=own)
    teacher = soft_masks(rng, 2, 2, classes=4, size=other)
    actual = pair_wise_loss(tuple(student), tuple(teacher), side=side)
    expected = slow.pair_wise(arrays(*student), arrays(*teacher), *grid)
    assert actual.item() == pytest.approx(expected)


def test_pair_wise_loss_has_a_gradient_for_the_student_alone(rng):
    student, teacher = (tuple(soft_masks(rng, 2, 1, size=(4, 4))) for _ in range(2))
    hold(rng, lambda a, b: pair_wise_loss((a, b), teacher, side=2), *student)
    wanted = [t.clone().requires_grad_() for t in teacher]
    own = [s.clone().requires_grad_() for s in student]
    pair_wise_loss(tuple(own), tuple(wanted)).backward()
    assert own[0].grad.abs().sum() > 0
    assert wanted[0].grad is None


@pytest.fixture
def lstm(rng):
    return random_lstm(rng, 2)


def random_lstm(rng, channels):
    lstm = ConvLSTM(channels).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(torch.from_numpy(rng.uniform(-0.5, 0.5, parameter.shape)))
    return lstm


def test_multi_frame_loss_compares_the_embeddings_of_two_sequences(rng, lstm):
    student = torch.from_numpy(rng.normal(0, 1, (2, 3, 5, 2, 3)))
    teacher = torch.from_numpy(rng.normal(0, 1, (2, 3, 4, 4, 6)))
    actual = multi_frame_loss(lstm, student, teacher)
    expected = slow.multi_frame(lstm, *arrays(student, teacher), 2, 3)
    assert [value.item() for value in actual] == pytest.approx(list(expected))
    assert actual[0] > 0


def test_multi_frame_loss_has_a_gradient_for_student_and_embedding(rng):
    lstm = random_lstm(rng, 1)
    student, teacher = torch.from_numpy(rng.normal(0, 1, (2, 1, 2, 3, 2, 2)))
    weights = [parameter.detach().clone() for parameter in lstm.parameters()]

    def loss(student, *weights):
        names = [name for name, _ in lstm.named_parameters()]
        parameters = dict(zip(names, weights, strict=True))
        pair = [
            torch.func.functional_call(lstm, parameters, (similarity_maps(values),))
            for values in (student, teacher)
        ]
        return (pair[0] - pair[1]).square().sum(), pair[1].square().sum()

    hold(rng, loss, student, *weights)
    inner = student.clone().requires_grad_()
    wanted = teacher.clone().requires_grad_()
    actual = multi_frame_loss(lstm, inner, wanted)
    torch.testing.assert_close(actual[0], loss(inner, *weights)[0])
    sum(actual).backward()
    assert inner.grad.abs().sum() > 0
    assert wanted.grad is None
    hold(rng, lambda s: multi_frame_loss(lstm, s, teacher)[0], student)


def similarity_maps(values):
    return cosine_similarity(values[0], values[0])[None]


def test_weights_of_the_embedding_are_held_in_bounds(lstm):
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(10)
    lstm.clip(0.25)
    largest = [parameter.abs().max().item() for parameter in lstm.parameters()]
    assert largest == [0.25] * len(largest)


@pytest.mark.parametrize("width", [3, 5, 15])
def test_the_band_is_that_of_the_measure(rng, width):
    labels = np.zeros((3, 24, 30), np.uint8)
    labels[0, 6:12, 8:20], labels[1, :, 15:], labels[0, 20:, :4] = 2, 1, 1
    actual = label_band(torch.from_numpy(labels), width=width)
    np.testing.assert_array_equal(
        actual.numpy(), [edge_band(frame_labels, width=width) for frame_labels in labels]
    )


def test_boundary_coherency_is_lovasz_in_the_band_both_ways(rng):
    scores = rng.normal(0, 2, (2, 2, 3, *SIZE))
    scores[..., 0, :, 4:] += 9  # or all would be boundary
    here, there = torch.from_numpy(scores).softmax(dim=-3)
    flow, back = off_grid(rng, 2), off_grid(rng, 2)
    actual = boundary_coherency_loss(here, there, flow, back, width=3)
    expected = slow.boundary_coherency(*arrays(here, there, flow, back), 3)
    assert actual.item() == pytest.approx(expected)
    hold(rng, lambda a, b: boundary_coherency_loss(a, b, flow, back, width=3), here, there)


def test_global_coherency_asks_the_surer_frame_both_ways(rng):
    here, there = soft_masks(rng, 2, 2)
    flow, back, visible, seen_back = off_grid(rng, 2), off_grid(rng, 2), some(rng, 2), some(rng, 2)
    actual = global_coherency_loss(here, there, flow, back, visible, seen_back)
    expected = slow.global_coherency(*arrays(here, there, flow, back, visible, seen_back), 0.05)
    assert actual.item() == pytest.approx(expected)


def test_global_coherency_teaches_the_less_sure_frame_alone(rng):
    sure, unsure = torch.tensor([0.9, 0.1]), torch.tensor([0.6, 0.4])
    here, there = (
        p.double()[None, :, None, None].expand(1, 2, *SIZE).clone() for p in (sure, unsure)
    )
    here.requires_grad_()
    there.requires_grad_()
    still = torch.zeros((1, 2, *SIZE), dtype=torch.float64)
    visible = torch.ones((1, 1, *SIZE), dtype=torch.bool)
    loss = global_coherency_loss(here, there, still, still, visible, visible)
    loss.backward()
    pixels = SIZE[0] * SIZE[1]
    assert loss.item() == pytest.approx(-(0.9 * np.log(0.6) + 0.1 * np.log(0.4)) * pixels / 2)
    assert (here.grad == 0).all()
    assert (there.grad < 0).all()
    target = here.detach()

    def half(masks):
        return global_coherency_loss(target, masks, still, still, visible, visible)

    hold(rng, half, unsure.double()[None, :, None, None].expand(1, 2, *SIZE).clone())


def test_sizes_that_differ_are_named(rng):
    masks, flow = soft_masks(rng, 2, 1), off_grid(rng, 1, size=(6, 7))
    with pytest.raises(ShapeError, match=r"flow: .* with W=8"):
        motion_guided_loss(masks[0], masks[1], flow, *pictures(rng, 2, 1))
    with pytest.raises(ShapeError, match=r"flow: .* with W=8"):
        boundary_coherency_loss(masks[0], masks[1], flow, flow)
    with pytest.raises(ShapeError, match=r"move: .* with W=8"):
        transform_invariance_loss(masks[0], masks[1], flow)
    with pytest.raises(ShapeError, match=r"second: .* with D=3"):
        cosine_similarity(masks[0], masks[1][:, :2])


def test_the_temporal_loss_of_the_program_compares_scores_by_signed_colours(rng):
    here, there = 3 * soft_masks(rng, 2, 2).log()
    flow, (picture, other) = off_grid(rng, 2), pictures(rng, 2, 2)
    loss = normalised_motion_loss(here, there, flow, picture, other)
    expected = slow.normalised_motion(*arrays(here, there, flow, picture, other))
    assert loss.item() == pytest.approx(expected)
    hold(rng, lambda a, b: normalised_motion_loss(a, b, flow, picture, other), here, there)
