"""Epochs in which all classes are equally frequent (DATA.BALANCED_SAMPLING)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast.config import ConfigValueError
from slowfast.datasets.annotations.labels import rows_of_classes
from slowfast.datasets.base import TrainDataset
from slowfast.utils.random import STREAM_ORDER, sample_rng

__all__ = ["balanced_order", "samples_of_classes"]


def samples_of_classes(dataset: Any) -> list[np.ndarray]:
    """Return the samples of each class of a dataset.

    Args:
        dataset: A training dataset.

    Returns:
        int64 (n,) per class, for ``balanced_order``.

    Raises:
        UserError: If the dataset has no list of files, or one without labels.
    """
    if not isinstance(dataset, TrainDataset):
        raise ConfigValueError(
            "DATA.BALANCED_SAMPLING",
            "got True, but this dataset has no list of its files with labels; use False.",
        )
    manifest = dataset.manifest
    if not manifest.has_labels:
        raise ConfigValueError(
            "DATA.BALANCED_SAMPLING",
            f"got True, but {int((~manifest.is_labeled).sum())} of {len(manifest)} training files "
            "have no label; use False.",
        )
    clips = np.arange(0, len(dataset), len(manifest))  # first sample of the n-th clip of all files
    return [(rows + clips[:, None]).flatten() for rows in rows_of_classes(manifest)]


def balanced_order(classes: Sequence[np.ndarray], length: int, seed: int, epoch: int) -> np.ndarray:
    """Return the samples of an epoch in which all classes are equally frequent, in random order.

    Each class has ``length / len(classes)`` places, give or take one. Its samples take them in
    random order; if it has fewer samples than places, all are used again before one is used a third
    time. The n-th repetition of sample i has the index ``i + n * length``: TrainDatasets map it to
    the same file, and it is another random clip, since the random numbers depend on the index.

    Args:
        classes: Indices of the samples of each class, below ``length``, none of them empty. A
            sample may be in several classes.
        length: Number of samples.
        seed: RNG_SEED.
        epoch: The epoch, from 0.

    Returns:
        int64 (length,); it depends only on the arguments.
    """
    rng = sample_rng(seed, epoch, 0, STREAM_ORDER)
    places = np.full(len(classes), length // len(classes))
    places[rng.permutation(len(classes))[: length % len(classes)]] += 1
    chosen = [
        np.concatenate([rng.permutation(own) for _ in range(-(-int(n) // len(own)))] or [own])[:n]
        for own, n in zip(classes, places, strict=True)
    ]
    samples = np.sort(np.concatenate(chosen))
    repetition = np.arange(length) - np.searchsorted(samples, samples)
    return rng.permutation(samples + repetition * length)
