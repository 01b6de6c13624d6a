"""Consecutive windows of the same class are one segment."""

import pytest

from slowfast.inference.embeddings import Prediction
from slowfast.inference.timeline import Segment, merge_windows


def windows(*classes):
    return [Prediction("x", list(c), float(n), n + 1.0) for n, c in enumerate(classes)]


def test_single_label():
    found = merge_windows(
        windows(
            [("a", 0.5), ("b", 0.4)], [("a", 1.0)], [("b", 0.9)], [], [("a", 0.2)], [("a", 0.4)]
        )
    )
    assert [s.label for s in found] == ["a", "b", "a"]
    assert found[0] == Segment("a", 0.75, 0.0, 2.0)
    assert found[1] == Segment("b", 0.9, 2.0, 3.0)
    assert found[2].score == pytest.approx(0.3)
    assert found[2][2:] == (4.0, 6.0)


def test_several_labels_overlap():
    found = merge_windows(
        windows([("a", 0.9), ("b", 0.6)], [("b", 0.8)], [("a", 0.7)]), multi_label=True
    )
    assert found == [
        Segment("a", 0.9, 0.0, 1.0),
        Segment("b", pytest.approx(0.7), 0.0, 2.0),
        Segment("a", 0.7, 2.0, 3.0),
    ]


def test_nothing():
    assert merge_windows([]) == []
