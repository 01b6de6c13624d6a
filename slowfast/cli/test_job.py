"""Tests a checkpoint with the configured evaluation protocols."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.evaluator import Evaluation, evaluate
from slowfast.engine.precision import Precision
from slowfast.engine.records import format_table, identify, store_results
from slowfast.models.build import build_model
from slowfast.models.weights import RANDOM_WEIGHTS, load_weights
from slowfast.utils import distributed
from slowfast.utils.checkpoint import find_last_checkpoint

__all__ = ["run_test"]

logger = logging.getLogger(__name__)


def run_test(cfg: CfgNode, device: torch.device) -> None:
    """Test a model and write ``results.json``.

    Raises:
        UserError: If there is no checkpoint to test.
    """
    model = build_model(cfg)
    is_random = _load(model, cfg)
    evaluation = Evaluation(cfg, model.to(device), Precision.from_cfg(cfg, device))
    results = evaluate(evaluation, cfg, needs_model=True)
    others = evaluate(evaluation, cfg, needs_model=False)
    if not distributed.is_main_process():
        return
    output_dir = Path(cfg.OUTPUT_DIR)
    identity = identify(cfg, model, is_random=is_random)
    store_results(output_dir, results, "after", identity)
    content = store_results(output_dir, others, "value", identity)
    logger.info("results (%s):\n\n%s\n", output_dir / "results.json", format_table(content))


def _load(model: nn.Module, cfg: CfgNode) -> bool:
    """Load the checkpoint to test, as PySlowFast does, but random weights only on request."""
    named = cfg.TEST.CHECKPOINT_FILE_PATH
    last = find_last_checkpoint(Path(cfg.OUTPUT_DIR), cfg.TASK)
    if not named and last is not None:
        load_weights(model, last, key="OUTPUT_DIR")  # our own checkpoint: no conversion
        return False
    section, key = (cfg.TEST, "TEST") if named else (cfg.TRAIN, "TRAIN")
    path = section.CHECKPOINT_FILE_PATH
    if path == RANDOM_WEIGHTS:
        logger.warning("%s.CHECKPOINT_FILE_PATH is 'random': testing the untrained model", key)
        return True
    if not path:
        raise ConfigValueError(
            "TEST.CHECKPOINT_FILE_PATH",
            f"nothing to test: OUTPUT_DIR {cfg.OUTPUT_DIR} has no "
            "checkpoint and none is named. Name one, or 'random' for the untrained model.",
        )
    load_weights(
        model,
        path,
        checkpoint_type=section.CHECKPOINT_TYPE,
        clear_patterns=tuple(cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN),
        inflate_2d=cfg.TRAIN.CHECKPOINT_INFLATE and not named,
        key=f"{key}.CHECKPOINT_FILE_PATH",
    )
    return False
