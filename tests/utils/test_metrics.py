"""Metrics against obvious oracles, with ties and tiny cases."""

import pytest
import torch

from slowfast.utils.metrics import recall_at_k, retrieve, topk_accuracy


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


def test_constant_scores_are_chance_not_luck():
    label = torch.zeros(10, dtype=torch.int64)
    assert topk_accuracy(torch.ones(10, 4), label, 1) == pytest.approx(0.25)


def test_k_beyond_the_classes():
    assert topk_accuracy(torch.randn(7, 3), torch.zeros(7, dtype=torch.int64), 5) == 1.0


def test_recall_is_topk_of_the_similarity_and_chunks_do_not_matter(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(33, 8, generator=generator), torch.randn(40, 8, generator=generator)
    target = torch.arange(33)
    whole = [recall_at_k(query, key, target, k) for k in (1, 5)]
    assert whole == [topk_accuracy(query @ key.T, target, k) for k in (1, 5)]
    monkeypatch.setattr("slowfast.utils.metrics._CHUNK", 7)
    assert [recall_at_k(query, key, target, k) for k in (1, 5)] == pytest.approx(whole)


def test_retrieve_orders_by_similarity_and_breaks_ties_by_position():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert retrieve(torch.tensor([[1.0, 0.0]]), gallery, 4).tolist() == [[0, 2, 3, 1]]
