"""Tests a checkpoint with the configured evaluation protocols."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.class_names import choose_class_names, read_class_names
from slowfast.engine.evaluator import Evaluation, evaluate_views
from slowfast.engine.precision import Precision
from slowfast.engine.predictions import Predictions, write_reports
from slowfast.engine.records import format_table, identify, store_results
from slowfast.engine.save_results import save_results
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.models.build import build_model
from slowfast.models.weights import RANDOM_WEIGHTS, load_weights, read_checkpoint
from slowfast.utils import distributed
from slowfast.utils.checkpoint import best_checkpoint_path, find_last_checkpoint

__all__ = ["run_test"]

logger = logging.getLogger(__name__)


def run_test(cfg: CfgNode, device: torch.device) -> None:
    """Test a model and write ``results.json``.

    Raises:
        UserError: If there is no checkpoint to test.
    """
    own_names = read_class_names(cfg.TENSORBOARD.CLASS_NAMES_PATH)
    cfg = with_sampling_of_weights(cfg, "TEST")
    model = build_model(cfg)
    is_random, trained_names = _load(model, cfg)
    output_dir, precision = Path(cfg.OUTPUT_DIR), Precision.from_cfg(cfg, device)
    content: dict[str, Any] = {}
    for test in evaluate_views(cfg, model.to(device), precision):
        if not distributed.is_main_process():
            continue
        identity, details = identify(test.cfg, model, is_random=is_random), {}
        if "classification" in cfg.TEST.PROTOCOLS:
            predictions = _predictions(test.evaluation, own_names, trained_names, cfg)
            folder = output_dir / test.suffix.lstrip("_")
            name = f"classification{test.suffix}"
            details = {name: write_reports(predictions, folder)}
            if cfg.TEST.SAVE_RESULTS_PATH:
                path = output_dir / cfg.TEST.SAVE_RESULTS_PATH
                save_results(predictions, path.with_stem(path.stem + test.suffix))
        of_model = {k: v for k, v in test.results.items() if v.uses_model}
        others = {k: v for k, v in test.results.items() if not v.uses_model}
        store_results(output_dir, of_model, "after", identity, details)
        content = store_results(output_dir, others, "value", identity)
    if distributed.is_main_process():
        logger.info("results (%s):\n\n%s\n", output_dir / "results.json", format_table(content))


def _predictions(
    evaluation: Evaluation, own_names: list[str], trained_names: list[str], cfg: CfgNode
) -> Predictions:
    """Collect the scores of the test split with the names of its files and classes."""
    table, manifest = evaluation.features("test"), evaluation.files("test")
    missing = len(manifest) - len(table) if manifest is not None else 0
    if missing:
        logger.warning("%d files could not be read: they have no predictions", missing)
    return Predictions.create(
        table,
        (lambda row: f"row {row}") if manifest is None else (lambda row: manifest.row(row).name),
        choose_class_names(
            own_names, trained_names, [] if manifest is None else manifest.class_names
        ),
        cfg.DATA.ENSEMBLE_METHOD,
    )


def _own_checkpoint(cfg: CfgNode) -> Path | None:
    """Return the newest checkpoint in OUTPUT_DIR, or the best with TEST.BEST_CHECKPOINT."""
    output_dir = Path(cfg.OUTPUT_DIR)
    if not cfg.TEST.BEST_CHECKPOINT:
        return find_last_checkpoint(output_dir, cfg.TASK)
    best = best_checkpoint_path(output_dir, cfg.TASK)
    if not best.is_file():
        raise ConfigValueError(
            "TEST.BEST_CHECKPOINT",
            f"got True, but {best} does not exist: training with this key saves it after each "
            "validation that is better than all before. Train with it, or use False.",
        )
    return best


def _load(model: nn.Module, cfg: CfgNode) -> tuple[bool, list[str]]:
    """Load the checkpoint to test, as PySlowFast does, but random weights only on request.

    Returns:
        Whether random weights were requested, and the names of the classes of the checkpoint.
    """
    named = cfg.TEST.CHECKPOINT_FILE_PATH
    last = _own_checkpoint(cfg)
    if not named and last is not None:
        content = read_checkpoint(last, key="OUTPUT_DIR")
        load_weights(model, last, key="OUTPUT_DIR", content=content)  # ours: no conversion
        return False, content.get("class_names", [])
    section, key = (cfg.TEST, "TEST") if named else (cfg.TRAIN, "TRAIN")
    path = section.CHECKPOINT_FILE_PATH
    if path == RANDOM_WEIGHTS:
        logger.warning("%s.CHECKPOINT_FILE_PATH is 'random': testing the untrained model", key)
        return True, []
    if not path:
        raise ConfigValueError(
            "TEST.CHECKPOINT_FILE_PATH",
            f"nothing to test: OUTPUT_DIR {cfg.OUTPUT_DIR} has no "
            "checkpoint and none is named. Name one, or 'random' for the untrained model.",
        )
    content = read_checkpoint(path, key=f"{key}.CHECKPOINT_FILE_PATH")
    load_weights(
        model,
        path,
        checkpoint_type=section.CHECKPOINT_TYPE,
        clear_patterns=tuple(cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN),
        inflate_2d=cfg.TRAIN.CHECKPOINT_INFLATE and not named,
        key=f"{key}.CHECKPOINT_FILE_PATH",
        content=content,
    )
    return False, content.get("class_names", [])
