"""Parts of contrastive methods by their definitions: plain Python, one number at a time."""

from __future__ import annotations

import math


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(row):
    length = math.sqrt(dot(row, row))
    return [x / length for x in row]


def softmax_loss(scores, positives, candidates):
    """Average -log softmax over positives.

    Args:
        scores: One number per candidate.
        positives: Indices.
        candidates: Indices that the softmax runs over.
    """
    total = math.log(sum(math.exp(scores[j]) for j in candidates))
    return sum(total - scores[j] for j in positives) / len(positives)


def nt_xent(views, temperature):
    """SimCLR's equation 1: B lists of V rows."""
    rows = [row for sample in views for row in sample]
    number = len(views[0])
    losses = []
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        scores = [dot(row, other) / temperature for other in rows]
        losses.append(
            softmax_loss(scores, [j for j in others if j // number == i // number], others)
        )
    return sum(losses) / len(losses)


def nce(positive, negatives, partition):
    """NPID's equation 7 with h = e^s / (e^s + K a): a positive score, K negative ones, a."""
    noise = len(negatives) * partition

    def is_data(score):
        return math.exp(score) / (math.exp(score) + noise)

    return -math.log(is_data(positive)) - sum(math.log(1 - is_data(s)) for s in negatives)


def sinkhorn(scores, epsilon, iterations):
    """SwAV's pseudo-code: exponentials, columns, rows."""
    q = [[math.exp(s / epsilon) for s in row] for row in scores]
    for _ in range(iterations):
        columns = [sum(column) for column in zip(*q, strict=True)]
        q = [[x / c for x, c in zip(row, columns, strict=True)] for row in q]
        q = [[x / sum(row) for x in row] for row in q]
    return q


def queue(rows, pushes):
    """MoCo's queue as a list: the pointer wraps around."""
    rows, pointer = list(rows), 0
    for push in pushes:
        for row in push:
            rows[pointer] = row
            pointer = (pointer + 1) % len(rows)
    return rows, pointer


def bank(rows, index, values, momentum):
    """NPID's bank: each row from its old value; a later occurrence replaces an earlier one."""
    new = list(rows)
    for i, value in zip(index, values, strict=True):
        new[i] = unit(
            [momentum * a + (1 - momentum) * b for a, b in zip(rows[i], value, strict=True)]
        )
    return new
