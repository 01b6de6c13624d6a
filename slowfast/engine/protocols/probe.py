"""What the protocols on frozen features share: inputs, labels, and what guessing would give.

The gallery (the train split, seen as in testing) is what is learned or retrieved from, the test
split is what is measured.

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
    """Labels of both splits, in numbers of the classes that the gallery has.

    Attributes:
        label: int64 (G,), 0 to M - 1.
        target: int64 (N,), the same; -1 for a class that the gallery lacks.
        classes: int64 (M,), the labels of the dataset, ascending.
    """

    label: Tensor
    target: Tensor
    classes: Tensor

    def chance(self, k: int) -> float:
        """Return how often one of k different guesses among the gallery's classes is right."""
        known = float((self.target >= 0).double().mean())
        return known * min(k, len(self.classes)) / len(self.classes)


class Probe(NamedTuple):
    """Frozen features of both splits.

    Attributes:
        inputs: float32 (G, C), of the gallery.
        queries: float32 (N, C), of the test split.
        split: Their labels.
    """

    inputs: Tensor
    queries: Tensor
    split: ClassSplit


def read_probe(evidence: FeatureProvider, cfg: CfgNode, protocol: str) -> Probe:
    """Get the features that PROBE.FEATURE names, and their labels.

    Of audio, gallery videos without any are left out; test videos without any stay, as zeros, so
    that every method is measured on the same videos.

    Args:
        evidence: Features of the test split and of the gallery.
        cfg: PROBE.FEATURE.
        protocol: Name of the protocol, for messages.

    Returns:
        What to learn from and to measure on.

    Raises:
        UserError: If labels or features are missing.
    """
    test, gallery = evidence.features("test"), evidence.features("gallery")
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
            evidence.warn_once(
                f"PROBE.FEATURE audio: {silent[0]} train videos without audio are left out; "
                f"{silent[1]} test videos without audio are guessed"
            )
    return Probe(inputs, queries, remap_labels(evidence, label, test.label))


def _feature(table: FeatureTable, name: str, protocol: str) -> Tensor:
    if name in table.features:
        return table.features[name]
    have = [other for other in ("video", "audio") if other in table.features]
    use = f"set PROBE.FEATURE {have[0]}" if have else "this model gives none to be probed"
    hint = ", and AUDIO.ENABLE True where the model has an audio branch" if name == "audio" else ""
    raise ConfigValueError(
        "PROBE.FEATURE",
        f"'{protocol}' needs the feature '{name}', which the model does not give "
        f"(it gives: {', '.join(have) or 'none'}); {use}{hint}.",
    )


def need_labels(protocol: str, *labels: Tensor) -> None:
    """Refuse videos without a label.

    Args:
        protocol: Name of the protocol, for the message.
        labels: int64 (N,) each.

    Raises:
        UserError: If a label is unknown.
    """
    missing = sum(int((label < 0).sum()) for label in labels)
    if missing:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            f"'{protocol}' needs a label for every video, but {missing} have none. "
            "Use class folders or a csv with labels, or leave the protocol out.",
        )


def remap_labels(evidence: FeatureProvider, label: Tensor, target: Tensor) -> ClassSplit:
    """Number the classes that there is something to learn of, and warn of those there is not.

    Args:
        evidence: Takes the warning.
        label: int64 (G,), of the gallery, any numbers from 0.
        target: int64 (N,), of the test split.

    Returns:
        Labels from 0 to M - 1, and -1 for test videos of other classes, which then count as wrong.
    """
    classes, numbers = torch.unique(label, return_inverse=True)
    place = torch.searchsorted(classes, target).clamp(max=len(classes) - 1)
    known = classes[place] == target
    if not known.all():
        strange = torch.unique(target[~known]).tolist()
        evidence.warn_once(
            f"{int((~known).sum())} test videos are of classes that the train split lacks (labels "
            f"{', '.join(map(str, strange[:_SHOWN]))}{', ...' if len(strange) > _SHOWN else ''}): "
            "they count as wrong"
        )
    return ClassSplit(numbers, torch.where(known, place, -1), classes)


def count_hits(scores: Tensor, split: ClassSplit, name: str) -> dict[str, Result]:
    """Turn class scores into results.

    Args:
        scores: float (N, M).
        split: The labels.
        name: Metrics are called ``<name>_top1`` and so on.

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
