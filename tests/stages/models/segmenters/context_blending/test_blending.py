import math

import pytest
import torch

from stages.models.segmenters.context_blending.blending import (
    BINS,
    ObjectContext,
    SpatialTemporalPyramid,
    average_regions,
    object_regions,
    pool_pyramid,
    remembered_regions,
)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(4)


def rand(rng, *shape):
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def apply_block(block, vector):
    """The 1 × 1 convolution, BN and ReLU of one pixel, by their definitions."""
    block = block.requires_grad_(False)
    convolution, norm, _ = block
    out = []
    for k, weights in enumerate(convolution.weight[:, :, 0, 0]):
        value = sum(w * x for w, x in zip(weights, vector, strict=True))
        value = (value - norm.running_mean[k]) / torch.sqrt(norm.running_var[k] + norm.eps)
        out.append(max(float(norm.weight[k] * value + norm.bias[k]), 0.0))
    return torch.tensor(out, dtype=torch.float64)


def unusual(module, rng):
    """Give the norms numbers that are not those of a new network."""
    module = module.double().eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.copy_(rand(rng, part.num_features))
            part.running_var.copy_(rand(rng, part.num_features).abs() + 0.5)
            part.bias.data.copy_(rand(rng, part.num_features))
    return module


def slow_regions(frames, scores):
    """Eq. 1, pixel by pixel: the mean over frames of Σ_i M x, M of a frame summing to 1."""
    items, channels, rows, columns = frames[0].shape
    classes = scores[0].shape[1]
    out = torch.zeros(items, channels, classes, dtype=torch.float64)
    for x, score in zip(frames, scores, strict=True):
        for b in range(items):
            for k in range(classes):
                places = [(i, j) for i in range(rows) for j in range(columns)]
                total = sum(math.exp(score[b, k, i, j]) for i, j in places)
                for i, j in places:
                    share = math.exp(score[b, k, i, j]) / total
                    out[b, :, k] += share * x[b, :, i, j] / len(frames)
    return out


def test_regions_are_those_of_equation_1(rng):
    frames = [rand(rng, 2, 3, 4, 5) for _ in range(3)]
    scores = [rand(rng, 2, 4, 4, 5) for _ in range(3)]
    fast = average_regions([object_regions(x, m) for x, m in zip(frames, scores, strict=True)])
    torch.testing.assert_close(fast, slow_regions(frames, scores))


def test_object_context_is_that_of_equations_2_and_3(rng):
    module = unusual(ObjectContext(3, 4), rng)
    features, regions = rand(rng, 2, 3, 2, 3), rand(rng, 2, 3, 5)
    wanted = torch.zeros_like(features)
    for b in range(2):
        keys = [apply_block(module.region_key, regions[b, :, k]) for k in range(5)]
        values = [apply_block(module.region_value, regions[b, :, k]) for k in range(5)]
        for i in range(2):
            for j in range(3):
                query = apply_block(module.pixel_query, features[b, :, i, j])
                weights = [math.exp(float(query @ key) / math.sqrt(4)) for key in keys]
                mixed = sum(w / sum(weights) * v for w, v in zip(weights, values, strict=True))
                wanted[b, :, i, j] = apply_block(module.transform, mixed)
    with torch.no_grad():
        torch.testing.assert_close(module(features, regions), wanted)


def test_the_pyramid_averages_over_frames_before_it_reduces(rng):
    module = unusual(SpatialTemporalPyramid(3, 2), rng)
    frames = [rand(rng, 1, 3, 6, 12) for _ in range(3)]
    with torch.no_grad():
        context = module([pool_pyramid(frame) for frame in frames], (6, 12))
    assert context.shape == (1, 2 * len(BINS), 6, 12)
    for level, bins in enumerate(BINS):
        reduced = torch.zeros(1, 2, bins, bins, dtype=torch.float64)
        for i in range(bins):
            for j in range(bins):
                rows = slice(i * 6 // bins, (i + 1) * 6 // bins)
                columns = slice(j * 12 // bins, (j + 1) * 12 // bins)
                means = [frame[0, :, rows, columns].mean(dim=(1, 2)) for frame in frames]
                reduced[0, :, i, j] = apply_block(module.reductions[level], sum(means) / 3)
        wanted = torch.nn.functional.interpolate(reduced, size=(6, 12), mode="bilinear")
        torch.testing.assert_close(context[:, 2 * level : 2 * level + 2], wanted)


def test_the_memory_weighs_each_frame_by_what_was_written_after_it(rng):
    regions = [rand(rng, 1, 3, 2) for _ in range(4)]
    share = 0.3
    weights = [0.7**3, 0.3 * 0.7**2, 0.3 * 0.7, 0.3]
    wanted = sum(w * r for w, r in zip(weights, regions, strict=True))
    torch.testing.assert_close(remembered_regions(regions, share), wanted)


def test_a_memory_of_one_frame_is_that_frame(rng):
    (regions,) = [rand(rng, 1, 3, 2)]
    assert torch.equal(remembered_regions([regions], 0.5), regions)
