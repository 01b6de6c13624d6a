"""Registry of evaluation protocols, with the types of their input and result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from slowfast.config import CfgNode
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.engine.features import FeatureTable
from slowfast.models.build import MODEL_REGISTRY
from slowfast.utils.registry import Registry

__all__ = [
    "PROTOCOL_REGISTRY",
    "FeatureProvider",
    "Result",
    "classifies",
    "with_protocols_of_data",
    "with_protocols_of_model",
]

PROTOCOL_REGISTRY = Registry(
    "protocol", "TEST.PROTOCOLS", needs_model=True, needs_head=False, one_label=False
)
PROTOCOL_REGISTRY.__doc__ = """
``(provider, cfg) -> dict[str, Result]``: metric name -> result. Capabilities: ``needs_model``
(False: the result does not depend on training and is computed once); ``needs_head`` (True: it
measures the scores of a classifier's head, which has to be loaded); ``one_label`` (True: it needs
one label per video, so that it cannot run with DATA.MULTI_LABEL).

Every process calls it and gets the same tables. It may read features (which are gathered over all
processes) and may raise, but never on one rank only. It also computes on every rank: the processes
of a machine share its cores, so a single rank would not be faster, and the other ranks would wait
in a collective that may time out.
"""


_DEFAULT = "classification"
_WITHOUT_LABELS = ["cross_modal_retrieval", "av_sync"]


@dataclass(frozen=True)
class Result:
    """One metric.

    Attributes:
        value: The value, a fraction unless the metric's name says otherwise.
        chance: Chance level, or None.
        interval: 95 % confidence interval; None: the Wilson interval for ``count`` trials, if there
            is a count.
        count: Number of independent trials that ``value`` is the mean of; None if it is no mean.
    """

    value: float
    chance: float | None = None
    interval: tuple[float, float] | None = None
    count: int | None = None


class FeatureProvider(Protocol):
    """Input of a protocol."""

    def features(self, split: str, *, audio_offset_sec: float = 0.0) -> FeatureTable:
        """Return the features of "test" or "gallery", with an offset of audio relative to video.

        They are extracted once. The table covers all ranks and is the same on each.
        """

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's preprocessed batches, with uint8 frames as ``raw_video``."""

    def warn_once(self, message: str) -> None:
        """Log a warning, unless the same text was logged before."""


def with_protocols_of_model(cfg: CfgNode) -> CfgNode:
    """Replace the default of TEST.PROTOCOLS by that of a model that does not classify.

    Args:
        cfg: The configuration.

    Returns:
        The same configuration, or a frozen copy with the protocols that the model was registered
        with.
    """
    protocols = MODEL_REGISTRY.capability(cfg.MODEL.MODEL_NAME, "protocols")
    if not protocols or list(cfg.TEST.PROTOCOLS) != [_DEFAULT]:
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.PROTOCOLS = list(protocols)
    cfg.freeze()
    return cfg


def classifies(cfg: CfgNode) -> bool:
    """Return whether a test compares labels with the scores of a classifier's head."""
    names = with_protocols_of_model(cfg).TEST.PROTOCOLS
    return any(PROTOCOL_REGISTRY.capability(name, "needs_head") for name in names)


def with_protocols_of_data(cfg: CfgNode, manifest: Manifest | None) -> tuple[CfgNode, str]:
    """Leave protocols that need labels out of the test after training, if the videos have none.

    Without this a run on a plain folder would train to the end, and fail there.

    Args:
        cfg: The configuration.
        manifest: The files of the test split; None: nothing is known about them.

    Returns:
        The same configuration, or a frozen copy whose TEST.PROTOCOLS need no labels: those that
        are left, else the comparison of video and audio. Without audio nothing is left, and
        TEST.ENABLE is False. And what to log about it; "" if nothing changed.
    """
    listed = list(cfg.TEST.PROTOCOLS)
    need_labels = [n for n in listed if PROTOCOL_REGISTRY.capability(n, "one_label")]
    if manifest is None or manifest.summary.num_labeled or not need_labels:
        return cfg, ""
    kept = [name for name in listed if name not in need_labels]
    kept = kept or (_WITHOUT_LABELS if cfg.AUDIO.ENABLE else [])
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.PROTOCOLS = kept
    cfg.TEST.ENABLE = cfg.TEST.ENABLE and bool(kept)
    cfg.TRAIN.EVAL_BEFORE = cfg.TRAIN.EVAL_BEFORE and bool(kept)
    cfg.freeze()
    left_out = f"the test videos have no labels: {', '.join(need_labels)} left out"
    if not kept:
        return cfg, f"{left_out}, and nothing else can be measured without audio (AUDIO.ENABLE)"
    return cfg, f"{left_out}; TEST.PROTOCOLS {kept}"
