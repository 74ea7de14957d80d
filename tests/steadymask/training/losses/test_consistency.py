import numpy as np
import pytest
import torch

from pipeline.errors import InputError, ShapeError
from stages.metrics.stability import disagreement
from stages.ops.visibility import visible
from stages.ops.warp import warp
from steadymask.training.losses.consistency import (
    consistency_loss,
    data_loss,
    soft_disagreement,
    visible_torch,
    warp_torch,
)

SIZE = (7, 9)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def soft_masks(rng, *lead, classes=3, size=SIZE):
    """Masks (…, C, H, W) in float64 that sum to 1 over classes."""
    return torch.from_numpy(rng.normal(0, 1, (*lead, classes, *size))).softmax(dim=-3)


def off_grid(rng, *lead, size=SIZE):
    """Flow (…, 2, H, W) in float64 that never leads onto a pixel's centre, where bilinear bends."""
    whole = rng.integers(-2, 3, (*lead, 2, *size))
    return torch.from_numpy(whole + rng.uniform(0.1, 0.9, whole.shape))


def everywhere(batch=1, size=SIZE):
    return torch.ones((batch, 1, *size), dtype=torch.bool)


def pan(frames, batch=1, size=SIZE, step=1.0):
    """Flows of a picture that moves `step` pixels to the right a frame, and what they show."""
    flows, visible_pixels = {}, {}
    for i in range(frames):
        for j in range(frames):
            if i != j:
                flows[i, j] = torch.zeros((batch, 2, *size), dtype=torch.float64)
                flows[i, j][:, 0] = step * (j - i)
    for i, j in flows:
        visible_pixels[i, j] = visible_torch(flows[i, j], flows[j, i])
    return flows, visible_pixels


@pytest.mark.parametrize("size", [(7, 9), (1, 9), (7, 1), (1, 1)])
def test_warping_equals_that_of_arrays(rng, size):
    values = rng.random((2, 3, *size)).astype(np.float32)
    flow = rng.normal(0, 2, (2, 2, *size)).astype(np.float32)
    flow[1] = np.round(flow[1])  # also exactly onto the border
    flow[1, np.array(size[::-1]) == 1] = 0  # or all would lie outside
    warped, inside = warp_torch(torch.from_numpy(values), torch.from_numpy(flow))
    for k in range(2):
        expected = warp(np.moveaxis(values[k], 0, -1), flow[k])
        np.testing.assert_array_equal(inside[k, 0].numpy(), ~np.isnan(expected[..., 0]))
        actual = np.moveaxis(warped[k].numpy(), 0, -1)
        np.testing.assert_allclose(actual, np.nan_to_num(expected), atol=1e-5)
    assert inside.any()


def test_what_lies_outside_is_nothing_and_not_the_border():
    away = torch.full((1, 2, *SIZE), 100.0)
    warped, inside = warp_torch(torch.ones((1, 1, *SIZE)), away)
    assert not inside.any()
    assert (warped == 0).all()


@pytest.mark.parametrize("size", [(20, 30), (1, 30)])
def test_visibility_equals_that_of_arrays(rng, size):
    there = rng.normal(0, 3, (4, 2, *size)).astype(np.float32)
    back = (-there + rng.normal(0, 1, there.shape)).astype(np.float32)
    there[:2], back[:2] = there[:2].mean((2, 3), keepdims=True), 0.3 - there[:2].mean()
    there[:, np.array(size[::-1]) == 1] = 0  # or all would lie outside
    actual = visible_torch(torch.from_numpy(there), torch.from_numpy(back), slack=0.02, floor=2.0)
    expected = [visible(f, b, slack=0.02, floor=2.0) for f, b in zip(there, back, strict=True)]
    assert 0.05 < np.mean(expected) < 0.95
    np.testing.assert_array_equal(actual[:, 0].numpy(), expected)


