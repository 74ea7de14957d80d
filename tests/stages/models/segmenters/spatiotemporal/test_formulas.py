import math

import pytest
import torch
from torch.nn import functional

from stages.models.segmenters.spatiotemporal.formulas import (
    discriminator_loss,
    generator_loss,
    multi_scale_loss,
)
from stages.ops.ignored_label import IGNORE


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(7)


def probability(score):
    return 1 / (1 + math.exp(-score))


def test_the_discriminators_loss_is_equation_1(rng):
    real, predicted = torch.randn(5, generator=rng), torch.randn(5, generator=rng)
    slow = [
        -math.log(1 - probability(fake)) - math.log(probability(true))
        for true, fake in zip(real.tolist(), predicted.tolist(), strict=True)
    ]
    assert float(discriminator_loss(real, predicted)) == pytest.approx(sum(slow) / 5, rel=1e-5)


def test_the_generators_loss_is_equation_2(rng):
    frames, predictions = torch.rand(2, 2, 3, 4, 5, generator=rng)
    answers = torch.randn(2, generator=rng)
    differences = (frames - predictions).flatten().tolist()
    slow = sum(value**2 for value in differences) / len(differences)
    slow -= 0.3 * sum(math.log(probability(score)) for score in answers.tolist()) / 2
    fast = generator_loss(frames, predictions, answers, weight=0.3)
    assert float(fast) == pytest.approx(slow, rel=1e-5)


def test_the_loss_of_masks_is_equation_3_pixel_by_pixel_summed_over_scales(rng):
    labels = torch.randint(0, 2, (2, 6, 8), generator=rng)
    labels[0, 2, 3] = labels[1, 5] = IGNORE
    scores = [torch.randn(2, 2, rows, 2 * rows - 2, generator=rng) for rows in (3, 5)]
    slow, counted = 0.0, int((labels != IGNORE).sum())
    for part in scores:
        large = functional.interpolate(part, size=(6, 8), mode="bilinear", align_corners=False)
        for b in range(2):
            for i in range(6):
                for j in range(8):
                    if labels[b, i, j] != IGNORE:
                        chance = large[b, :, i, j].exp()
                        slow -= math.log(chance[labels[b, i, j]] / chance.sum()) / counted
    assert float(multi_scale_loss(scores, labels)) == pytest.approx(slow, rel=1e-4)


def test_labels_that_are_all_ignored_give_no_loss(rng):
    scores = [torch.randn(1, 2, 4, 4, generator=rng)]
    assert float(multi_scale_loss(scores, torch.full((1, 8, 8), IGNORE))) == 0
