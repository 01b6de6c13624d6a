"""Implementation of ``slowfast benchmark``."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast import __version__
from slowfast.cli.runner import rehearse_config
from slowfast.cli.scripts import launch_with_cfg
from slowfast.config import CfgNode, load_config
from slowfast.config.load import flatten, is_demo
from slowfast.config.projects import import_project
from slowfast.engine.benchmark import NO_OUTPUT, Measured, fake_data, measure
from slowfast.utils import distributed
from slowfast.utils.cores import num_threads, usable_cores
from slowfast.utils.device_settings import DeviceSettings
from slowfast.utils.env import choose_device, describe_environment
from slowfast.utils.io import write_json
from slowfast.utils.logging import setup_logging
from slowfast.utils.placement import local_world_size
from slowfast.utils.random import seed_everything
from slowfast.visualization.benchmark_text import describe_benchmark
from slowfast.visualization.report.bottleneck import Timing, explain

__all__ = ["run_command"]

_FORMAT = 1


class _Job(NamedTuple):
    """Arguments of a process; picklable for spawned processes."""

    cfg: CfgNode
    arguments: Namespace
    load: float  # processes that ran on this machine before


def run_command(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If the configuration or the data is wrong, or the training too short.
    """
    load = os.getloadavg()[0]
    setup_logging(None)
    with tempfile.TemporaryDirectory(prefix="slowfast-benchmark-") as folder:
        words, keys = list(arguments.overrides), {**NO_OUTPUT, "OUTPUT_DIR": folder}
        if arguments.fake_data:
            words += ["DATA.DEMO_CFG", ""]
            dataset = load_config(arguments.cfg, words, validate=False).cfg.TRAIN.DATASET
            keys |= fake_data(dataset)
        cfg = load_config(arguments.cfg, words, assignments=keys, last_check=rehearse_config).cfg
        launch_with_cfg(_run, (_Job(cfg, arguments, load),), cfg, "tcp://localhost")
    return 0


def _run(job: _Job) -> None:
    """Measure in one process; the main process writes."""
    cfg, arguments = job.cfg, job.arguments
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    setup_logging(None, is_main=distributed.is_main_process(), projects=cfg.PROJECTS)
    processes = local_world_size(cfg.NUM_SHARDS)
    torch.set_num_threads(num_threads(cfg.NUM_THREADS, processes, torch.get_num_threads()))
    device = choose_device(cfg.NUM_GPUS, distributed.local_rank())
    DeviceSettings.from_cfg(cfg).apply(device)
    seed_everything(cfg.RNG_SEED + distributed.rank())
    measured = measure(
        cfg, device, steps=arguments.steps, warm_up=arguments.warmup, seconds=arguments.seconds
    )
    if not distributed.is_main_process():
        return
    facts = _facts(job, measured, device)
    sys.stdout.write("\n" + "\n".join(describe_benchmark(facts)) + "\n")
    if arguments.json:
        write_json(Path(arguments.json), facts)
        sys.stdout.write(f"all numbers: {arguments.json}\n")


def _facts(job: _Job, measured: Measured, device: torch.device) -> dict[str, Any]:
    """Collect everything that the text and the JSON file say."""
    cfg, processes, steps = job.cfg, distributed.world_size(), measured.steps
    long_step = measured.compute + measured.wait
    is_constant = not (cfg.MULTIGRID.LONG_CYCLE or cfg.MULTIGRID.SHORT_CYCLE)
    shows_epochs = is_constant and measured.samples is not None
    timing = Timing(
        long_step,
        measured.wait / long_step,
        steps.parts.get("copy", 0.0) / long_step,
        processes * measured.samples_per_step / long_step,
    )
    found = explain(
        timing,
        flatten(cfg),
        on_gpu=device.type == "cuda",
        cores=usable_cores(),
        processes=local_world_size(cfg.NUM_SHARDS),
        needed_workers=measured.needed_workers,
    )
    environment = {"slowfast-stica": __version__, "cores": usable_cores(), "load": job.load}
    return {
        "format": _FORMAT,
        "config": job.arguments.cfg,
        "overrides": job.arguments.overrides,
        "is_demo": is_demo(cfg.DATA),
        "environment": {**describe_environment(), **environment},
        "device": _name(device),
        "processes": processes,
        "workers": measured.workers,
        "threads": torch.get_num_threads(),
        "samples_per_step": processes * measured.samples_per_step,
        "step": {
            "step_sec": steps.step,
            "parts_sec": steps.parts,
            "cpu_sec": steps.cpu,
            "steps": steps.steps,
            "precision": steps.precision,
        },
        "sample": _sample(measured),
        "loader": None if measured.loader is None else measured.loader._asdict(),
        "compute_sec": measured.compute,
        "long_run": {"step_sec": long_step, "wait_sec": measured.wait},
        "samples_per_sec": timing.samples_per_sec,
        "needed_workers": measured.needed_workers,
        "memory": {
            "peak_bytes": steps.peak_bytes,
            "worker_bytes": _worker_bytes() if measured.workers else 0,
        },
        "epochs": cfg.SOLVER.MAX_EPOCH,
        "epoch_sec": steps.steps_per_epoch * long_step if shows_epochs else None,
        "bottleneck": found._asdict(),
    }


def _sample(measured: Measured) -> dict[str, Any] | None:
    samples = measured.samples
    if samples is None:
        return None
    times = ("decode", "augment", "other", "collate", "cpu")
    return {
        **{f"{name}_sec": getattr(samples, name) for name in times},
        "samples": samples.samples,
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _worker_bytes() -> int:
    """Return the peak resident memory of the largest data worker."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
