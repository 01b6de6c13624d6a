"""Evaluation: runs protocols on the features of splits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.datasets.annotations.labels import check_highest_class
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.loader import construct_eval_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.resilient_loader import ResilientLoader
from slowfast.datasets.sampler import EvaluationBatches
from slowfast.engine.features import FeatureTable, extract_features
from slowfast.engine.precision import Precision
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.protocols.build import classifies
from slowfast.engine.records import Measurement
from slowfast.utils import distributed
from slowfast.utils.checkpoint import unwrap_model

__all__ = ["Evaluation", "ViewsTest", "evaluate", "evaluate_views", "view_counts"]

logger = logging.getLogger(__name__)

Watch = Callable[[dict[str, Tensor], dict[str, Tensor]], None]
"""Called with each preprocessed batch and the result of ``embed`` for it."""

_ALL_COUNTS = [1, 3, 5, 7, 10]
"""PySlowFast's numbers of views for TEST.NUM_ENSEMBLE_VIEWS -1."""


class Provenance(NamedTuple):
    """The data that results were obtained on.

    Attributes:
        split: The split that was evaluated.
        manifest: Hashes of the manifests of the splits in use, the test split first, joined by "+";
            None if the dataset has no manifest.
        views: Views per video.
    """

    split: str
    manifest: str | None
    views: int


