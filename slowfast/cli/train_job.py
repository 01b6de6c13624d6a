"""Trains a model, with periodic evaluation as configured."""

from __future__ import annotations

import logging
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


def run_training(cfg: CfgNode, device: torch.device) -> None:
    """Train a model, resuming from the newest checkpoint in OUTPUT_DIR.

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
    logger.info(
        "train: %d videos, %d steps in an epoch",
        len(trainer.loader.dataset),
        trainer.steps_per_epoch,
    )
    if trainer.is_finished and not (validates and trainer.awaits_validation):
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
