"""Accuracy against obvious oracles and scikit-learn, with ties and tiny cases."""

import pytest
import torch

from slowfast.utils.metrics import mean_class_accuracy, topk_accuracy, topk_hits


def slow_topk(scores, label, k):
    """Average over all orders of tied classes, by counting."""
    total = 0.0
    for row, own in zip(scores.tolist(), label.tolist(), strict=True):
        ahead = sum(value > row[own] for value in row)
        ties = sum(value == row[own] for value in row)
        total += min(1.0, max(0, k - ahead) / ties)
    return total / len(label)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("levels", [3, 1000])
def test_topk_equals_the_oracle(k, levels):
    generator = torch.Generator().manual_seed(k)
    scores = torch.randint(levels, (50, 6), generator=generator).float()
    label = torch.randint(6, (50,), generator=generator)
    assert topk_accuracy(scores, label, k) == pytest.approx(slow_topk(scores, label, k))


@pytest.mark.parametrize("k", [1, 3])
def test_topk_equals_scikit_learns_without_ties(k):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    scores, label = torch.randn(40, 7, generator=generator), torch.arange(40) % 7
    expected = metrics.top_k_accuracy_score(label, scores, k=k)
    assert topk_accuracy(scores, label, k) == pytest.approx(expected)


def test_constant_scores_are_chance_not_luck():
    label = torch.zeros(10, dtype=torch.int64)
    assert topk_accuracy(torch.ones(10, 4), label, 1) == pytest.approx(0.25)


def test_k_beyond_the_classes():
    assert topk_accuracy(torch.randn(7, 3), torch.zeros(7, dtype=torch.int64), 5) == 1.0


def test_a_class_without_a_score_is_never_hit():
    hits = topk_hits(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, -1]), 5)
    assert hits.tolist() == [1.0, 0.0]


def test_mean_class_accuracy_is_scikit_learns_balanced_accuracy():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    label = torch.tensor([4] * 20 + [0] * 5 + [9])  # one class of a single sample
    predicted = torch.where(torch.rand(26, generator=generator) < 0.6, label, 0)
    hits = (predicted == label).double()
    expected = metrics.balanced_accuracy_score(label, predicted)
    assert mean_class_accuracy(hits, label) == pytest.approx(expected)
