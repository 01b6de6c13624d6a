"""Neighbors, recall and votes against slow oracles: ties, tiny galleries, any size of block."""

import pytest
import torch
from reference import retrieval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slowfast.utils import knn
from slowfast.utils.knn import KNNResult, knn_search, knn_vote, recall_at_ranks


@pytest.fixture(params=[(1024, 4096), (7, 5), (1, 1)], ids=str)
def blocks(request, monkeypatch):
    """Blocks larger than everything, odd ones, and single rows."""
    queries, rows = request.param
    monkeypatch.setattr(knn, "_QUERY_ROWS", queries)
    monkeypatch.setattr(knn, "_GALLERY_ROWS", rows)


def coarse(rows, dim, seed, levels=2):
    """Whole numbers of both signs, so that many similarities are equal, zero or negative."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-levels, levels + 1, (rows, dim), generator=generator).float()


@pytest.mark.parametrize("k", [1, 3, 20])
def test_neighbors_equal_the_oracle_with_ties(blocks, k):
    query, gallery = coarse(17, 3, 0), coarse(20, 3, 1)
    found = knn_search(query, gallery, k)
    assert found.row.tolist() == retrieval.nearest(query.tolist(), gallery.tolist(), k)
    similarity = torch.tensor(retrieval.similarities(query.tolist(), gallery.tolist()))
    assert torch.equal(found.similarity, similarity.gather(1, found.row))


def test_neighbors_equal_a_stable_sort(blocks):
    generator = torch.Generator().manual_seed(0)
    query, gallery = (
        torch.randn(30, 8, generator=generator),
        torch.randn(50, 8, generator=generator),
    )
    similarity = (query.double() @ gallery.double().T).float()
    expected = torch.sort(similarity, dim=1, descending=True, stable=True)
    found = knn_search(query, gallery, 50)
    assert torch.equal(found.row, expected.indices)
    assert torch.equal(found.similarity, expected.values)


def test_equal_rows_tie_wherever_they_stand(blocks):
    """A float32 product of another block size may round them apart; this must not."""
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(1, 333, generator=generator)
    gallery = torch.cat([row, torch.zeros(9, 333), row.expand(13, 333)])
    found = knn_search(row, gallery, 14)
    assert found.row.tolist() == [[0, *range(10, 23)]]
    target = torch.tensor([15])
    assert recall_at_ranks(row, gallery, target, [1, 7]) == {1: 1 / 14, 7: 0.5}


def test_zero_and_negative_zero_tie(blocks):
    gallery = torch.tensor([[-0.0], [0.0], [-1.0], [1.0]])
    assert knn_search(torch.tensor([[0.5]]), gallery, 4).row.tolist() == [[3, 0, 1, 2]]


def test_no_query():
    found = knn_search(torch.empty(0, 3), torch.randn(4, 3), 2)
    assert found.row.shape == found.similarity.shape == (0, 2)


def test_k_beyond_the_gallery():
    with pytest.raises(ValueError, match="k is 5, but the gallery has 4 rows"):
        knn_search(torch.randn(2, 3), torch.randn(4, 3), 5)


@pytest.mark.parametrize("levels", [1, 50])
def test_recall_equals_the_oracle(blocks, levels):
    query, key = coarse(17, 4, 2, levels), coarse(20, 4, 3, levels)
    target = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:17]
    recall = recall_at_ranks(query, key, target, [1, 5, 20, 30])
    words = query.tolist(), key.tolist(), target.tolist()
    for k in (1, 5, 20, 30):
        assert recall[k] == pytest.approx(retrieval.recall(*words, k)), k
    assert recall[20] == recall[30] == 1.0


def test_votes_equal_the_oracle(blocks):
    generator = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(9, 4, generator=generator), torch.randn(30, 4, generator=generator)
    label = torch.arange(30) % 4
    votes = knn_vote(knn_search(query, gallery, 12), label, 5, temperature=0.5)
    expected = retrieval.votes(query.tolist(), gallery.tolist(), label.tolist(), 5, 12, 0.5)
    torch.testing.assert_close(
        votes, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=0
    )
    assert not votes[:, 4].any()


def test_no_temperature_overflows():
    votes = knn_vote(
        KNNResult(torch.tensor([[0, 1]]), torch.tensor([[1.0, -1.0]])),
        torch.tensor([1, 0]),
        2,
        1e-4,
    )
    assert votes.tolist() == [[0.0, 1.0]]


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.numel = max(self.numel, *(x.numel() for x in tensors), 0)
        return result


def test_memory_does_not_grow_with_the_queries(monkeypatch):
    monkeypatch.setattr(knn, "_QUERY_ROWS", 10)
    query, gallery, target = torch.randn(300, 4), torch.randn(400, 4), torch.arange(300)
    with LargestTensor() as largest:
        knn_search(query, gallery, 3)
        recall_at_ranks(query, gallery, target, [1, 5])
    assert largest.numel == 10 * 400
