"""Confidence intervals against scipy."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from slowfast.utils.statistics import (
    holm,
    mean_interval,
    student_t_p,
    student_t_quantile,
    wilson_interval,
)


@pytest.mark.parametrize("degrees", [*range(1, 40), 99, 100, 999, 2000])
def test_t_quantile_is_scipys(degrees):
    assert student_t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-12)


@pytest.mark.parametrize("count", [2, 3, 5, 6, 31])
def test_mean_interval_is_scipys(count):
    values = np.random.default_rng(count).normal(0.6, 0.1, count)
    got = mean_interval(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert got == pytest.approx((values.mean(), low, high), rel=1e-12)
    assert mean_interval(list(reversed(values.tolist()))) == got


@pytest.mark.parametrize("count", [2, 3, 5, 6, 31])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.05, 0.4])
def test_p_is_scipys(count, shift):
    values = np.random.default_rng(count).normal(shift, 0.1, count)
    expected = stats.ttest_1samp(values, 0.0).pvalue
    assert student_t_p(values.tolist()) == pytest.approx(expected, rel=1e-6, abs=1e-14)
    low, high = mean_interval(values.tolist())[1:]
    assert (expected < 0.05) == (low > 0 or high < 0)


@pytest.mark.parametrize(("values", "p"), [([0.0, 0.0], 1.0), ([0.25, 0.25], 0.0)])
def test_p_of_equal_values(values, p):
    assert student_t_p(values) == p


@pytest.mark.parametrize(
    ("found", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.9, 0.001], [1.0, 1.0, 0.003]),
        ([0.01, 0.01], [0.02, 0.02]),
    ],
)
def test_p_values_are_adjusted_for_their_number(found, adjusted):
    assert holm(found) == pytest.approx(adjusted)


def test_equal_values_leave_no_width():
    assert mean_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1, 0.1), abs=1e-15)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_value_has_no_interval(values):
    with pytest.raises(ValueError, match=f"at least 2 values, got {len(values)}"):
        mean_interval(values)


@pytest.mark.parametrize(
    ("successes", "count"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 10), (389, 1000)]
)
def test_wilson_is_scipys(successes, count):
    expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    got = wilson_interval(successes / count, count)
    assert got == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= got[0] < got[1] <= 1


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (-0.1, 5), (1.1, 5), (math.nan, 5)])
def test_wilson_refuses_what_is_no_share(share, count):
    with pytest.raises(ValueError, match="share from 0 to 1"):
        wilson_interval(share, count)


def test_no_degrees():
    with pytest.raises(ValueError, match="at least 1 degree"):
        student_t_quantile(0)


def test_needs_no_torch():
    code = "import sys, slowfast.utils.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
