"""Accuracy against obvious oracles and scikit-learn, with ties and tiny cases."""

import pytest
import torch

from slowfast.utils.metrics import (
    average_precision,
    mean_class_accuracy,
    topk_accuracy,
    topk_hits,
)


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


@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_average_precision_equals_scikit_learns(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (60, 7), generator=generator).float() / levels
    target = (torch.rand(60, 7, generator=generator) < torch.linspace(0.05, 0.9, 7)).float()
    target[0] = 1
    target[:, 2] = 1  # nothing but positives
    target[:, 5] = 0
    found = average_precision(scores, target)
    assert found[5].isnan()
    rest = [0, 1, 2, 3, 4, 6]
    expected = metrics.average_precision_score(target[:, rest], scores[:, rest], average=None)
    assert found[rest].tolist() == pytest.approx(expected.tolist(), abs=1e-12)
    micro = average_precision(scores.flatten()[:, None], target.flatten()[:, None])
    expected = metrics.average_precision_score(target, scores, average="micro")
    assert micro.item() == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.8], [0.1]])
    target = torch.tensor([[1], [0], [1], [1]])
    # thresholds 0.9 (1 of 1), 0.8 (2 of 3), 0.1 (3 of 4); each finds a third of the positives
    assert average_precision(scores, target).item() == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert average_precision(torch.zeros(4, 1), target).item() == 0.75
    assert average_precision(torch.zeros(0, 2), torch.zeros(0, 2)).isnan().all()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_average_precision_refuses_scores_that_are_not_finite(broken):
    scores = torch.zeros(3, 2)
    scores[1] = broken
    with pytest.raises(ValueError, match="1 of 3 rows are not finite"):
        average_precision(scores, torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"scores \(3, 2\) and targets \(3,\)"):
        average_precision(scores, torch.ones(3))
