"""InfoNCE by its formula, one query and one key at a time."""

from __future__ import annotations

import math


def info_nce(query, key, temperature, valid=None):
    """Average -log softmax over valid queries; lists of rows in, float out.

    Args:
        query: B rows of D floats, the joint batch of all processes.
        key: The same.
        temperature: Positive number.
        valid: B booleans.
    """
    valid = [True] * len(query) if valid is None else valid
    losses = []
    for i, q in enumerate(query):
        if not valid[i]:
            continue
        similarity = {
            j: sum(a * b for a, b in zip(q, k, strict=True)) / temperature
            for j, k in enumerate(key)
            if valid[j]
        }
        top = max(similarity.values())
        total = sum(math.exp(s - top) for s in similarity.values())
        losses.append(top + math.log(total) - similarity[i])
    return sum(losses) / len(losses) if losses else 0.0