class Evaluation:
    """Features of a model on the splits of a dataset, extracted once for all protocols.

    Args:
        cfg: The configuration.
        model: An EmbeddingModel, wrapped or not.
        precision: As in training; knows the device.
        splits: Split that a protocol reads -> split of the dataset. During training "test" is the
            validation split.
        dataset: Name of the dataset; empty: TEST.DATASET.
        watch: Called while the features of "test" are extracted, with uint8 frames as
            ``raw_video``; not for audio with an offset.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        precision: Precision,
        splits: dict[str, str] | None = None,
        dataset: str = "",
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._cfg, self._model, self._precision = cfg, unwrap_model(model), precision
        self._splits, self._dataset = splits or {}, dataset
        self._tables: dict[tuple[str, float], FeatureTable] = {}
        self._prepare = build_preprocess(cfg, train=False).to(precision.device)
        self._manifests: dict[str, str] = {}
        self._files: dict[str, Manifest | None] = {}
        self._views: dict[str, int] = {}
        self._warnings: set[str] = set()

    def features(self, split: str, *, audio_offset_sec: float = 0.0) -> FeatureTable:
        """Return the features of a split, extracted once.

        Args:
            split: "test" or "gallery".
            audio_offset_sec: Offset of the audio relative to the video, in seconds.

        Returns:
            One row per video.

        Raises:
            UserError: If the data is missing or the features are not finite.
        """
        key = (split, audio_offset_sec)
        if key not in self._tables:
            title = self._splits.get(split, split)
            title += f", audio {audio_offset_sec:g} s later" if audio_offset_sec else ""
            watch = self._watch if split == "test" and not audio_offset_sec else None
            loader = self._construct_loader(split, audio_offset_sec)
            loaded = self._read(split, loader)
            table = extract_features(
                self._model,
                map(self._prepare if watch is None else self._prepare_with_frames, loaded),
                self._precision,
                title=title,
                total=len(loader),
                head_act=self._cfg.MODEL.HEAD_ACT,
                ensemble=self._cfg.DATA.ENSEMBLE_METHOD,
                watch=watch,
            )
            self._tables[key] = table
            views = int(table.num_views.max())
            logger.info("%s: %d videos, %d views each", title, len(table), views)
        return self._tables[key]

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's preprocessed batches of a split.

        Args:
            split: "test" or "gallery".

        Returns:
            Preprocessed batches with the uint8 frames as ``raw_video``; without video if the
            dataset has none.
        """
        return map(self._prepare_with_frames, self._read(split, self._construct_loader(split)))

    def files(self, split: str) -> Manifest | None:
        """Return the list of the files of a split whose features were extracted.

        Args:
            split: "test" or "gallery".

        Returns:
            The manifest; None if the dataset has none.
        """
        return self._files[split]

    def has_features(self, split: str) -> bool:
        """Return whether the features of a split are extracted already."""
        return (split, 0.0) in self._tables

    def warn_once(self, message: str) -> None:
        """Log a warning, unless it was logged before.

        Args:
            message: The warning; protocols with the same problem use the same text.
        """
        if message not in self._warnings:
            self._warnings.add(message)
            logger.warning("%s", message)

    def describe(self, splits: Iterable[str]) -> Provenance:
        """Return the provenance of results on given splits. Every rank must call this.

        Args:
            splits: "test" or "gallery", or both.

        Returns:
            Their provenance.
        """
        ordered = sorted(splits, reverse=True)  # "test" before "gallery"
        most = torch.tensor([max((self._views.get(split, 0) for split in ordered), default=0)])
        views = int(distributed.gather_no_gradient(most).max())
        manifest = "+".join(filter(None, (self._manifests.get(split, "") for split in ordered)))
        return Provenance(self._splits.get("test", "test"), manifest or None, views)

    def prepare(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Preprocess a collated batch; see ``datasets/preprocess/batch.py``."""
        prepared: dict[str, Tensor] = self._prepare(batch)
        return prepared

    def _prepare_with_frames(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        raw = {"raw_video": batch["video"]} if "video" in batch else {}
        return {**self.prepare(batch), **raw}

    def _construct_loader(
        self, split: str, audio_offset_sec: float = 0.0
    ) -> ResilientLoader[EvaluationBatches]:
        return construct_eval_loader(
            _with_shift(self._cfg, audio_offset_sec), self._splits.get(split, split), self._dataset
        )

    def _read(
        self, split: str, loader: ResilientLoader[EvaluationBatches]
    ) -> Iterator[dict[str, Tensor]]:
        manifest = loader.manifest
        classes = getattr(self._model, "num_classes", None)
        if split == "test" and classes is not None and classifies(self._cfg):
            check_highest_class(manifest, classes, self._splits.get(split, split))
        self._manifests[split] = manifest.digest() if manifest is not None else ""
        self._files[split] = manifest
        for batch in loader:
            most = int(batch["view"].max()) + 1
            self._views[split] = max(self._views.get(split, 0), most)
            yield batch


class _RecordingProvider:
    """Feature provider of one protocol; records the splits that it reads."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self.splits: set[str] = set()

    def features(self, split: str, *, audio_offset_sec: float = 0.0) -> FeatureTable:
        self.splits.add(split)
        return self._evaluation.features(split, audio_offset_sec=audio_offset_sec)

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        self.splits.add(split)
        return self._evaluation.batches(split)

    def warn_once(self, message: str) -> None:
        self._evaluation.warn_once(message)


class ViewsTest(NamedTuple):
    """A test with one number of clips per video.

    Attributes:
        cfg: The configuration of this test alone.
        evaluation: Its features.
        results: Metric name, with the suffix, -> measurement.
        suffix: ``_N_views`` if there are tests with several numbers N, else "".
    """

    cfg: CfgNode
    evaluation: Evaluation
    results: dict[str, Measurement]
    suffix: str


def view_counts(cfg: CfgNode) -> list[int]:
    """Return the numbers of clips per video to test with, one test each.

    Args:
        cfg: Read: TEST.NUM_TEMPORAL_CLIPS, else TEST.NUM_ENSEMBLE_VIEWS.

    Returns:
        At least one number.
    """
    counts = list(dict.fromkeys(cfg.TEST.NUM_TEMPORAL_CLIPS))
    if not counts and cfg.TEST.NUM_ENSEMBLE_VIEWS == -1:
        return list(_ALL_COUNTS)
    return counts or [cfg.TEST.NUM_ENSEMBLE_VIEWS]


def evaluate_views(
    cfg: CfgNode,
    model: nn.Module,
    precision: Precision,
    *,
    needs_model: bool | None = None,
    watch: Watch | None = None,
) -> Iterator[ViewsTest]:
    """Evaluate with each number of clips per video in turn.

    Args:
        cfg: The configuration.
        model: As for ``Evaluation``.
        precision: As for ``Evaluation``.
        needs_model: As for ``evaluate``.
        watch: As for ``Evaluation``, of the first test.

    Yields:
        A test for each number of ``view_counts``.
    """
    counts = view_counts(cfg)
    for count in counts:
        one = cfg.clone()
        one.defrost()
        one.TEST.NUM_TEMPORAL_CLIPS, one.TEST.NUM_ENSEMBLE_VIEWS = [], count
        one.freeze()
        evaluation = Evaluation(one, model, precision, watch=watch)
        watch = None
        results = evaluate(evaluation, one, needs_model=needs_model)
        suffix = f"_{count}_views" if len(counts) > 1 else ""
        named = {f"{name}{suffix}": value for name, value in results.items()}
        yield ViewsTest(one, evaluation, named, suffix)


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
        evaluation: Provides features and batches.
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
            provider = _RecordingProvider(evaluation)
            results = PROTOCOL_REGISTRY.get(name)(provider, cfg)
            seen = evaluation.describe(provider.splits)
            for metric, result in results.items():
                measured[metric] = Measurement(
                    result=result, protocol=name, uses_model=uses_model, **seen._asdict()
                )
    return measured
