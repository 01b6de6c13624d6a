"""Trains a model, with periodic evaluation as configured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.annotations.labels import check_highest_class
from slowfast.datasets.build import build_dataset, has_split
from slowfast.engine.evaluator import Evaluation, evaluate, evaluate_views
from slowfast.engine.protocols.build import classifies
from slowfast.engine.records import identify, store_results
from slowfast.engine.start import find_pretrained
from slowfast.engine.trainer import Trainer
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.utils import distributed
from slowfast.utils.stop_signals import noted_signals
from slowfast.visualization.curves import plot_curves

__all__ = ["run_training"]

logger = logging.getLogger(__name__)

_MAX_CHANGES = 20


def run_training(
    cfg: CfgNode, device: torch.device, on_start: Callable[[], None] = lambda: None
) -> None:
    """Train a model, resuming from the newest checkpoint in OUTPUT_DIR.

    Args:
        cfg: The configuration.
        device: Where to train.
        on_start: Called once it is clear that OUTPUT_DIR is, or becomes, that of this training.

    Raises:
        UserError: If data, checkpoint or loss stop the run.
    """
    validates = cfg.TRAIN.EVAL_PERIOD > 0 and has_split(cfg.TRAIN.DATASET, cfg, "val")
    if cfg.TEST.BEST_CHECKPOINT and not validates:
        raise ConfigValueError(
            "TEST.BEST_CHECKPOINT",
            "got True, but nothing is validated in training: it needs TRAIN.EVAL_PERIOD above 0 "
            f"(got {cfg.TRAIN.EVAL_PERIOD}) and a validation split. Add one, or use False.",
        )
    cfg = with_sampling_of_weights(cfg, "TRAIN")
    if validates and classifies(cfg):
        manifest = getattr(build_dataset(cfg.TRAIN.DATASET, cfg, "val"), "manifest", None)
        check_highest_class(manifest, cfg.MODEL.NUM_CLASSES, "val")
    trainer = Trainer(cfg, device)
    is_done = trainer.is_finished and not (validates and trainer.awaits_validation)
    _tell_changes(trainer, is_done=is_done)
    on_start()
    logger.info(
        "train: %d videos, %d steps in an epoch",
        len(trainer.loader.dataset),
        trainer.steps_per_epoch,
    )
    if is_done:
        logger.info("training is already done (%d epochs)", trainer.epoch)
        return
    if cfg.TRAIN.EVAL_BEFORE and trainer.steps_done == 0:
        for test in evaluate_views(cfg, trainer.model, trainer.precision, needs_model=True):
            if distributed.is_main_process():
                identity = identify(test.cfg, trainer.model, is_random=not find_pretrained(cfg))
                store_results(Path(cfg.OUTPUT_DIR), test.results, "before", identity)
    if cfg.TRAIN.EVAL_PERIOD > 0 and not validates:
        logger.info("the data has no validation split: no evaluation during training")

    def after_epoch(epochs_done: int) -> dict[str, float]:
        if not (validates and trainer.is_due(cfg.TRAIN.EVAL_PERIOD)):
            return {}
        evaluation = Evaluation(
            cfg, trainer.model, trainer.precision, {"test": "val"}, cfg.TRAIN.DATASET
        )
        results = evaluate(evaluation, cfg, needs_model=True)
        return {name: result.value for name, result in results.items()}

    try:
        trainer.train(after_epoch)
    finally:
        with noted_signals():  # one that repeats hides nothing
            _plot(Path(cfg.OUTPUT_DIR))


def _tell_changes(trainer: Trainer, *, is_done: bool) -> None:
    """Warn of settings that differ from those of the run so far; refuse if it is finished."""
    if not trainer.changes:
        return
    more = len(trainer.changes) - _MAX_CHANGES
    lines = [*trainer.changes[:_MAX_CHANGES], *([f"and {more} more"] if more > 0 else [])]
    listed = "".join(f"\n    {line}" for line in lines)
    if is_done:
        raise ConfigValueError(
            "OUTPUT_DIR",
            f"{trainer.output_dir} holds a training that is done ({trainer.epoch} epochs), with "
            f"other settings:{listed}\n  To train with these, choose another OUTPUT_DIR; to test "
            "the model that is there: slowfast test OUTPUT_DIR.",
        )
    logger.warning(
        "%s was trained with other settings so far, and continues with those of this run:%s\n"
        "  For a training of its own choose another OUTPUT_DIR.",
        trainer.output_dir,
        listed,
    )


def _plot(output_dir: Path) -> None:
    if not distributed.is_main_process():
        return
    try:
        path = plot_curves(output_dir)
    except ImportError as error:
        logger.info("%s", error)
        return
    except Exception as error:  # a plot never ends a run, nor hides what ended it
        logger.warning("curves.png could not be plotted: %s", error)
        return
    if path is not None:
        logger.info("curves: %s", path)
