"""Comparing two files of results."""

from slowfast.engine.compare_results import Comparison, compare_results
from slowfast.utils.statistics import wilson_interval


def results(**metrics):
    """Make records: name -> (value, count); "few" is a mean over two episodes of shares."""
    return {
        "records": [
            {
                "metric": name,
                "column": "after",
                "value": value,
                "count": count,
                "interval": [0.0, 1.0]
                if name == "few"
                else [round(end, 6) for end in wilson_interval(value, count)],
            }
            for name, (value, count) in metrics.items()
        ]
    }


STORED = results(a=(0.5, 20), few=(0.3, 2), b=(0.25, 8))


def test_the_same():
    comparisons = compare_results(STORED, STORED)
    assert [comparison.metric for comparison in comparisons] == ["a", "few", "b"]
    assert all(comparison.is_same for comparison in comparisons)
    assert all(comparison.allowed == 0 for comparison in comparisons)


def test_the_last_digit_counts():
    measured = results(a=(0.500001, 20), few=(0.3, 2), b=(0.25, 8))
    first, *others = compare_results(STORED, measured)
    assert first == Comparison("a", "after", 0.5, 0.500001, 0.0)
    assert not first.is_same
    assert all(comparison.is_same for comparison in others)


def test_a_clip_of_tolerance_is_one_of_those_counted():
    measured = results(a=(0.45, 20), few=(0.35, 2), b=(0.375, 8))
    assert not any(comparison.is_same for comparison in compare_results(STORED, measured))
    assert all(comparison.is_same for comparison in compare_results(STORED, measured, 1))
    measured = results(a=(0.4, 20), few=(0.36, 2), b=(0.0, 8))
    assert not any(comparison.is_same for comparison in compare_results(STORED, measured, 1))
    same = [comparison.is_same for comparison in compare_results(STORED, measured, 2)]
    assert same == [True, True, True]


def test_what_is_missing_differs():
    first, second, third, fourth = compare_results(STORED, results(a=(0.5, 20), c=(1.0, 20)), 5)
    assert first.is_same
    assert second == Comparison("few", "after", 0.3, None, second.allowed)
    assert fourth[:4] == ("c", "after", None, 1.0)
    assert not any(comparison.is_same for comparison in (second, third, fourth))


def test_nothing_is_compared_with_nothing():
    assert compare_results({}, {}) == []
