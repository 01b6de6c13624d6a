"""Examples of retrieval: queries and their nearest neighbors.

Legend: n videos, C channels, k neighbors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.utils.knn import knn_search

__all__ = ["choose_queries", "gallery"]

_DIGITS = 4


def choose_queries(labels: Sequence[int | None], count: int) -> list[int]:
    """Choose queries of as many classes as possible.

    Args:
        labels: Label of each of the n videos, None if unknown, in random order.
        count: Number of queries.

    Returns:
        Positions of at most ``count`` videos: one of each class, then another one of each.
    """
    by_label: defaultdict[int | None, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        by_label[label].append(position)
    turns = max(map(len, by_label.values()), default=0)
    ordered = [own[turn] for turn in range(turns) for own in by_label.values() if turn < len(own)]
    return ordered[:count]


def gallery(
    query: Tensor, key: Tensor, queries: Sequence[int], keys: Sequence[int], k: int
) -> list[dict[str, Any]]:
    """Find the nearest neighbors of queries, by cosine similarity.

    Args:
        query: float (n, C), in the modality of the query.
        key: float (n, C), in the modality that is searched; the same tensor within a modality, in
            which case a video is not its own neighbor.
        queries: Positions of the queries.
        keys: Positions that are searched.
        k: Number of neighbors.

    Returns:
        For each query ``query``, ``neighbors`` and ``similarity``, the most similar first, and,
        across modalities, ``own_rank``: the rank of the query's own file, from 1.
    """
    places = torch.as_tensor(keys, dtype=torch.int64)
    is_within = query is key
    vectors = F.normalize(key[places].double(), dim=1)
    asked = F.normalize(query[torch.as_tensor(queries, dtype=torch.int64)].double(), dim=1)
    wanted = min(len(places), k + 1 if is_within else k)
    found = knn_search(asked, vectors, wanted)
    examples = []
    for number, position in enumerate(queries):
        neighbors = [int(places[row]) for row in found.row[number]]
        pairs = list(zip(neighbors, found.similarity[number].tolist(), strict=True))
        if is_within:
            pairs = [(other, value) for other, value in pairs if other != position][:k]
        example: dict[str, Any] = {
            "query": position,
            "neighbors": [other for other, _ in pairs],
            "similarity": [round(value, _DIGITS) for _, value in pairs],
        }
        if not is_within:
            similarity = vectors @ asked[number]
            own = similarity[places == position]
            example["own_rank"] = int((similarity > own).sum()) + 1 if len(own) else None
        examples.append(example)
    return examples
