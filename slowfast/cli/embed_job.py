"""Implementation of ``slowfast embed``: launches its processes."""

from __future__ import annotations

from argparse import Namespace

from slowfast.inference.embed_files import EmbedJob, embed_files
from slowfast.inference.store import import_pyarrow
from slowfast.utils import distributed
from slowfast.utils.launch import launch
from slowfast.utils.logging import setup_logging

__all__ = ["run_command"]

_WAIT_SEC = 30 * 86400.0
"""Processes that are done wait for the others, whose videos may be longer."""


def run_command(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If the weights, the files or the folder cannot be used.
    """
    import_pyarrow()
    overrides = list(arguments.opts)
    if arguments.views is not None:
        overrides += ["TEST.NUM_ENSEMBLE_VIEWS", str(arguments.views)]
    if arguments.batch_size is not None:
        overrides += ["TEST.BATCH_SIZE", str(arguments.batch_size)]
    job = EmbedJob(
        source=arguments.source,
        weights=arguments.weights,
        out=arguments.out,
        cfg=arguments.cfg,
        overrides=tuple(overrides),
        every_sec=arguments.every_sec,
        device=arguments.device,
        num_workers=arguments.num_workers,
        overwrite=arguments.overwrite,
        prune=arguments.prune,
        npz=arguments.npz,
    )
    launch(_run, (job,), num_processes=arguments.processes, wait_sec=_WAIT_SEC)
    return 0


def _run(job: EmbedJob) -> None:
    setup_logging(None, is_main=distributed.is_main_process())
    embed_files(job)
