"""The loaders of a configuration: of training, of evaluation, and PySlowFast's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from slowfast.config import CfgNode, ConfigValueError, ParameterError
from slowfast.datasets.bad_media import BadMediaLog
from slowfast.datasets.balanced import samples_of_classes
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset
from slowfast.datasets.fault_tolerant import FaultTolerantDataset
from slowfast.datasets.missing_files import count_missing
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.resilient_loader import LoaderSettings, ResilientLoader
from slowfast.datasets.sampler import EvaluationBatches, TrainBatches
from slowfast.datasets.tuple_loader import TupleLoader, epoch_batches
from slowfast.utils import distributed
from slowfast.utils.agreement import require_same
from slowfast.utils.cores import num_workers
from slowfast.utils.multigrid import BatchShape, MultigridSchedule
from slowfast.utils.placement import local_world_size

__all__ = [
    "construct_eval_loader",
    "construct_loader",
    "construct_train_loader",
    "local_batch_size",
    "samples_per_batch",
    "shuffle_dataset",
]

_MANY_EPOCHS = 10_000
"""Epochs in different orders; a script decides how often it iterates."""


def local_batch_size(cfg: CfgNode, split: str) -> int:
    """Return the batch size of this process.

    Args:
        cfg: The configuration.
        split: "train" for TRAIN.BATCH_SIZE, any other for TEST.BATCH_SIZE.

    Returns:
        The batch size of a machine divided by its number of processes, at least 1.

    Raises:
        UserError: If TRAIN.BATCH_SIZE is not divisible by the number of processes.
    """
    processes = local_world_size(cfg.NUM_SHARDS)
    if split != "train":
        return max(1, cfg.TEST.BATCH_SIZE // processes)
    size = cfg.TRAIN.BATCH_SIZE
    if size % processes:
        lower, upper = size // processes * processes, (size // processes + 1) * processes
        use = f"{lower} or {upper}" if lower else str(upper)
        raise ConfigValueError(
            "TRAIN.BATCH_SIZE",
            f"{size} is not divisible by the {processes} processes of a machine; use {use}.",
        )
    return size // processes


def samples_per_batch(cfg: CfgNode) -> int:
    """Return the rows of a training batch of this process: its videos times AUG.NUM_SAMPLE.

    Args:
        cfg: The configuration.

    Returns:
        The number of rows.
    """
    return local_batch_size(cfg, "train") * cfg.AUG.NUM_SAMPLE


def construct_loader(cfg: CfgNode, split: str) -> TupleLoader:
    """Build a loader of PySlowFast's batches, for its scripts.

    The trainer and the evaluation use ``construct_train_loader`` and ``construct_eval_loader``.

    Args:
        cfg: The configuration. DATA.SAMPLING ``auto`` samples as PySlowFast.
        split: "train": random clips in random order, another one in each iteration over the loader;
            "val": the center view of each video of TRAIN.DATASET; "test": the views of each video
            of TEST.DATASET.

    Returns:
        A loader of ``(inputs, labels, index, time, meta)``; see ``tuple_loader.ClipBatch``. One
        iteration over it is one epoch.

    Raises:
        ParameterError: If the split is unknown.
        UserError: If the data is missing or too small for one batch.
    """
    if split not in ("train", "val", "test"):
        raise ParameterError("split", f"got {split!r}; expected 'train', 'val' or 'test'.")
    section = "TEST" if split == "test" else "TRAIN"
    name = cfg[section].DATASET
    if DATASET_REGISTRY.capability(name.lower(), "audio_only"):
        raise ConfigValueError(
            f"{section}.DATASET", f"{name} has no video; use construct_train_loader."
        )
    crops = cfg.TEST.NUM_SPATIAL_CROPS if split == "test" else 1
    views = crops * cfg.TEST.NUM_ENSEMBLE_VIEWS if split == "test" else 0
    size = local_batch_size(cfg, "test" if split == "test" else "train")
    cfg = _for_tuples(cfg, max(1, size // crops))
    settings: dict[str, Any] = {
        "prepare": build_preprocess(cfg, train=split == "train"),
        "alpha": cfg.SLOWFAST.ALPHA if cfg.MODEL.ARCH == "slowfast" else 0,
        "clip_sec": cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS,
        "num_views": views,
    }
    if split == "train":
        train = construct_train_loader(cfg)
        rows = cfg.AUG.NUM_SAMPLE * cfg.DATA.TRAIN_CROP_NUM_TEMPORAL
        rows *= cfg.DATA.TRAIN_CROP_NUM_SPATIAL
        return TupleLoader(
            lambda epoch: epoch_batches(train, epoch % cfg.SOLVER.MAX_EPOCH),
            batch_size=0,
            num_batches=train.batches.steps_in(0),
            num_clips=len(train.dataset) * rows,
            **settings,
        )
    loader = construct_eval_loader(cfg, split, name)
    own = len(range(distributed.rank(), len(loader.dataset), distributed.world_size()))
    return TupleLoader(
        lambda epoch: iter(construct_eval_loader(cfg, split, name)),
        batch_size=size,
        num_batches=-(-own * crops // size),
        num_clips=len(loader.dataset) * crops,
        **settings,
    )


def shuffle_dataset(loader: TupleLoader, cur_epoch: int) -> None:
    """Choose the epoch that the next iteration over a loader samples (PySlowFast's name).

    Args:
        loader: From ``construct_loader``.
        cur_epoch: The epoch, from 0.
    """
    loader.set_epoch(cur_epoch)


def _for_tuples(cfg: CfgNode, batch_size: int) -> CfgNode:
    """Return a configuration for one clip per sample of a dataset, without audio."""
    cfg = cfg.clone()
    cfg.defrost()
    if cfg.DATA.SAMPLING == "auto":
        cfg.DATA.SAMPLING = "pyslowfast"
    cfg.TEST.BATCH_SIZE = batch_size * local_world_size(cfg.NUM_SHARDS)
    cfg.TEST.VIEWS_PER_CHUNK = 1
    cfg.AUDIO.ENABLE = False
    cfg.SOLVER.ACCUMULATE_STEPS = 1
    if not cfg.MULTIGRID.LONG_CYCLE and not cfg.MULTIGRID.SHORT_CYCLE:
        cfg.SOLVER.MAX_EPOCH = _MANY_EPOCHS
    cfg.freeze()
    return cfg


def construct_eval_loader(
    cfg: CfgNode, split: str, dataset: str = ""
) -> ResilientLoader[EvaluationBatches]:
    """Build the loader of an evaluation split: every sample once over all ranks, in order.

    Args:
        cfg: The configuration.
        split: "val", "test" or "gallery".
        dataset: Name of the dataset; empty: TEST.DATASET.

    Returns:
        A loader of dicts.

    Raises:
        UserError: If the data is missing.
    """
    built = build_dataset(dataset or cfg.TEST.DATASET, cfg, split)
    guarded = FaultTolerantDataset(built, policy="drop", seed=cfg.RNG_SEED)
    return ResilientLoader(
        guarded, _evaluation_batches(cfg, guarded), *_support(cfg, split, guarded)
    )


def construct_train_loader(
    cfg: CfgNode, *, short_cycle: bool = True
) -> ResilientLoader[TrainBatches]:
    """Build the loader of the train split: shuffled, over all epochs of the training.

    Args:
        cfg: The configuration.
        short_cycle: Follow MULTIGRID.SHORT_CYCLE; if False, batches have the shape of their stage.

    Returns:
        A loader; ``loader.batches.start_at`` sets the position at which a run resumes.

    Raises:
        UserError: If the data is missing or too small for one step.
    """
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
    if getattr(dataset, "num_sample", 1) != cfg.AUG.NUM_SAMPLE:
        raise ConfigValueError(
            "AUG.NUM_SAMPLE",
            f"got {cfg.AUG.NUM_SAMPLE}, but the dataset {cfg.TRAIN.DATASET} returns one sample of "
            "each file; use 1.",
        )
    guarded = FaultTolerantDataset(
        dataset,
        policy=cfg.DATA.ON_DECODE_ERROR,
        seed=cfg.RNG_SEED,
        max_fraction=cfg.DATA.MAX_BAD_FRACTION,
    )
    batches = _train_batches(cfg, guarded, short_cycle)
    settings, bad_media = _support(cfg, "train", guarded)
    if guarded.manifest is not None:
        count_missing(guarded.manifest, bad_media, cfg.DATA.MAX_BAD_FRACTION)
    return ResilientLoader(guarded, batches, settings, bad_media)


def _support(
    cfg: CfgNode, split: str, dataset: FaultTolerantDataset
) -> tuple[LoaderSettings, BadMediaLog]:
    if distributed.world_size() > 1:
        manifest = dataset.manifest
        facts = {
            "files": dataset.num_files,
            "clips": len(dataset),
            "digest": "" if manifest is None else manifest.digest(),
        }
        require_same(
            {f"{split} split, {name}": value for name, value in facts.items()},
            "Give all machines the same files and labels, and one list in "
            'DATA.QUARANTINE_FILE_PATH that all of them read, or "".',
        )
    on_gpu = torch.cuda.is_available() and cfg.NUM_GPUS != 0
    settings = LoaderSettings(
        num_workers=num_workers(
            cfg.DATA_LOADER.NUM_WORKERS,
            processes=local_world_size(cfg.NUM_SHARDS),
            on_gpu=on_gpu,
        ),
        prefetch_factor=cfg.DATA_LOADER.PREFETCH_FACTOR,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and on_gpu,
        file_timeout_sec=cfg.DATA.FILE_TIMEOUT_SEC,
    )
    bad_media = BadMediaLog(
        Path(cfg.OUTPUT_DIR),
        split=split,
        num_files=dataset.num_files,
        max_fraction=cfg.DATA.MAX_BAD_FRACTION,
    )
    return settings, bad_media


def _train_batches(cfg: CfgNode, dataset: FaultTolerantDataset, short_cycle: bool) -> TrainBatches:
    if cfg.MIXUP.ENABLE and cfg.MIXUP.PROB > 0 and samples_per_batch(cfg) < 2:
        raise ConfigValueError(
            "TRAIN.BATCH_SIZE",
            f"got {cfg.TRAIN.BATCH_SIZE}, 1 for each process, but MIXUP.ENABLE mixes the clips of "
            "a process with each other; use 2 or more per process, or AUG.NUM_SAMPLE 2.",
        )
    schedule = MultigridSchedule.from_cfg(cfg)
    if not schedule.clip_shapes() <= set(getattr(dataset.dataset, "variants", ())):
        raise ConfigValueError(
            f"MULTIGRID.{'LONG' if schedule.long_factors else 'SHORT'}_CYCLE",
            f"got True, but the dataset {cfg.TRAIN.DATASET} has clips of one shape only; set it to "
            "False, or train on a dataset of videos.",
        )

    def steps(epoch: int) -> list[list[BatchShape]]:
        shapes = schedule.batches(epoch) if short_cycle else schedule.batches(epoch)[-1:]
        return [[shape] * cfg.SOLVER.ACCUMULATE_STEPS for shape in shapes]

    batches = TrainBatches(
        length=len(dataset),
        batch_size=local_batch_size(cfg, "train"),
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        seed=cfg.RNG_SEED,
        max_epoch=schedule.resolve(cfg).SOLVER.MAX_EPOCH,
        steps=steps,
        classes=samples_of_classes(dataset.dataset) if cfg.DATA.BALANCED_SAMPLING else None,
    )
    needed = max(map(batches.first_step, schedule.starts))
    if needed > len(dataset):
        largest = ", the largest of MULTIGRID" if schedule.is_on else ""
        raise ConfigValueError(
            "TRAIN.BATCH_SIZE",
            f"one step uses {needed} clips (all processes, all accumulated batches{largest}), but "
            f"the train split has only {len(dataset)}; {_fit(cfg, needed, len(dataset))}",
        )
    return batches


def _fit(cfg: CfgNode, needed: int, available: int) -> str:
    """Say what to change so that a step fits the train split."""
    largest = cfg.TRAIN.BATCH_SIZE * available // needed
    if largest < 1:
        return "add videos, or use fewer processes (NUM_GPUS) or SOLVER.ACCUMULATE_STEPS."
    return f"use TRAIN.BATCH_SIZE {largest} or less."


def _evaluation_batches(cfg: CfgNode, dataset: FaultTolerantDataset) -> EvaluationBatches:
    return EvaluationBatches(
        length=len(dataset),
        batch_size=local_batch_size(cfg, "test"),
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
