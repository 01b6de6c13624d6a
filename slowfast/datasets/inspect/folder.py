"""Everything that a check finds out about a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.inspect.advice import NextStep, SuggestedKey, suggest_keys, suggest_steps
from slowfast.datasets.inspect.distributions import Counts, Histogram, count_values, histograms
from slowfast.datasets.inspect.duplicates import Duplicates, find_duplicates
from slowfast.datasets.inspect.label_layout import LayoutFacts, inspect_layout
from slowfast.datasets.inspect.report import MediaReport

__all__ = ["FolderFacts", "inspect_folder"]


class FolderFacts(NamedTuple):
    """Facts about a folder.

    Attributes:
        folder: The folder, or a single file.
        reports: One per file.
        others: Number of files that were not checked, by suffix.
        duplicates: The same files among them.
        layout: How the folder would be read for training.
        keys: Config keys that fit the files.
        steps: The commands to run next.
        histograms: Distributions of numbers.
        counts: Distributions of values.
    """

    folder: Path
    reports: Sequence[MediaReport]
    others: Mapping[str, int]
    duplicates: Sequence[Duplicates]
    layout: LayoutFacts
    keys: Sequence[SuggestedKey]
    steps: Sequence[NextStep]
    histograms: Sequence[Histogram]
    counts: Sequence[Counts]


def inspect_folder(
    folder: Path, reports: Sequence[MediaReport], others: Mapping[str, int]
) -> FolderFacts:
    """Find out what the reports of a folder's files amount to.

    Args:
        folder: The folder, or a single file.
        reports: One per file; at least one.
        others: Number of files that were not checked, by suffix.

    Returns:
        The facts.
    """
    duplicates = find_duplicates(reports)
    is_folder = folder.is_dir()
    layout = inspect_layout(folder, reports) if is_folder else LayoutFacts("")
    keys = suggest_keys(reports, layout) if is_folder else []
    steps = suggest_steps(folder, reports, layout, duplicates, keys)
    return FolderFacts(
        folder,
        reports,
        others,
        duplicates,
        layout,
        keys,
        steps,
        histograms(reports),
        count_values(reports),
    )
