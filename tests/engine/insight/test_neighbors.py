import torch
from torch.nn import functional as F

from slowfast.engine.insight.neighbors import choose_queries, gallery


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_queries_are_of_many_classes():
    labels = [0, 0, 0, 1, None, 2, 1]
    assert choose_queries(labels, 4) == [0, 3, 4, 5]
    assert choose_queries(labels, 6) == [0, 3, 4, 5, 1, 6]
    assert sorted(choose_queries(labels, 99)) == list(range(7))
    assert choose_queries([], 3) == []


def test_neighbors_within_a_modality():
    vectors = randn(20, 6)
    vectors[7] = 2 * vectors[3]  # the same direction
    found = gallery(vectors, vectors, [3, 11], range(20), 4)
    cosine = F.normalize(vectors.double(), dim=1) @ F.normalize(vectors.double(), dim=1).T
    for example, query in zip(found, (3, 11), strict=True):
        ranked = [n for n in cosine[query].argsort(descending=True).tolist() if n != query]
        assert example["query"] == query
        assert example["neighbors"] == ranked[:4]
        assert example["similarity"] == [round(float(cosine[query, n]), 4) for n in ranked[:4]]
        assert "own_rank" not in example
    assert found[0]["neighbors"][0] == 7


def test_neighbors_across_modalities():
    video, audio = randn(12, 5), randn(12, 5, seed=1)
    keys = [n for n in range(12) if n != 4]  # without audio
    found = gallery(video, audio, [0, 5], keys, 3)
    cosine = F.normalize(video.double(), dim=1) @ F.normalize(audio.double(), dim=1).T
    for example in found:
        ranked = [n for n in cosine[example["query"]].argsort(descending=True).tolist() if n != 4]
        assert example["neighbors"] == ranked[:3]
        assert example["own_rank"] == ranked.index(example["query"]) + 1


def test_fewer_videos_than_neighbors():
    vectors = randn(3, 4)
    (found,) = gallery(vectors, vectors, [1], range(3), 5)
    assert sorted(found["neighbors"]) == [0, 2]
