"""How often does a run with a component exceed one without it?

The probability of improvement (Agarwal et al., arXiv 2108.13264, section 4.3) compares all pairs of
seeds; ties count half. Seeds may differ more than variants do, so runs of the same seed are
compared, too: the share that the component wins in each seed has a Student t interval over seeds.
(A bootstrap of five seeds repeats seeds, and is not centered on the estimate.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["Values", "common_seeds", "improvement", "wins_by_seed", "wins_of_groups"]

Values = Mapping[str, Mapping[int, float]]
"""variant -> seed -> value of one metric."""

Pairs = Sequence[tuple[str, str]]
"""(variant with the component, variant without it)."""


def improvement(values: Values, pairs: Pairs) -> float:
    """Return the probability of improvement, 0 to 1, averaged over the pairs of variants."""
    seeds = common_seeds([values], pairs)
    shares = []
    for one, other in pairs:
        wins = [_win(values[one][a], values[other][b]) for a in seeds for b in seeds]
        shares.append(sum(wins) / len(wins))
    return sum(shares) / len(shares)


def common_seeds(tables: Sequence[Values], pairs: Pairs) -> list[int]:
    """List the seeds that all variants of the pairs have, in all of several metrics and sets."""
    variants = {variant for pair in pairs for variant in pair}
    found = [set(values.get(variant, {})) for values in tables for variant in variants]
    return sorted(set.intersection(*found)) if found else []


def wins_by_seed(tables: Sequence[Values], pairs: Pairs) -> list[float]:
    """Compute for each seed the share of comparisons that the component wins, ties counting half.

    Args:
        tables: Values of several metrics and sets, which have the same seeds.
        pairs: The variants.

    Returns:
        One share, 0 to 1, for each seed that all variants have in all tables.
    """
    count = len(tables) * len(pairs)
    return [
        sum(_win(v[one][seed], v[other][seed]) for v in tables for one, other in pairs) / count
        for seed in common_seeds(tables, pairs)
    ]


def wins_of_groups(groups: Sequence[Sequence[Values]], pairs: Pairs) -> list[float]:
    """Compute the same over groups with different seeds, such as demo sets and real video.

    Args:
        groups: Tables of the same seeds. The k-th seeds of the groups count together.
        pairs: The variants.

    Returns:
        One share, 0 to 1, for as many seeds as all groups have; each table has the same weight.
    """
    sizes = [len(group) for group in groups]
    by_seed = zip(*(wins_by_seed(group, pairs) for group in groups), strict=False)
    return [
        sum(size * share for size, share in zip(sizes, shares, strict=True)) / sum(sizes)
        for shares in by_seed
    ]


def _win(one: float, other: float) -> float:
    return (one > other) + 0.5 * (one == other)