def test_on_labels_and_whole_pixels_it_is_the_measure_itself(rng):
    labels = rng.integers(0, 3, (2, 4, *SIZE), dtype=np.uint8)
    flow = rng.integers(-3, 4, (4, 2, *SIZE)).astype(np.float32)
    visible_pixels = rng.random((4, *SIZE)) < 0.7
    hot = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 3)
    here, there = hot.movedim(-1, 2).float()
    actual = soft_disagreement(
        here, there, torch.from_numpy(flow), torch.from_numpy(visible_pixels)[:, None]
    ).numpy()
    for k in range(4):
        wrong, count = disagreement(labels[0, k], labels[1, k], flow[k], visible_pixels[k])
        assert 0 < wrong < count
        assert actual[k] == pytest.approx(wrong / count, abs=1e-5)


def test_soft_disagreement_is_half_the_difference_of_all_classes(rng):
    here, there = soft_masks(rng, 2, 1)
    flow, visible_pixels = off_grid(rng, 1), torch.from_numpy(rng.random((1, 1, *SIZE)) < 0.6)
    seen_from_here = warp(there[0].numpy().transpose(1, 2, 0), flow[0].numpy())
    total = count = 0.0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            if visible_pixels[0, 0, y, x] and not np.isnan(seen_from_here[y, x, 0]):
                total += np.abs(here[0, :, y, x].numpy() - seen_from_here[y, x]).sum() / 2
                count += 1
    assert 0 < count < SIZE[0] * SIZE[1]
    assert soft_disagreement(here, there, flow, visible_pixels)[0].item() == pytest.approx(
        total / count
    )


def test_where_nothing_is_visible_there_is_no_number_and_no_gradient(rng):
    here, there = soft_masks(rng, 2, 2)
    here.requires_grad_()
    visible_pixels = everywhere(2)
    visible_pixels[1] = False
    actual = soft_disagreement(here, there, off_grid(rng, 2), visible_pixels)
    assert actual.isnan().tolist() == [False, True]
    actual[0].backward()
    assert here.grad.isfinite().all()
    assert here.grad[0].abs().sum() > 0
    assert (here.grad[1] == 0).all()


def test_masks_that_move_with_the_picture_cost_nothing(rng):
    scene = soft_masks(rng, 1, size=(7, 12))
    masks = torch.stack([scene[..., 3 - k : 12 - k] for k in range(4)], dim=1)
    flows, visible_pixels = pan(4)
    assert consistency_loss(masks, flows, visible_pixels).item() == pytest.approx(0, abs=1e-12)
    still, all_seen = pan(4, step=0.0)
    assert consistency_loss(masks, still, all_seen).item() > 0.1


def test_consistency_is_the_mean_over_unordered_pairs_of_both_directions(rng):
    masks = soft_masks(rng, 2, 3)
    flows = {(i, j): off_grid(rng, 2) for i in range(3) for j in range(3) if i != j}
    visible_pixels = {pair: torch.from_numpy(rng.random((2, 1, *SIZE)) < 0.6) for pair in flows}
    total = sum(
        soft_disagreement(masks[:, i], masks[:, j], flows[i, j], visible_pixels[i, j]).sum()
        for i, j in flows
    )
    actual = consistency_loss(masks, flows, visible_pixels)
    assert actual.item() == pytest.approx(total.item() / (3 * 2))


def test_a_pair_that_sees_nothing_one_way_is_left_out(rng):
    masks = soft_masks(rng, 1, 3)
    flows, visible_pixels = pan(3)
    without = {pair: flow for pair, flow in flows.items() if set(pair) != {0, 2}}
    expected = consistency_loss(masks, without, visible_pixels)
    visible_pixels[2, 0] = torch.zeros_like(visible_pixels[2, 0])
    torch.testing.assert_close(consistency_loss(masks, flows, visible_pixels), expected)


def test_without_pairs_consistency_is_zero_and_can_be_trained_on(rng):
    masks = soft_masks(rng, 1, 1).requires_grad_()
    loss = consistency_loss(masks, {}, {})
    loss.backward()
    assert loss.item() == 0
    assert (masks.grad == 0).all()
    flows, visible_pixels = pan(2)
    blind = {pair: torch.zeros_like(known) for pair, known in visible_pixels.items()}
    assert consistency_loss(soft_masks(rng, 1, 2), flows, blind).item() == 0


