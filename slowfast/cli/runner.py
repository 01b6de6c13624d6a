"""Runs one job: loads its config and launches the processes that train and test."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli.arguments import Arguments
from slowfast.cli.outcome import describe_outcome
from slowfast.cli.report_job import report_run
from slowfast.cli.run_record import RunRecord
from slowfast.cli.scripts import launch_with_cfg
from slowfast.cli.test_job import run_test
from slowfast.cli.train_job import run_training
from slowfast.config import CfgNode, LoadedConfig, Problem, keys, load_config
from slowfast.config.load import Change, is_demo
from slowfast.config.projects import import_project
from slowfast.datasets.annotations.labels import check_highest_class
from slowfast.datasets.build import build_dataset
from slowfast.datasets.views.decoding_size import describe_raised_size
from slowfast.datasets.views.sample_views import sample_shapes
from slowfast.engine.agreement import require_same_start
from slowfast.engine.protocols.build import (
    classifies,
    with_protocols_of_data,
    with_protocols_of_model,
)
from slowfast.engine.start import find_missing_weights
from slowfast.models.rehearsal import rehearse
from slowfast.models.weights import find_missing_files
from slowfast.utils import distributed
from slowfast.utils.checkpoint import find_last_checkpoint
from slowfast.utils.cores import num_threads
from slowfast.utils.device_settings import DeviceSettings
from slowfast.utils.env import choose_device, num_local_processes
from slowfast.utils.logging import setup_logging
from slowfast.utils.multigrid import MultigridSchedule, at_shape
from slowfast.utils.out_of_memory import telling_out_of_memory
from slowfast.utils.placement import local_world_size
from slowfast.utils.random import seed_everything
from slowfast.utils.run_lock import locked_output_dir
from slowfast.utils.stop_signals import StopSignal, noted_signals

__all__ = ["RunArgs", "rehearse_config", "run_job"]

logger = logging.getLogger(__name__)


class RunArgs(NamedTuple):
    """Arguments of a worker process; picklable for spawned processes.

    Attributes:
        cfg: The frozen configuration.
        source: The file of the configuration, or the weights that it is from.
        demo_changes: Changes by the demo overlay.
        notes: Accepted values without effect, and protocols that the model chose.
    """

    cfg: CfgNode
    source: str
    demo_changes: list[Change]
    notes: list[str]


def run_job(cfg_file: str, arguments: Arguments, source: str = "") -> None:
    """Load a config and run it in its number of processes.

    Args:
        cfg_file: The YAML.
        arguments: The command line.
        source: Where the configuration is from, for the log and run.json; "": ``cfg_file``.
    """
    assignments: dict[str, Any] = {}
    if arguments.shard_id is not None:
        assignments["SHARD_ID"] = arguments.shard_id
    if arguments.num_shards is not None:
        assignments["NUM_SHARDS"] = arguments.num_shards
    loaded: LoadedConfig = load_config(
        cfg_file, arguments.overrides, assignments=assignments, last_check=rehearse_config
    )
    cfg, notes = with_protocols_of_model(loaded.cfg), loaded.notes
    if cfg is not loaded.cfg and (cfg.TEST.ENABLE or cfg.TRAIN.EVAL_BEFORE):
        name, protocols = cfg.MODEL.MODEL_NAME, list(cfg.TEST.PROTOCOLS)
        notes = [*notes, f"TEST.PROTOCOLS {protocols}: {name} does not classify"]
    job = RunArgs(cfg, source or loaded.source, loaded.demo_changes, notes)
    launch_with_cfg(run_worker, (job,), cfg, arguments.init_method)


def rehearse_config(cfg: CfgNode, found: list[Problem]) -> list[Problem]:
    """Find missing weights, and run a step on shapes only.

    Args:
        cfg: The configuration.
        found: Problems that were found before.

    Returns:
        Further problems.
    """
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
    with contextlib.ExitStack() as stack:
        if distributed.is_main_process():
            stack.enter_context(locked_output_dir(Path(job.cfg.OUTPUT_DIR)))
        _run(job)


def _run(job: RunArgs) -> None:
    cfg = job.cfg
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    setup_logging(
        Path(cfg.OUTPUT_DIR),
        is_main=distributed.is_main_process(),
        mark="[demo] " if is_demo(cfg.DATA) else "",
        projects=cfg.PROJECTS,
    )
    require_same_start(cfg)
    processes = local_world_size(cfg.NUM_SHARDS)
    torch.set_num_threads(num_threads(cfg.NUM_THREADS, processes, torch.get_num_threads()))
    device = choose_device(cfg.NUM_GPUS, distributed.local_rank())
    DeviceSettings.from_cfg(cfg).apply(device)
    with keys(seed="RNG_SEED"):
        seed_everything(cfg.RNG_SEED + distributed.rank())
    _announce(job, device)
    try:
        _train_and_test(job, device)
    finally:
        if cfg.REPORT.ENABLE and distributed.is_main_process():
            with noted_signals():  # one that repeats hides nothing
                report_run(Path(cfg.OUTPUT_DIR))
    logger.info("%s", describe_outcome(cfg))
    if job.demo_changes:
        logger.info(
            "To train on your own videos, name their folder:\n\n    %s\n", _own_command(job)
        )


def _train_and_test(job: RunArgs, device: torch.device) -> None:
    cfg = job.cfg
    record = RunRecord(Path(cfg.OUTPUT_DIR), job.source, device, cfg.NUM_SHARDS)
    if cfg.TRAIN.ENABLE:
        # A missing or unreadable list stops the run now, not after training.
        if cfg.TEST.ENABLE or cfg.TRAIN.EVAL_BEFORE:
            dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
            manifest = getattr(dataset, "manifest", None)
            if classifies(cfg):
                check_highest_class(manifest, cfg.MODEL.NUM_CLASSES, "test")
            cfg, note = with_protocols_of_data(cfg, manifest)
            if note:
                logger.warning("%s", note)
        with (
            record.stage("train"),
            telling_out_of_memory(f"in training, on {device}", _smaller(cfg)),
        ):
            run_training(cfg, device, on_start=lambda: _write_config(job.cfg))
    if cfg.TEST.ENABLE:
        remedy = (
            f"Lower TEST.BATCH_SIZE (got {cfg.TEST.BATCH_SIZE}) or TEST.VIEWS_PER_CHUNK (got "
            f"{cfg.TEST.VIEWS_PER_CHUNK})."
        )
        with record.stage("test"), telling_out_of_memory(f"in the test, on {device}", remedy):
            try:
                run_test(cfg, device)
            except StopSignal as stop:
                raise StopSignal(
                    stop.number,
                    f"{stop} in the test, which starts again with the same command, or with "
                    f"slowfast test {cfg.OUTPUT_DIR}.",
                ) from stop


def _smaller(cfg: CfgNode) -> str:
    """Say what makes a training step smaller."""
    switches = ["TRAIN.MIXED_PRECISION", "MODEL.ACT_CHECKPOINT"]
    off = [key for key in switches if getattr(cfg[key.split(".")[0]], key.split(".")[1]) is False]
    turn_on = f", or set {' or '.join(f'{key} True' for key in off)}" if off else ""
    return (
        f"Lower TRAIN.BATCH_SIZE (got {cfg.TRAIN.BATCH_SIZE}), with SOLVER.ACCUMULATE_STEPS for as "
        f"many samples in an optimizer step{turn_on}. A run that has a checkpoint resumes from it. "
        "More: docs/troubleshooting.md."
    )


def _announce(job: RunArgs, device: torch.device) -> None:
    cfg = job.cfg
    logger.info("%s", _describe_job(job, device))
    resumes = cfg.TRAIN.ENABLE and find_last_checkpoint(Path(cfg.OUTPUT_DIR), cfg.TASK)
    if not resumes:  # else when it is clear that the checkpoint fits
        _write_config(cfg)
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


def _write_config(cfg: CfgNode) -> None:
    if distributed.is_main_process():
        (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(cfg.dump(), encoding="utf-8")


def _describe_job(job: RunArgs, device: torch.device) -> str:
    """Say what runs on what, where, in one line; models and splits log their sizes themselves."""
    cfg, processes = job.cfg, distributed.world_size()
    steps = [name for name, part in (("train", cfg.TRAIN), ("test", cfg.TEST)) if part.ENABLE]
    datasets = dict.fromkeys(
        part.DATASET for part in (cfg.TRAIN, cfg.TEST) if part.ENABLE and part.DATASET
    )
    data = f" on {' and '.join(datasets)}" if datasets else ""
    place = f" in {cfg.DATA.PATH_TO_DATA_DIR}" if cfg.DATA.PATH_TO_DATA_DIR else ""
    return (
        f"{' and '.join(steps) or 'nothing to do:'} {cfg.MODEL.MODEL_NAME} ({cfg.MODEL.ARCH})"
        f"{data}{place}; {job.source}; {device}, "
        f"{processes} process{'es' if processes > 1 else ''}; output in {cfg.OUTPUT_DIR}"
    )


def _own_command(job: RunArgs) -> str:
    return (
        f"python tools/run_net.py --cfg {job.source} DATA.PATH_TO_DATA_DIR /path/to/videos "
        "OUTPUT_DIR output/mine"
    )
