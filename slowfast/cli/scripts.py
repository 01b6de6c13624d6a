"""The command line and the launcher for scripts of one's own, under PySlowFast's names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli.arguments import parse_arguments
from slowfast.config import CfgNode, assert_and_infer_cfg
from slowfast.config import load_config as load_any_config
from slowfast.config.projects import import_project
from slowfast.utils import distributed
from slowfast.utils.env import choose_device, num_local_processes
from slowfast.utils.launch import launch

__all__ = ["assert_and_infer_cfg", "launch_job", "launch_with_cfg", "load_config", "parse_args"]


def parse_args() -> argparse.Namespace:
    """Parse the command line of a script, with the options of ``run_net.py``.

    Returns:
        ``cfg_files``, ``opts`` (``KEY VALUE ...``), ``shard_id``, ``num_shards``, ``init_method``.
    """
    parsed = parse_arguments(sys.argv[1:], Path(sys.argv[0]).name)
    return argparse.Namespace(
        cfg_files=parsed.cfg_files,
        opts=parsed.overrides,
        shard_id=parsed.shard_id,
        num_shards=parsed.num_shards,
        init_method=parsed.init_method,
    )


def load_config(args: argparse.Namespace, path_to_config: str | Path | None = None) -> CfgNode:
    """Merge a YAML and the command line; ``assert_and_infer_cfg`` then checks the result.

    Args:
        args: From ``parse_args``, or any object with some of ``opts``, ``num_shards``,
            ``shard_id``, ``rng_seed`` and ``output_dir``.
        path_to_config: One of ``args.cfg_files``; None: ``args.cfg_file`` if there is one, else
            only defaults and ``args.opts``.

    Returns:
        The configuration, not frozen.

    Raises:
        ConfigError: If a key or a type is wrong; all of them are named.
        UserError: If the file is missing or is not YAML.
    """
    names = {"num_shards": "NUM_SHARDS", "shard_id": "SHARD_ID"}
    names |= {"rng_seed": "RNG_SEED", "output_dir": "OUTPUT_DIR"}
    given = {key: getattr(args, name, None) for name, key in names.items()}
    cfg = load_any_config(
        path_to_config or getattr(args, "cfg_file", None),
        getattr(args, "opts", None) or (),
        assignments={key: value for key, value in given.items() if value is not None},
        validate=False,
    ).cfg
    cfg.defrost()
    return cfg


def launch_job(
    cfg: CfgNode, init_method: str, func: Callable[[CfgNode], None], daemon: bool = False
) -> None:
    """Run ``func(cfg)`` in every process of a job.

    Args:
        cfg: Read: NUM_GPUS, NUM_CPU_PROCESSES, NUM_SHARDS, SHARD_ID, DIST_BACKEND,
            DIST.TIMEOUT_SEC, PROJECTS.
        init_method: Rendezvous URL, such as ``args.init_method``.
        func: A function that can be imported, so that it can be sent to spawned processes.
        daemon: Not needed: processes end with the job.

    Raises:
        UserError: If the number of processes contradicts the environment.
        Exception: Whatever ``func`` raises.
    """
    launch_with_cfg(_call, (func, cfg), cfg, init_method)


def launch_with_cfg(
    fn: Callable[..., None], args: tuple[Any, ...], cfg: CfgNode, init_method: str
) -> None:
    """Run ``fn(*args)`` in every process of the job that a configuration describes.

    Args:
        fn: As for ``launch``.
        args: As for ``launch``.
        cfg: The configuration.
        init_method: Rendezvous URL.
    """
    on_gpu = cfg.NUM_GPUS != 0 and torch.cuda.is_available()
    launch(
        fn,
        args,
        num_processes=num_local_processes(cfg.NUM_GPUS, cfg.NUM_CPU_PROCESSES),
        num_shards=cfg.NUM_SHARDS,
        shard_id=cfg.SHARD_ID,
        init_method=init_method,
        backend=cfg.DIST_BACKEND if on_gpu else "gloo",
        timeout_sec=cfg.DIST.TIMEOUT_SEC,
    )


def _call(func: Callable[[CfgNode], None], cfg: CfgNode) -> None:
    """Prepare a process, which may be a new one, and call the script's function."""
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    choose_device(cfg.NUM_GPUS, distributed.local_rank())
    func(cfg)