@pytest.mark.parametrize("lead", [(2,), (1, 3)])
def test_data_loss_is_least_at_the_teacher_and_there_its_entropy(rng, lead):
    teacher = soft_masks(rng, *lead)
    entropy = -(teacher * teacher.log()).sum(dim=-3).mean()
    logits = (teacher.log() + 7).requires_grad_()
    loss = data_loss(logits, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(entropy.item())
    assert logits.grad.abs().max() < 1e-12
    nudge = torch.from_numpy(rng.normal(0, 0.1, logits.shape))
    assert data_loss(logits.detach() + nudge, teacher) > loss


def test_data_loss_takes_hard_teachers_and_logits_of_any_size():
    teacher = torch.zeros((1, 2, *SIZE))
    teacher[:, 0] = 1
    logits = torch.zeros_like(teacher)
    logits[:, 0] = -1e4
    logits.requires_grad_()
    loss = data_loss(logits, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert logits.grad.isfinite().all()


def test_gradients_are_those_of_the_functions(rng):
    size = (4, 5)
    masks = soft_masks(rng, 1, 2, size=size).requires_grad_()
    there, back = (off_grid(rng, 1, size=size).requires_grad_() for _ in range(2))
    some = {(0, 1): everywhere(1, size), (1, 0): everywhere(1, size)}
    some[1, 0][..., 2:] = False

    def consistency(masks, there, back):
        return consistency_loss(masks, {(0, 1): there, (1, 0): back}, some)

    assert torch.autograd.gradcheck(consistency, (masks, there, back))
    assert torch.autograd.gradcheck(lambda v, f: warp_torch(v, f)[0], (masks[:, 0], there))
    logits = torch.from_numpy(rng.normal(0, 1, masks.shape)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: data_loss(x, masks.detach()), (logits,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_where_they_come_in(rng, bad):
    masks = soft_masks(rng, 1, 2)
    flows, visible_pixels = pan(2)
    broken = masks.clone()
    broken[0, 1, 2, 3, 4] = bad
    with pytest.raises(InputError, match=r"logits: .*got 1 of 378 .*first at \(0, 1, 2, 3, 4\)"):
        data_loss(broken, masks)
    with pytest.raises(InputError, match="teacher: expected finite"):
        data_loss(masks, broken)
    with pytest.raises(InputError, match=r"there_masks: expected finite .*at \(0, 2, 3, 4\)"):
        consistency_loss(broken, flows, visible_pixels)
    flows[0, 1][0, 0, 0, 0] = bad
    with pytest.raises(InputError, match="flow: expected finite"):
        consistency_loss(masks, flows, visible_pixels)


def test_pairs_that_lack_a_part_are_refused(rng):
    masks = soft_masks(rng, 1, 2)
    flows, visible_pixels = pan(2)
    with pytest.raises(InputError, match=r"expected \(1, 0\) too, got only \(0, 1\)"):
        consistency_loss(masks, {(0, 1): flows[0, 1]}, visible_pixels)
    with pytest.raises(InputError, match=r"seen: expected an entry for \(1, 0\)"):
        consistency_loss(masks, flows, {(0, 1): visible_pixels[0, 1]})
    with pytest.raises(InputError, match=r"two of the 1 frames of masks, got \(0, 1\)"):
        consistency_loss(masks[:, :1], flows, visible_pixels)


def test_sizes_that_differ_are_named(rng):
    masks = soft_masks(rng, 1, 2)
    flows, visible_pixels = pan(2, size=(7, 8))
    with pytest.raises(ShapeError, match=r"flow: .* with W=9"):
        consistency_loss(masks, flows, visible_pixels)
    with pytest.raises(ShapeError, match=r"teacher: expected .*\(1, 3, 7, 9\), got \(1, 2, 7, 9\)"):
        data_loss(masks[:, 0], masks[:, 0, :2])
