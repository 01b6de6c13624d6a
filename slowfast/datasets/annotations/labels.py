"""Labels of a manifest: the check against the head, and few-shot subsets."""

from __future__ import annotations

import logging

import numpy as np

from slowfast.config import ConfigValueError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.utils.random import STREAM_SUBSET, sample_rng

__all__ = ["check_labels", "take_per_class"]

logger = logging.getLogger(__name__)


def check_labels(manifest: Manifest, num_classes: int, key: str) -> None:
    """Check that the labels of the train split fit the head of a classifier.

    Args:
        manifest: The train split.
        num_classes: Number of outputs of the head.
        key: The config key of ``num_classes``, e.g. ``MODEL.NUM_CLASSES``.

    Raises:
        UserError: If a row has no label, or a label that is too large.
    """
    unlabeled = int((manifest.labels < 0).sum())
    if unlabeled:
        first = manifest.row(int(np.argmax(manifest.labels < 0))).name
        raise ConfigValueError(
            "TRAIN.DATASET",
            f"{unlabeled} of the {len(manifest)} files of the train split have no "
            f"label, the first: {first}. A classifier needs a label for every file.",
        )
    highest = int(manifest.labels.max())
    if highest >= num_classes:
        known = len(manifest.class_names)
        of = f" of {known} classes" if known else ""
        raise ConfigValueError(
            key,
            f"got {num_classes}, but the largest label of the train split is {highest}{of}; "
            f"use {max(known, highest + 1)}.",
        )
    if manifest.class_names and len(manifest.class_names) < num_classes:
        logger.warning(
            "%s is %d, but the train split has only %d classes: the other outputs are not trained",
            key,
            num_classes,
            len(manifest.class_names),
        )


def take_per_class(manifest: Manifest, per_class: int, seed: int) -> Manifest:
    """Sample k files of each class.

    Args:
        manifest: The train split.
        per_class: k, DATA.TRAIN_VIDEOS_PER_CLASS; 0: all files.
        seed: RNG_SEED. With the same seed, a smaller subset is contained in a larger one.

    Returns:
        ``per_class`` rows of each class in the order of the manifest; the same object for 0.

    Raises:
        UserError: If a label is unknown, or a class has too few files.
    """
    if not per_class:
        return manifest
    labels = np.asarray(manifest.labels)
    if not manifest.has_labels:
        raise ConfigValueError(
            "DATA.TRAIN_VIDEOS_PER_CLASS",
            f"got {per_class}, but {int((labels < 0).sum())} of {len(manifest)} training files "
            "have no label; use 0.",
        )
    classes = range(len(manifest.class_names)) or np.unique(labels).tolist()
    chosen: list[int] = []
    for label in classes:
        rows = np.flatnonzero(labels == label)
        if len(rows) < per_class:
            name = f" ({manifest.class_names[label]})" if manifest.class_names else ""
            raise ConfigValueError(
                "DATA.TRAIN_VIDEOS_PER_CLASS",
                f"got {per_class}, but class {label}{name} has only {len(rows)} training files.",
            )
        order = sample_rng(seed, 0, label, STREAM_SUBSET).permutation(len(rows))
        chosen += rows[order[:per_class]].tolist()
    return manifest.take(sorted(chosen))
