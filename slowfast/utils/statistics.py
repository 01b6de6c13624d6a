"""95 % confidence intervals, in plain Python, so that tools that read results need no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean
from typing import NamedTuple

__all__ = [
    "MeanInterval",
    "holm",
    "mean_interval",
    "student_t_p",
    "student_t_quantile",
    "wilson_interval",
]

CONFIDENCE = 0.95


class MeanInterval(NamedTuple):
    """A mean and its 95 % interval, in the units of the values.

    Attributes:
        mean: The mean.
        low: Lower end.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Estimate a mean from a few independent measurements, such as seeds.

    Args:
        values: At least two.

    Returns:
        The mean with its 95 % Student t interval.

    Raises:
        ValueError: If there are fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"an interval needs at least 2 values, got {count}.")
    mean = fmean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = student_t_quantile(count - 1) * math.sqrt(variance / count)
    return MeanInterval(mean, mean - half, mean + half)


def student_t_p(values: Sequence[float]) -> float:
    """Test whether a mean differs from 0, such as a difference over seeds.

    Args:
        values: At least two.

    Returns:
        The two-sided p-value of Student's t test; below 0.05 where ``mean_interval`` excludes 0.

    Raises:
        ValueError: If there are fewer than two values.
    """
    mean, low, high = mean_interval(values)
    if high == low:
        return 0.0 if mean else 1.0
    degrees = len(values) - 1
    ratio = abs(mean) / ((high - low) / 2) * student_t_quantile(degrees)
    return 1 - _central_probability(math.atan(ratio / math.sqrt(degrees)), degrees)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): valid also if the tests share data.

    Args:
        p_values: Of all tests that are reported together.

    Returns:
        The adjusted p-values in the same order, at most 1. Those below 0.05 hold together: the
        probability that any of them is a false one is at most 5 %.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def wilson_interval(successes_share: float, count: int) -> tuple[float, float]:
    """Estimate a proportion from independent trials, such as the accuracy over N videos.

    Args:
        successes_share: Successes over trials, 0 to 1. Ties may make the successes fractional.
        count: Trials, at least 1.

    Returns:
        Lower and upper end of the 95 % interval of Wilson's score test; always within 0 to 1,
        and not empty even for a share of 0 or 1.

    Raises:
        ValueError: If the share or the count is out of range.
    """
    if count < 1 or not 0.0 <= successes_share <= 1.0:
        raise ValueError(
            f"expected a share from 0 to 1 of at least 1 trial, got {successes_share} of {count}."
        )
    z_squared = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    center = successes_share + z_squared / (2 * count)
    spread = successes_share * (1 - successes_share) / count + z_squared / (4 * count**2)
    half = math.sqrt(z_squared * spread)
    scale = 1 + z_squared / count
    # Rounding may leave 1e-17 where the end is exactly 0 or 1.
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


@cache
def student_t_quantile(degrees: int) -> float:
    """Compute the half-width of the central 95 % of Student's t distribution.

    Args:
        degrees: Degrees of freedom, at least 1.

    Returns:
        The 0.975 quantile, up to rounding: for an integer number of degrees the probability is a
        finite sum, which is inverted by bisection.

    Raises:
        ValueError: If there is less than one degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"expected at least 1 degree of freedom, got {degrees}.")
    low, high = 0.0, math.pi / 2
    middle = (low + high) / 2
    while low < middle < high:  # until no number lies between the two
        if _central_probability(middle, degrees) < CONFIDENCE:
            low = middle
        else:
            high = middle
        middle = (low + high) / 2
    return math.sqrt(degrees) * math.tan(middle)


def _central_probability(angle: float, degrees: int) -> float:
    """P(|T| < t) for t = sqrt(degrees) tan(angle); Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    cosine = math.cos(angle)
    is_odd = degrees % 2
    summand = cosine if is_odd else 1.0
    summands = [] if degrees == 1 else [summand]
    for number in range(2 + is_odd, degrees, 2):
        summand *= cosine**2 * (number - 1) / number
        summands.append(summand)
    total = math.sin(angle) * math.fsum(summands)
    return 2 / math.pi * (angle + total) if is_odd else total
