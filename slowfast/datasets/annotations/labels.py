"""Labels of a manifest: checks, targets of the loss, and few-shot subsets."""

from __future__ import annotations

import logging

import numpy as np

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest, VideoRecord
from slowfast.utils.random import STREAM_SUBSET, sample_rng

__all__ = [
    "balanced_class_weights",
    "check_highest_class",
    "check_labels",
    "encode_label",
    "label_width",
    "rows_of_classes",
    "take_per_class",
]

logger = logging.getLogger(__name__)


def label_width(cfg: CfgNode, manifest: Manifest, split: str) -> int:
    """Return the length of a sample's label, and check that the manifest has labels of this kind.

    Args:
        cfg: DATA.MULTI_LABEL; MODEL.NUM_CLASSES.
        manifest: The files of a split.
        split: Name of the split, for the message.

    Returns:
        MODEL.NUM_CLASSES with DATA.MULTI_LABEL; 0: a label is one number.

    Raises:
        UserError: If the manifest has labels of the other kind, or more classes.
    """
    multi_label, width = cfg.DATA.MULTI_LABEL, int(cfg.MODEL.NUM_CLASSES)
    if manifest.summary.num_labeled and manifest.is_multi_label != multi_label:
        row = manifest.row(int(np.argmax(manifest.is_labeled)))
        have = "lists of classes" if manifest.is_multi_label else "one class per file"
        raise ConfigValueError(
            "DATA.MULTI_LABEL",
            f"got {multi_label}, but this dataset has {have} (the first: {row.name}); use "
            f"{not multi_label}.",
        )
    if multi_label and manifest.summary.highest_class >= width:
        _raise_too_few(manifest, width, "MODEL.NUM_CLASSES", split)
    return width if multi_label else 0


def encode_label(row: VideoRecord, width: int) -> int | np.ndarray:
    """Return the label of a sample.

    Args:
        row: The row of the sample's file.
        width: From ``label_width``.

    Returns:
        The class, NO_LABEL if unknown; with a width float32 (width,): 1 for the classes of the row,
        0 for others, all NO_LABEL if unknown.
    """
    if not width:
        return row.label
    if row.labels is None:
        return np.full(width, NO_LABEL, np.float32)
    target = np.zeros(width, np.float32)
    target[list(row.labels)] = 1
    return target


def check_labels(manifest: Manifest, num_classes: int, key: str) -> None:
    """Check that the labels of the train split fit the head of a classifier.

    Args:
        manifest: The train split.
        num_classes: Number of outputs of the head.
        key: The config key of ``num_classes``, e.g. ``MODEL.NUM_CLASSES``.

    Raises:
        UserError: If a row has no label, or a label that is too large.
    """
    unlabeled = len(manifest) - manifest.summary.num_labeled
    if unlabeled:
        first = manifest.row(int(np.argmin(manifest.is_labeled))).name
        none = " (a row without any class has the list [])" if manifest.is_multi_label else ""
        raise ConfigValueError(
            "TRAIN.DATASET",
            f"{unlabeled} of the {len(manifest)} files of the train split have no "
            f"label, the first: {first}. A classifier needs a label for every file{none}.",
        )
    if manifest.summary.highest_class >= num_classes:
        _raise_too_few(manifest, num_classes, key, "train")
    if manifest.class_names and len(manifest.class_names) < num_classes:
        logger.warning(
            "%s is %d, but the train split has only %d classes: the other outputs are not trained",
            key,
            num_classes,
            len(manifest.class_names),
        )


def check_highest_class(manifest: Manifest | None, num_classes: int, split: str) -> None:
    """Check that the labels of a split that is evaluated fit the head of a classifier.

    Args:
        manifest: The files of the split; None: nothing is known about them.
        num_classes: MODEL.NUM_CLASSES.
        split: Name of the split, for the message.

    Raises:
        UserError: If a label is too large.
    """
    if manifest is not None and manifest.summary.highest_class >= num_classes:
        _raise_too_few(manifest, num_classes, "MODEL.NUM_CLASSES", split)


def _raise_too_few(manifest: Manifest, num_classes: int, key: str, split: str) -> None:
    highest, known = manifest.summary.highest_class, len(manifest.class_names)
    of = f" of {known} classes" if known else ""
    raise ConfigValueError(
        key,
        f"got {num_classes}, but the largest label of the {split} split is "
        f"{highest}{of}; use {max(known, highest + 1)}.",
    )


def rows_of_classes(manifest: Manifest) -> list[np.ndarray]:
    """Return the rows of each class that occurs, for balanced sampling.

    Args:
        manifest: A split in which every row has a label.

    Returns:
        int64 (n,) per class, ascending. A row with several classes is in each of them; the rows
        without any class are a class of their own.
    """
    if not manifest.is_multi_label:
        return [np.flatnonzero(manifest.labels == label) for label in np.unique(manifest.labels)]
    own = manifest.num_classes_of
    row = np.repeat(np.arange(len(manifest)), own)
    groups = [row[manifest.classes == label] for label in np.unique(manifest.classes)]
    empty = np.flatnonzero(own == 0)
    return [*groups, empty] if len(empty) else groups


def balanced_class_weights(manifest: Manifest, num_classes: int) -> list[float]:
    """Return weights of the loss that are larger for rare classes (SOLVER.BALANCED_CLASS_WEIGHTS).

    A class with n of N rows has the weight ``N / (M n)``, where M counts the classes that occur, so
    that the mean weight of a row is 1. With lists of classes it is ``(N - n) / n``, the ratio of
    negatives to positives. A class without rows has weight 1.

    Args:
        manifest: The train split.
        num_classes: MODEL.NUM_CLASSES.

    Returns:
        One number per class.
    """
    found = manifest.summary.class_counts
    total, occurring = len(manifest), len(found)
    width = max(num_classes, manifest.summary.highest_class + 1)
    counts = [found.get(label, 0) for label in range(width)]
    if manifest.is_multi_label:
        return [(total - n) / n if n else 1.0 for n in counts]
    return [total / (occurring * n) if n else 1.0 for n in counts]


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
    if manifest.is_multi_label:
        raise ConfigValueError(
            "DATA.TRAIN_VIDEOS_PER_CLASS",
            f"got {per_class}, but the training files have several classes each; use 0.",
        )
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
