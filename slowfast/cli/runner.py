"""Runs one job: loads its config and launches the processes that train and test."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

import slowfast.cli.registrations  # noqa: F401
from slowfast.cli.arguments import Arguments
from slowfast.cli.scripts import launch_with_cfg
from slowfast.cli.test_job import run_test
from slowfast.cli.train_job import run_training
from slowfast.config import CfgNode, LoadedConfig, Problem, keys, load_config
from slowfast.config.load import Change, is_demo
from slowfast.config.projects import import_project
from slowfast.datasets.build import build_dataset
from slowfast.datasets.views.decoding_size import describe_raised_size
from slowfast.datasets.views.sample_views import sample_shapes
from slowfast.engine.protocols.build import with_protocols_of_model
from slowfast.engine.start import find_missing_weights
from slowfast.models.rehearsal import rehearse
from slowfast.models.weights import find_missing_files
from slowfast.utils import distributed
from slowfast.utils.env import choose_device, num_local_processes
from slowfast.utils.launch import local_world_size
from slowfast.utils.logging import setup_logging
from slowfast.utils.multigrid import MultigridSchedule, at_shape
from slowfast.utils.random import seed_everything

__all__ = ["RunArgs", "run_job"]

logger = logging.getLogger(__name__)


class RunArgs(NamedTuple):
    """Arguments of a worker process; picklable for spawned processes.

    Attributes:
        cfg: The frozen configuration.
        source: The file of the configuration.
        demo_changes: Changes by the demo overlay.
        notes: Accepted values without effect, and protocols that the model chose.
    """

    cfg: CfgNode
    source: str
    demo_changes: list[Change]
    notes: list[str]


def run_job(cfg_file: str, arguments: Arguments) -> None:
    """Load a config and run it in its number of processes."""
    assignments: dict[str, Any] = {}
    if arguments.shard_id is not None:
        assignments["SHARD_ID"] = arguments.shard_id
    if arguments.num_shards is not None:
        assignments["NUM_SHARDS"] = arguments.num_shards
    loaded: LoadedConfig = load_config(
        cfg_file, arguments.overrides, assignments=assignments, last_check=_rehearse
    )
    cfg, notes = with_protocols_of_model(loaded.cfg), loaded.notes
    if cfg is not loaded.cfg:
        name, protocols = cfg.MODEL.MODEL_NAME, list(cfg.TEST.PROTOCOLS)
        notes = [*notes, f"TEST.PROTOCOLS {protocols}: {name} does not classify"]
    job = RunArgs(cfg, loaded.source, loaded.demo_changes, notes)
    launch_with_cfg(run_worker, (job,), cfg, arguments.init_method)


def _rehearse(cfg: CfgNode, found: list[Problem]) -> list[Problem]:
    """Find missing weights, and run a step on shapes only."""
    processes = num_local_processes(cfg.NUM_GPUS, cfg.NUM_CPU_PROCESSES)
    size = max(1, cfg.TRAIN.BATCH_SIZE // processes) * max(1, cfg.AUG.NUM_SAMPLE)
    # Synchronized batch norm also has the rows of other processes.
    is_synchronized = cfg.BN.NORM_TYPE == "sync_batchnorm" and processes * cfg.NUM_SHARDS > 1
    size = max(2, size) if is_synchronized else size
    missing = [*find_missing_weights(cfg), *find_missing_files(cfg)]
    found = found + missing
    clips = [] if found else _smallest_clips(cfg)
    problems = rehearse(cfg, size, sample_shapes(cfg), other_clips=clips, only_named=bool(found))
    return missing + problems


def _smallest_clips(cfg: CfgNode) -> list[tuple[str, dict[str, tuple[int, ...]]]]:
    """Return the shapes of a sample for each number of frames of MULTIGRID, at its smallest crop.

    Other crops are between these and the full one.
    """
    key = f"MULTIGRID.{'LONG' if cfg.MULTIGRID.LONG_CYCLE else 'SHORT'}_CYCLE"
    clips = sorted(MultigridSchedule.from_cfg(cfg).clip_shapes(), reverse=True)
    smallest = {clip.num_frames: clip for clip in clips}.values()
    shapes = [sample_shapes(at_shape(cfg, clip)) for clip in smallest]
    return [(key, fields) for fields in shapes if fields is not None]


def run_worker(job: RunArgs) -> None:
    """Train, then test, as configured, in one process of a job."""
    cfg = job.cfg
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    setup_logging(
        Path(cfg.OUTPUT_DIR),
        is_main=distributed.is_main_process(),
        mark="[demo] " if is_demo(cfg.DATA) else "",
        projects=cfg.PROJECTS,
    )
    torch.set_num_threads(_num_threads(cfg))
    device = choose_device(cfg.NUM_GPUS, distributed.local_rank())
    with keys(seed="RNG_SEED"):
        seed_everything(cfg.RNG_SEED + distributed.rank())
    _announce(job, device)
    if cfg.TRAIN.ENABLE:
        if cfg.TEST.ENABLE:  # a missing or unreadable list stops the run now, not after training
            build_dataset(cfg.TEST.DATASET, cfg, "test")
        run_training(cfg, device)
    if cfg.TEST.ENABLE:
        run_test(cfg, device)
    if job.demo_changes:
        logger.info(
            "To train on your own videos, name their folder:\n\n    %s\n", _own_command(job)
        )


def _num_threads(cfg: CfgNode) -> int:
    """Choose the number of torch threads: processes of a machine share its cores."""
    if cfg.NUM_THREADS:
        return int(cfg.NUM_THREADS)
    processes = local_world_size(cfg.NUM_SHARDS)
    share = max(1, (os.cpu_count() or 1) // processes)
    return min(share, torch.get_num_threads()) if processes > 1 else torch.get_num_threads()


def _announce(job: RunArgs, device: torch.device) -> None:
    cfg = job.cfg
    logger.info(
        "%s on %s, %d process(es); output in %s",
        job.source,
        device,
        distributed.world_size(),
        cfg.OUTPUT_DIR,
    )
    if distributed.is_main_process():
        (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    for note in job.notes:
        logger.info("%s", note)
    if line := describe_raised_size(cfg):
        logger.info("%s", line)
    if not job.demo_changes:
        return
    width = max(len(change.key) for change in job.demo_changes)
    lines = [f"    {c.key.ljust(width)}  {c.before!r} -> {c.after!r}" for c in job.demo_changes]
    logger.info(
        "DATA.PATH_TO_DATA_DIR is not set: using the BUILT-IN DEMO SET, made of synthetic clips.\n"
        "The results say nothing about real video. %s changes these keys:\n%s",
        cfg.DATA.DEMO_CFG,
        "\n".join(lines),
    )


def _own_command(job: RunArgs) -> str:
    return (
        f"python tools/run_net.py --cfg {job.source} DATA.PATH_TO_DATA_DIR /path/to/videos "
        "OUTPUT_DIR output/mine"
    )
