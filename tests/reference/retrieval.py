"""Retrieval and votes with one loop per query and Python's own sort."""

import math


def similarities(query, gallery):
    return [[sum(a * b for a, b in zip(q, g, strict=True)) for g in gallery] for q in query]


def nearest(query, gallery, k):
    """Rows of the gallery, most similar first; Python's sort is stable."""
    return [
        sorted(range(len(row)), key=lambda i, row=row: -row[i])[:k]
        for row in similarities(query, gallery)
    ]


def recall(query, key, target, k):
    """Average over all ways to break ties at the right key's place."""
    total = 0.0
    for row, right in zip(similarities(query, key), target, strict=True):
        ahead = sum(s > row[right] for s in row)
        ties = sum(s == row[right] for s in row)
        total += min(1.0, max(0, k - ahead) / ties)
    return total / len(target)


def votes(query, gallery, label, num_classes, k, temperature):
    found = []
    for row, best in zip(similarities(query, gallery), nearest(query, gallery, k), strict=True):
        votes = [0.0] * num_classes
        for i in best:
            votes[label[i]] += math.exp(row[i] / temperature)
        found.append([v / math.exp(row[best[0]] / temperature) for v in votes])
    return found
