"""Evaluation: protocols over the features of splits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.preprocess import build_preprocess
from slowfast.engine.features import FeatureTable, extract_features
from slowfast.engine.precision import Precision
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.records import Measurement
from slowfast.utils import distributed
from slowfast.utils.checkpoint import unwrap_model

__all__ = ["Evaluation", "evaluate"]

logger = logging.getLogger(__name__)


class Provenance(NamedTuple):
    """What results were obtained on.

    Attributes:
        split: The split that was measured on.
        manifest: Hashes of the manifests of the splits looked at, the test split's first, joined by
            "+"; None where the dataset has no manifest.
        views: Views per video.
    """

    split: str
    manifest: str | None
    views: int


class Evaluation:
    """A model seen through the splits of a dataset; features are extracted once for all protocols.

    Args:
        cfg: The configuration.
        model: An EmbeddingModel, wrapped or not.
        precision: As in training; knows the device.
        splits: Split that a protocol asks for -> split that it gets. In training "test" means the
            validation split.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        precision: Precision,
        splits: dict[str, str] | None = None,
    ) -> None:
        self._cfg, self._model, self._precision = cfg, unwrap_model(model), precision
        self._splits = splits or {}
        self._tables: dict[tuple[str, float], FeatureTable] = {}
        self._prepare = build_preprocess(cfg, train=False).to(precision.device)
        self._manifests: dict[str, str] = {}
        self._views: dict[str, int] = {}
        self._warnings: set[str] = set()

    def features(self, split: str, *, sound_shift_sec: float = 0.0) -> FeatureTable:
        """Return the features of a split, extracted once.

        Args:
            split: "test" or "gallery".
            sound_shift_sec: How much later than the picture the audio is taken, in seconds.

        Returns:
            One row per video.

        Raises:
            UserError: If the data is missing or the features are not finite.
        """
        key = (split, sound_shift_sec)
        if key not in self._tables:
            title = self._splits.get(split, split)
            title += f", audio {sound_shift_sec:g} s later" if sound_shift_sec else ""
            table = extract_features(
                self._model,
                map(self._prepare, self._load(split, sound_shift_sec)),
                self._precision,
                title=title,
                head_act=self._cfg.MODEL.HEAD_ACT,
            )
            self._tables[key] = table
            views = int(table.num_views.max())
            logger.info("%s: %d videos, %d views each", title, len(table), views)
        return self._tables[key]

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's batches of a split, prepared as for the model.

        Args:
            split: "test" or "gallery".

        Returns:
            Batches with ``raw_video``, the uint8 frames, besides the prepared entries; without
            both where the dataset has no pictures.
        """
        for batch in self._load(split):
            raw = {"raw_video": batch["video"]} if "video" in batch else {}
            yield {**self._prepare(batch), **raw}

    def warn_once(self, message: str) -> None:
        """Log a warning, unless it was logged before.

        Args:
            message: The same text from every protocol that has the same to say.
        """
        if message not in self._warnings:
            self._warnings.add(message)
            logger.warning("%s", message)

    def describe(self, splits: Iterable[str]) -> Provenance:
        """Say what results were obtained on, of splits that were read. Every rank must call it.

        Args:
            splits: "test" or "gallery", or both.

        Returns:
            Their provenance.
        """
        asked = sorted(splits, reverse=True)  # "test" before "gallery"
        most = torch.tensor([max((self._views.get(split, 0) for split in asked), default=0)])
        views = int(distributed.gather_no_gradient(most).max())
        manifest = "+".join(filter(None, (self._manifests.get(split, "") for split in asked)))
        return Provenance(self._splits.get("test", "test"), manifest or None, views)

    def _load(self, split: str, sound_shift_sec: float = 0.0) -> Iterator[dict[str, Tensor]]:
        loader = construct_loader(
            _with_shift(self._cfg, sound_shift_sec), self._splits.get(split, split)
        )
        manifest = loader.manifest
        self._manifests[split] = manifest.digest() if manifest is not None else ""
        for batch in loader:
            most = int(batch["view"].max()) + 1
            self._views[split] = max(self._views.get(split, 0), most)
            yield batch


class _Evidence:
    """What one protocol is given; notes which splits it looks at."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self.splits: set[str] = set()

    def features(self, split: str, *, sound_shift_sec: float = 0.0) -> FeatureTable:
        self.splits.add(split)
        return self._evaluation.features(split, sound_shift_sec=sound_shift_sec)

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        self.splits.add(split)
        return self._evaluation.batches(split)

    def warn_once(self, message: str) -> None:
        self._evaluation.warn_once(message)


def _with_shift(cfg: CfgNode, shift_sec: float) -> CfgNode:
    if not shift_sec:
        return cfg
    shifted = cfg.clone()
    shifted.defrost()
    shifted.AUDIO.EVAL_OFFSET_SEC = cfg.AUDIO.EVAL_OFFSET_SEC + shift_sec
    shifted.freeze()
    return shifted


def evaluate(
    evaluation: Evaluation, cfg: CfgNode, *, needs_model: bool | None = None
) -> dict[str, Measurement]:
    """Run the protocols of TEST.PROTOCOLS.

    Args:
        evaluation: Gives features and batches.
        cfg: The configuration.
        needs_model: Run only the protocols whose results change with the model (True), or only the
            others (False); None: all.

    Returns:
        Metric name -> measurement.
    """
    measured: dict[str, Measurement] = {}
    for name in cfg.TEST.PROTOCOLS:
        uses_model = PROTOCOL_REGISTRY.capability(name, "needs_model")
        if needs_model in (None, uses_model):
            evidence = _Evidence(evaluation)
            results = PROTOCOL_REGISTRY.get(name)(evidence, cfg)
            seen = evaluation.describe(evidence.splits)
            for metric, result in results.items():
                measured[metric] = Measurement(
                    result=result, protocol=name, uses_model=uses_model, **seen._asdict()
                )
    return measured
