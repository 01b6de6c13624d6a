"""From files, or arrays in memory, to collated batches of the clips of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.audio_dataset import AudioEvalDataset, build_audio_dataset
from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.collate import collate
from slowfast.datasets.fault_tolerant import FaultTolerantDataset
from slowfast.datasets.resilient_loader import LoaderSettings, ResilientLoader
from slowfast.datasets.sampler import EvaluationBatches
from slowfast.datasets.video_dataset import VideoEvalDataset, build_video_dataset
from slowfast.datasets.views.eval_transform import SpatialTransform
from slowfast.inference.listing import Source, list_files
from slowfast.inference.memory import ArrayReader, one_row, read_from
from slowfast.utils.cores import usable_cores

__all__ = ["BadFiles", "ClipBatches", "OwnInputs", "without_audio"]

_MOST_WORKERS = 8

Dataset = VideoEvalDataset | AudioEvalDataset


class BadFiles:
    """Collects bad files instead of writing them to a run's folder."""

    def __init__(self) -> None:
        self.found: dict[int, BadMedia] = {}

    def add(self, bad: BadMedia) -> None:
        """Keep the first report of a row; called by the loader."""
        self.found.setdefault(bad.row, bad)

    set_aside = add

    def restore(self, path_of: Callable[[int], str]) -> list[int]:
        """Return no rows: there is no run whose files were set aside."""
        return []


class OwnInputs(NamedTuple):
    """Inputs of an encoder of another library: waveforms, float (B, A, N), and frames.

    Attributes:
        transform: Resizes and crops the frames of a clip; None: it reads no video.
    """

    transform: SpatialTransform | None = None


class ClipBatches:
    """Reads the clips of files and arrays.

    Args:
        cfg: The configuration of the model: TEST, DATA, AUDIO.
        transform: Resizes and crops the frames of a clip; None: as in an evaluation.

    Attributes:
        is_audio_only: Whether no video is read.
    """

    def __init__(self, cfg: CfgNode, transform: SpatialTransform | None = None) -> None:
        self._cfg, self._transform = cfg, transform
        name = cfg.TEST.DATASET.lower()
        self.is_audio_only = name in DATASET_REGISTRY and bool(
            DATASET_REGISTRY.capability(name, "audio_only")
        )

    @property
    def clip_sec(self) -> float:
        """Duration of a clip, in seconds; infinity if a clip spans the video."""
        if self.is_audio_only:
            return float(self._cfg.AUDIO.CLIP_SEC)
        dataset = cast(VideoEvalDataset, self._dataset(one_row()))
        return float(dataset.settings.duration_sec)

    def batches(
        self,
        manifest: Manifest,
        num_workers: int | None,
        device: torch.device,
        *,
        num_clips: int | None = None,
    ) -> tuple[Iterable[dict[str, Tensor]], BadFiles]:
        """Return the batches of files, in order, and where bad files are collected.

        Args:
            manifest: The files.
            num_workers: Processes that decode; None: by the number of cores.
            device: Where the batches go.
            num_clips: Clips of each file; None: TEST.NUM_ENSEMBLE_VIEWS.

        Returns:
            Collated batches; the bad files are complete when the last one was returned.
        """
        cfg = self._cfg
        guarded = FaultTolerantDataset(self._dataset(manifest, num_clips), policy="drop", seed=0)
        if num_workers is None:
            num_workers = min(_MOST_WORKERS, max(1, usable_cores() - 1))
            num_workers = min(num_workers, max(1, len(guarded) // cfg.TEST.BATCH_SIZE))
        settings = LoaderSettings(
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            file_timeout_sec=cfg.DATA.FILE_TIMEOUT_SEC,
        )
        batches = EvaluationBatches(
            length=len(guarded), batch_size=cfg.TEST.BATCH_SIZE, rank=0, world_size=1
        )
        bad = BadFiles()
        return ResilientLoader(guarded, batches, settings, bad), bad  # type: ignore[arg-type]

    def batch_of_file(self, path: Source) -> dict[str, Tensor]:
        """Return all views of one file.

        Raises:
            UserError: If it cannot be decoded.
        """
        manifest = list_files(path, audio_only=self.is_audio_only)
        return _single_batch(self._dataset(manifest, chunks=False))

    def batch_of_arrays(
        self,
        frames: NDArray[Any] | None,
        audio: NDArray[Any] | None,
        fps: float | None,
        sample_rate: int | None,
    ) -> dict[str, Tensor]:
        """Return all views of arrays; see ``FrozenModel.embed``."""
        if fps is None:
            fps = len(frames) / self.clip_sec if frames is not None and len(frames) else 1.0
        reader = ArrayReader(frames, fps, audio, sample_rate or self._cfg.AUDIO.SAMPLE_RATE)
        return _single_batch(read_from(self._dataset(one_row(), chunks=False), reader))

    def _dataset(
        self, manifest: Manifest, num_clips: int | None = None, *, chunks: bool = True
    ) -> Dataset:
        """Build the dataset of files; without ``chunks``, each file is one sample."""
        cfg = self._cfg.clone()
        cfg.defrost()
        cfg.TEST.SPATIAL_JITTER = 0.0  # it is for measuring a model
        if num_clips is not None:
            cfg.TEST.NUM_ENSEMBLE_VIEWS = num_clips
        if not chunks:
            cfg.TEST.VIEWS_PER_CHUNK = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        cfg.freeze()
        build = build_audio_dataset if self.is_audio_only else build_video_dataset
        dataset = cast(Dataset, build(cfg, manifest, "test"))
        if self._transform is not None and isinstance(dataset, VideoEvalDataset):
            dataset.transform = self._transform
        return dataset


def _single_batch(dataset: Dataset) -> dict[str, Tensor]:
    """Make a batch of the only sample; raise if it cannot be decoded."""
    loaded = collate([FaultTolerantDataset(dataset, policy="drop", seed=0)[0, 0]])
    if loaded.bad or loaded.batch is None:
        bad = loaded.bad[0]
        raise UserError(f"{bad.path} cannot be used: {bad.reason}.")
    return loaded.batch


def without_audio(cfg: CfgNode) -> CfgNode:
    """Return the configuration with AUDIO.ENABLE False."""
    changed = cfg.clone()
    changed.defrost()
    changed.AUDIO.ENABLE = False
    changed.freeze()
    return changed
