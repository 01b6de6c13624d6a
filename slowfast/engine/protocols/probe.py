"""Shared code of the protocols on frozen features: features, labels and chance levels.

The gallery is the train split, with the views of testing. Classifiers are fitted on it and videos
retrieved from it; the test split is evaluated.

Legend: G gallery videos, N test videos, C channels, M classes of the gallery.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.features import FeatureTable
from slowfast.engine.protocols.build import FeatureProvider, Result
from slowfast.utils.metrics import topk_hits

__all__ = ["ClassSplit", "Probe", "count_hits", "need_labels", "read_probe", "remap_labels"]

_SHOWN = 10


class ClassSplit(NamedTuple):
    """Labels of both splits, as indices of the gallery's classes.

    Attributes:
        label: int64 (G,), 0 to M - 1.
        target: int64 (N,), the same; -1 for a class that is not in the gallery.
        classes: int64 (M,), the labels of the dataset, ascending.
    """

    label: Tensor
    target: Tensor
    classes: Tensor

    def chance(self, k: int) -> float:
        """Return the chance level of top-k accuracy over the gallery's classes."""
        known = float((self.target >= 0).double().mean())
        return known * min(k, len(self.classes)) / len(self.classes)


class Probe(NamedTuple):
    """Frozen features of both splits.

    Attributes:
        inputs: float32 (G, C), features of the gallery.
        queries: float32 (N, C), features of the test split.
        split: Labels of both.
    """

    inputs: Tensor
    queries: Tensor
    split: ClassSplit


def read_probe(provider: FeatureProvider, cfg: CfgNode, protocol: str) -> Probe:
    """Read the features of PROBE.FEATURE, and their labels.

    For audio features, gallery videos without audio are skipped; test videos without audio are kept
    as zeros, so that every method is evaluated on the same videos.

    Raises:
        UserError: If labels or features are missing.
    """
    test, gallery = provider.features("test"), provider.features("gallery")
    need_labels(protocol, test.label, gallery.label)
    inputs, queries = (_feature(table, cfg.PROBE.FEATURE, protocol) for table in (gallery, test))
    label = gallery.label
    if cfg.PROBE.FEATURE == "audio":
        inputs, label = inputs[gallery.audio_valid], label[gallery.audio_valid]
        silent = int((~gallery.audio_valid).sum()), int((~test.audio_valid).sum())
        if not len(inputs):
            raise ConfigValueError(
                "TEST.PROTOCOLS", f"'{protocol}': no video of the train split has audio."
            )
        if any(silent):
            provider.warn_once(
                f"PROBE.FEATURE audio: {silent[0]} train videos without audio are skipped; "
                f"{silent[1]} test videos without audio have zero features"
            )
    return Probe(inputs, queries, remap_labels(provider, label, test.label))


def _feature(table: FeatureTable, name: str, protocol: str) -> Tensor:
    if name in table.features:
        return table.features[name]
    have = [other for other in ("video", "audio") if other in table.features]
    use = f"set PROBE.FEATURE {have[0]}" if have else "this model has no features"
    hint = ", and AUDIO.ENABLE True where the model has an audio branch" if name == "audio" else ""
    raise ConfigValueError(
        "PROBE.FEATURE",
        f"'{protocol}' needs the feature '{name}', which the model does not have "
        f"(it has: {', '.join(have) or 'none'}); {use}{hint}.",
    )


def need_labels(protocol: str, *labels: Tensor) -> None:
    """Raise if a video has no label, or several.

    Args:
        protocol: Name of the protocol, for the message.
        labels: Labels of ``FeatureTable``s.

    Raises:
        UserError: If a label is unknown, or multi-hot.
    """
    if any(label.dim() > 1 for label in labels):
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            f"'{protocol}' needs one label per video, but DATA.MULTI_LABEL is True. Use "
            "classification, cross_modal_retrieval or av_sync.",
        )
    missing = sum(int((label < 0).sum()) for label in labels)
    if missing:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            f"'{protocol}' needs a label for every video, but {missing} have none. "
            "Use class folders or a csv with labels, or remove the protocol.",
        )


def remap_labels(provider: FeatureProvider, label: Tensor, target: Tensor) -> ClassSplit:
    """Map labels to indices of the gallery's classes, and warn about other classes.

    Args:
        provider: Logs the warning.
        label: int64 (G,), labels of the gallery, >= 0.
        target: int64 (N,), labels of the test split.

    Returns:
        Labels from 0 to M - 1, and -1 for test videos of other classes, which then count as wrong.
    """
    classes, numbers = torch.unique(label, return_inverse=True)
    place = torch.searchsorted(classes, target).clamp(max=len(classes) - 1)
    known = classes[place] == target
    if not known.all():
        unseen = torch.unique(target[~known]).tolist()
        shown = ", ".join(map(str, unseen[:_SHOWN])) + (", ..." if len(unseen) > _SHOWN else "")
        provider.warn_once(
            f"{int((~known).sum())} test videos have classes that are not in the train split "
            f"(labels {shown}): "
            "they count as wrong"
        )
    return ClassSplit(numbers, torch.where(known, place, -1), classes)


def count_hits(scores: Tensor, split: ClassSplit, name: str) -> dict[str, Result]:
    """Compute top-k accuracies from class scores.

    Args:
        scores: float (N, M).
        split: The labels.
        name: Prefix of the metrics, as in ``<name>_top1``.

    Returns:
        Top-1 and, with more than five classes, top-5 accuracy.
    """
    ranks = (1, 5) if len(split.classes) > 5 else (1,)
    return {
        f"{name}_top{k}": Result(
            float(topk_hits(scores, split.target, k).mean()),
            split.chance(k),
            count=len(split.target),
        )
        for k in ranks
    }
