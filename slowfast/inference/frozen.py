"""A frozen model: from files, folders or arrays to vectors and predicted classes.

The frames of a video, its crops, spectrograms and batches are those of an evaluation
(``engine/evaluator.py``), so the vectors are, too.

Legend: B batch, V views, A temporal clips, C channels.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slowfast.config import CfgNode, ParameterError, UserError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.features import embed_batch
from slowfast.engine.precision import Precision
from slowfast.inference.embeddings import Embeddings, Prediction, VideoEmbedding, best_classes
from slowfast.inference.inputs import ClipBatches, OwnInputs, without_audio
from slowfast.inference.listing import Source, join_bad_windows, list_files, split_into_windows
from slowfast.inference.memory import one_row
from slowfast.inference.pretrained import PretrainedMixin
from slowfast.inference.rows import RowVectors, average_row, collect_rows, join_windows
from slowfast.utils.progress import progress as show

__all__ = ["FrozenModel"]

logger = logging.getLogger(__name__)

_FILES_AT_ONCE = 1000
"""Files whose windows are listed at once: their durations are read before the first is decoded."""


class FrozenModel(PretrainedMixin):
    """A model that computes features; see ``slowfast.load``.

    Args:
        encoder: A module with ``embed(batch)``; see ``engine.features.EmbeddingModel``.
        cfg: Its configuration: clips, crops, spectrograms, batch size, precision.
        name: Name for messages.
        class_names: Names of the classes of a classifier.
        without: Features to leave out, as the weights of their part of the encoder are random.
        has_joint_space: Whether video and audio have embeddings in one space; None: if it reads
            both and does not classify.
        inputs: How an encoder of another library gets its inputs; None: as in an evaluation.
        device: Device of the encoder.

    Attributes:
        encoder: The module, in evaluation mode, on the device.
        cfg: The configuration.
        name: Name for messages.
        class_names: Names of the classes.
        device: The device.
        without: Features that are left out.
        bad: Bad files of the last call of ``iterate``.
        inputs: As given.
        prepare: From a collated batch to the inputs of the encoder, on the device.
    """

    def __init__(
        self,
        encoder: nn.Module,
        cfg: CfgNode,
        *,
        name: str = "",
        class_names: Sequence[str] = (),
        without: Collection[str] = (),
        has_joint_space: bool | None = None,
        inputs: OwnInputs | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.encoder = encoder.to(self.device).eval()
        self.cfg, self.name, self.class_names = cfg, name, list(class_names)
        self.without, self._has_warned = frozenset(without), False
        self.bad: list[BadMedia] = []
        self._precision = Precision.from_cfg(cfg, self.device)
        self._joint, self.inputs = has_joint_space, inputs
        self._reader = ClipBatches(cfg, None if inputs is None else inputs.transform)
        prepared = cfg if inputs is None else without_audio(cfg)
        self.prepare = build_preprocess(prepared, train=False).to(self.device)

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.encoder.parameters()) / 1e6
        return (
            f"FrozenModel({self.name!r}, {count:.1f} M parameters, "
            f"{' and '.join(sorted(self.modalities))}, {self.device})"
        )

    @property
    def is_audio_only(self) -> bool:
        """Whether the model needs no video."""
        return self._reader.is_audio_only

    @property
    def modalities(self) -> set[str]:
        """What the model reads: "video", "audio" or both."""
        if self.is_audio_only:
            return {"audio"}
        has_audio = self.cfg.AUDIO.ENABLE and "audio" not in self.without
        return {"video", "audio"} if has_audio else {"video"}

    @property
    def clip_sec(self) -> float:
        """Duration of a clip, in seconds; infinity if a clip spans the video."""
        return self._reader.clip_sec

    def embed(
        self,
        source: Source | Sequence[Source] | None = None,
        *,
        frames: NDArray[Any] | None = None,
        audio: NDArray[Any] | None = None,
        fps: float | None = None,
        sample_rate: int | None = None,
        every_sec: float | None = None,
        num_workers: int | None = None,
        progress: bool | None = None,
    ) -> VideoEmbedding | Embeddings:
        """Compute vectors of a file, of all files of a folder, or of arrays.

        Args:
            source: A file, a folder, or several of them.
            frames: uint8 (T, H, W, 3), RGB, instead of a file.
            audio: float (N,) or (channels, N) in [-1, 1], instead of or with ``frames``.
            fps: Frame rate of ``frames``, in Hz; None: they are one clip.
            sample_rate: Sample rate of ``audio``, in Hz; None: AUDIO.SAMPLE_RATE.
            every_sec: Length of consecutive windows with a vector each, in seconds; None: the
                clips of an evaluation (TEST.NUM_ENSEMBLE_VIEWS).
            num_workers: Processes that decode; None: by the number of cores, 0 for one file.
            progress: Show the progress; None: for several files.

        Returns:
            A ``VideoEmbedding`` for one file or for arrays, ``Embeddings`` for the rest. Files that
            cannot be decoded are in ``Embeddings.bad``.

        Raises:
            UserError: If there is no such file, or the one file cannot be decoded.
        """
        if (source is None) == (frames is None and audio is None):
            raise ParameterError("source", "give either a file or folder, or frames and audio.")
        if source is None:
            return self._embed_arrays(frames, audio, fps, sample_rate, every_sec)
        is_one = isinstance(source, str | os.PathLike) and not Path(source).expanduser().is_dir()
        manifest = list_files(source, audio_only=self.is_audio_only)
        found = self.iterate(
            manifest,
            every_sec=every_sec,
            num_workers=0 if is_one and not num_workers else num_workers,
        )
        is_hidden = is_one or progress is False
        videos = list(found if is_hidden else show(found, "embed", len(manifest), unit="videos"))
        if is_one:
            if self.bad:
                raise UserError(f"{self.bad[0].path} cannot be used: {self.bad[0].reason}.")
            return videos[0]
        return Embeddings(videos, self.bad)

    def predict(
        self,
        source: Source | Sequence[Source] | None = None,
        *,
        top_k: int = 5,
        threshold: float | None = None,
        **options: Any,
    ) -> Prediction | list[Prediction]:
        """Predict the classes of a file, of all files of a folder, or of arrays.

        Args:
            source: As for ``embed``.
            top_k: Number of classes to return.
            threshold: Lowest score of a class to return; None: any.
            options: Arguments of ``embed``; with ``every_sec``, each window is predicted, too.

        Returns:
            A ``Prediction`` for one file or for arrays, a list for the rest.

        Raises:
            UserError: If the model does not classify, or as for ``embed``.
        """
        self.require_classifier()
        if top_k < 1:
            raise ParameterError("top_k", f"got {top_k}; expected at least 1.")
        found = self.embed(source, **options)
        name = partial(
            self.prediction_of,
            top_k=top_k,
            threshold=threshold,
            windows=options.get("every_sec") is not None,
        )
        return name(found) if isinstance(found, VideoEmbedding) else [name(v) for v in found]

    def require_classifier(self) -> None:
        """Check that the model predicts classes.

        Raises:
            UserError: If it does not.
        """
        if not self.is_classifier:
            raise UserError(
                f"{self.name} does not predict classes: it has no classifier, or its weights were "
                "not trained. Fine-tune it first: slowfast configs fine-tuning lists YAMLs for it."
            )

    @property
    def is_classifier(self) -> bool:
        """Whether the model has trained scores of classes."""
        return "scores" not in self.without

    @property
    def has_joint_space(self) -> bool:
        """Whether video and audio have embeddings in one space, for cross-modal search."""
        if self._joint is not None:
            return self._joint
        has_both = self.modalities == {"video", "audio"} and not self.is_classifier
        return has_both and not {"video_embedding", "audio_embedding"} & self.without

    @property
    def is_multi_label(self) -> bool:
        """Whether the scores of the classes are independent of each other."""
        return bool(self.cfg.MODEL.HEAD_ACT == "sigmoid")

    def prediction_of(
        self,
        video: VideoEmbedding,
        *,
        top_k: int = 5,
        threshold: float | None = None,
        windows: bool = False,
    ) -> Prediction:
        """Name the best classes of a video.

        Args:
            video: Result of ``embed`` or ``iterate``.
            top_k: Largest number of classes.
            threshold: Lowest score of a class; None: any.
            windows: Also of each of its clips.

        Returns:
            The prediction.
        """
        best = partial(best_classes, names=self.class_names, top_k=top_k, threshold=threshold)
        return Prediction.of(video, best, windows=windows)

    def preprocess(
        self,
        path: Source | None = None,
        *,
        frames: NDArray[Any] | None = None,
        audio: NDArray[Any] | None = None,
        fps: float | None = None,
        sample_rate: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the batch that the encoder gets for a file or for arrays, on its device.

        Args:
            path: A file.
            frames: As for ``embed``.
            audio: As for ``embed``.
            fps: As for ``embed``.
            sample_rate: As for ``embed``.

        Returns:
            ``video`` float (1, V, 3, T, H, W), ``audio`` float (1, A, 1, F, S), ...

        Raises:
            UserError: If the file cannot be decoded.
        """
        return dict(self.prepare(self.collate(path, frames, audio, fps, sample_rate)))

    def collate(
        self,
        path: Source | None = None,
        frames: NDArray[Any] | None = None,
        audio: NDArray[Any] | None = None,
        fps: float | None = None,
        sample_rate: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the views of a file or of arrays, before ``prepare``; arguments as ``preprocess``.

        Returns:
            ``video`` uint8 (1, V, T, H, W, 3), ``audio`` float (1, A, N), ...
        """
        if (path is None) == (frames is None and audio is None):
            raise ParameterError("path", "give either a file, or frames and audio.")
        if path is not None:
            return self._reader.batch_of_file(path)
        if frames is None and not self.is_audio_only:
            needs = " and ".join(sorted(self.modalities, reverse=True))
            raise ParameterError("frames", f"got None; {self.name} reads {needs}.")
        return self._reader.batch_of_arrays(frames, audio, fps, sample_rate)

    def iterate(
        self,
        files: Manifest | Source | Sequence[Source],
        *,
        every_sec: float | None = None,
        num_workers: int | None = None,
    ) -> Iterator[VideoEmbedding]:
        """Embed many files, one result at a time, in order; memory does not grow with their number.

        Args:
            files: What ``list_files`` returns or takes.
            every_sec: As for ``embed``.
            num_workers: As for ``embed``.

        Yields:
            The vectors of each file; ``self.bad`` lists the files that could not be decoded.
        """
        if not isinstance(files, Manifest):
            files = list_files(files, audio_only=self.is_audio_only)
        self.bad = []
        if every_sec is None:
            batches, bad = self._reader.batches(files, num_workers, self.device)
            for index, row in self._rows(batches):
                yield self._video(files, index, row)
            self.bad = list(bad.found.values())
            return
        for first in range(0, len(files), _FILES_AT_ONCE):
            rows = range(first, min(len(files), first + _FILES_AT_ONCE))
            block, found = files.take(rows), list[BadMedia]()
            yield from self._iterate_windows(block, every_sec, num_workers, found)
            self.bad += [replace(entry, row=first + entry.row) for entry in found]

    def _iterate_windows(
        self, manifest: Manifest, every_sec: float, num_workers: int | None, found: list[BadMedia]
    ) -> Iterator[VideoEmbedding]:
        """Do what ``iterate`` does for some files, and collect the bad ones in ``found``."""
        windows, owners, unreadable = split_into_windows(manifest, every_sec)
        found += [BadMedia(i, manifest.row(i).name, reason) for i, reason in unreadable]
        if not len(windows):
            return
        batches, bad = self._reader.batches(windows, num_workers, self.device, num_clips=1)
        for index, row in join_windows(windows, owners, self._rows(batches)):
            yield self._video(manifest, index, row)
        found += join_bad_windows(owners, bad.found.values())

    def _embed_arrays(
        self,
        frames: NDArray[Any] | None,
        audio: NDArray[Any] | None,
        fps: float | None,
        sample_rate: int | None,
        every_sec: float | None,
    ) -> VideoEmbedding:
        if every_sec is not None:
            raise ParameterError("every_sec", "is for files; slice frames and audio instead.")
        batch = self.collate(None, frames, audio, fps, sample_rate)
        video = self._video(one_row(), *next(self._rows([batch])))
        return VideoEmbedding(video.features, clips=video.clips)

    def _rows(self, batches: Iterable[dict[str, Tensor]]) -> Iterator[tuple[int, RowVectors]]:
        """Embed batches; see ``collect_rows``."""
        crops = 1 if self.is_audio_only else self.cfg.TEST.NUM_SPATIAL_CROPS
        return collect_rows(batches, self._embed_batch, crops, self.cfg.DATA.ENSEMBLE_METHOD)

    def _embed_batch(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        inputs, head_act = self.prepare(batch), self.cfg.MODEL.HEAD_ACT
        embedded = embed_batch(self.encoder, inputs, self._precision, head_act)
        return {name: value for name, value in embedded.items() if name not in self.without}

    def _video(self, manifest: Manifest, index: int, row: RowVectors) -> VideoEmbedding:
        features, has_audio = average_row(row)
        record, names = manifest.row(index), manifest.class_names
        if not has_audio and "audio" in self.modalities and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: no features of audio: it has none, or less than half of a clip's %g s "
                "(AUDIO.CLIP_SEC); further ones are not listed",
                record.name,
                self.cfg.AUDIO.CLIP_SEC,
            )
        for name, value in features.items():
            if not np.isfinite(value).all():
                raise UserError(
                    f"{self.name}: '{name}' of {record.name} is not finite: the weights have "
                    "diverged, or TRAIN.MIXED_PRECISION overflows."
                )
        label = names[record.label] if 0 <= record.label < len(names) else ""
        window = (record.start_sec, record.end_sec) if record.has_window else None
        return VideoEmbedding(features, record.name, label, row.clips, window)
