"""Votes of the nearest videos against scikit-learn and a slow oracle."""

import numpy as np
import pytest
from helpers.probes import Given, blob_tables, probe_cfg
from reference import retrieval
from torch.nn import functional as F

from slowfast.engine.protocols.knn import knn


@pytest.mark.parametrize("k", [1, 15, 200])
def test_it_equals_scikit_learns(k):
    neighbors = pytest.importorskip("sklearn.neighbors")
    test, gallery = blob_tables(classes=4, spread=2.0)
    results = knn(Given(test, gallery), probe_cfg(KNN_K=k))
    theirs = neighbors.KNeighborsClassifier(
        min(k, len(gallery)),
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    )
    theirs.fit(gallery.features["video"].double(), gallery.label)
    expected = theirs.score(test.features["video"].double(), test.label)
    assert results["knn_top1"].value == pytest.approx(expected)
    assert results["knn_top1"].chance == 0.25
    assert list(results) == ["knn_top1"]  # four classes: no top-5


def test_top5_equals_the_oracle():
    test, gallery = blob_tables(classes=8, per_class=4, spread=3.0)
    unit = [F.normalize(t.features["video"].double(), dim=1).tolist() for t in (test, gallery)]
    votes = retrieval.votes(*unit, gallery.label.tolist(), 8, 3, 0.07)
    total = 0.0
    for row, own in zip(votes, test.label.tolist(), strict=True):  # classes without a vote tie
        free = 5 - sum(v > row[own] for v in row)
        total += min(1.0, max(0, free) / sum(v == row[own] for v in row))
    results = knn(Given(test, gallery), probe_cfg(KNN_K=3))
    assert results["knn_top5"].value == pytest.approx(total / len(test))


def test_a_low_temperature_is_the_nearest_neighbor():
    test, gallery = blob_tables(spread=2.0)
    given = Given(test, gallery)
    assert knn(given, probe_cfg(KNN_TEMPERATURE=1e-6)) == knn(given, probe_cfg(KNN_K=1))
