"""Alignment, uniformity and effective rank against their definitions, pair by pair."""

import math

import pytest
import torch
from torch.nn import functional as F

from slowfast.engine.insight.geometry import (
    cross_uniformity,
    describe,
    spectrum,
    uniformity,
    view_alignment,
)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def units(*shape, seed=0):
    return F.normalize(randn(*shape, seed=seed), dim=-1)


def potential(x, y):
    """The mean of exp(-2 |x_i - y_j|^2) over i != j, by two loops."""
    values = [
        math.exp(-2 * float((a - b).square().sum()))
        for i, a in enumerate(x)
        for j, b in enumerate(y)
        if i != j
    ]
    return math.log(sum(values) / len(values))


def test_alignment_of_views():
    views = units(6, 4, 5)
    sums, counts = views.sum(dim=1), torch.full((6,), 4)
    sums[2], counts[2] = views[2, :3].sum(dim=0), 3
    sums[5], counts[5] = views[5, 0], 1  # nothing to compare with
    each = []
    for video, count in zip(views[:5], [4, 4, 3, 4, 4], strict=True):
        pairs = [
            (video[:count][a] - video[:count][b]).square().sum()
            for a in range(count)
            for b in range(a)
        ]
        each.append(sum(pairs) / len(pairs))
    assert view_alignment(sums, counts) == pytest.approx(float(sum(each) / 5), rel=1e-12)
    equal = units(3, 1, 5).expand(3, 4, 5)
    assert view_alignment(equal.sum(dim=1), torch.full((3,), 4)) == pytest.approx(0, abs=1e-12)
    assert view_alignment(sums[5:], counts[5:]) is None


@pytest.mark.parametrize("rows", [2, 37, 700])
def test_uniformity(rows):
    x, y = 3 * randn(rows, 4), 2 * randn(rows, 4, seed=1)
    if rows < 100:
        unit_x, unit_y = F.normalize(x, dim=1), F.normalize(y, dim=1)
        assert uniformity(x) == pytest.approx(potential(unit_x, unit_x), rel=1e-10)
        assert cross_uniformity(x, y) == pytest.approx(potential(unit_x, unit_y), rel=1e-10)
    else:  # more than one block of rows
        distances = torch.cdist(F.normalize(x, dim=1), F.normalize(x, dim=1)).square()
        kept = ~torch.eye(rows, dtype=torch.bool)
        expected = (-2 * distances[kept]).exp().mean().log()
        assert uniformity(x) == pytest.approx(float(expected), rel=1e-10)


def test_uniformity_of_equal_vectors_and_of_one():
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.ones(1, 3)) is None
    assert cross_uniformity(torch.ones(1, 3), torch.ones(1, 3)) is None


def entropy_rank(values):
    fractions = values / values.sum()
    return math.exp(-sum(float(f) * math.log(float(f)) for f in fractions if f > 0))


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_effective_rank(shape):
    rows = randn(*shape) + 2
    found = spectrum(rows)
    centered = torch.linalg.svdvals(rows - rows.mean(dim=0))
    assert found.effective_rank == pytest.approx(entropy_rank(centered), rel=1e-6)
    assert found.values == pytest.approx(centered / centered.sum(), abs=1e-7)
    raw = torch.linalg.svdvals(rows)
    fractions = raw / raw.sum() + 1e-7
    assert found.rankme == pytest.approx(
        float((-(fractions * fractions.log()).sum()).exp()), rel=1e-6
    )
    assert found.highest == min(shape[0] - 1, shape[1])
    assert found.effective_rank <= found.highest + 1e-6


def test_effective_rank_of_known_matrices():
    axes = torch.cat([torch.eye(8), -torch.eye(8)])  # all directions, equally
    assert spectrum(axes).effective_rank == pytest.approx(8, rel=1e-9)
    line = torch.arange(10.0)[:, None] * torch.ones(1, 6)
    assert spectrum(line).effective_rank == pytest.approx(1, rel=1e-6)
    assert spectrum(torch.ones(5, 4)).effective_rank == pytest.approx(1)  # no variance at all
    assert spectrum(torch.ones(1, 4)) is None


@pytest.mark.parametrize(
    ("rows", "start"),
    [
        (torch.ones(50, 30) + 1e-3 * randn(50, 30), "Complete collapse"),
        (randn(50, 1) * torch.ones(1, 30) + 1e-4 * randn(50, 30, seed=1), "Dimensional collapse"),
        (randn(200, 4) @ randn(4, 100, seed=1), "Low rank"),
        (randn(200, 100), "No collapse"),
    ],
)
def test_a_sentence_on_collapse(rows, start):
    assert describe(spectrum(rows), uniformity(rows)).startswith(start)
