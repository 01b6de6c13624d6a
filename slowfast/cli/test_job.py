"""Tests a checkpoint with the configured evaluation protocols."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from slowfast.config import CfgNode
from slowfast.engine.class_names import choose_class_names, read_class_names
from slowfast.engine.evaluator import Evaluation, ViewsTest, evaluate_views
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision
from slowfast.engine.predictions import Predictions, write_reports
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.records import Measurement, format_table, identify, store_results
from slowfast.engine.save_results import save_results
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.models.build import construct_model
from slowfast.models.script_checkpoints import TestedWeights, load_tested
from slowfast.models.weights import require_head
from slowfast.utils import distributed
from slowfast.utils.logging import log_json_stats
from slowfast.visualization.board import write_board

__all__ = ["name_classes", "run_test"]

logger = logging.getLogger(__name__)


def run_test(cfg: CfgNode, device: torch.device) -> None:
    """Test a model and write ``results.json``.

    Raises:
        UserError: If there is no checkpoint to test.
    """
    own_names = read_class_names(cfg.TENSORBOARD.CLASS_NAMES_PATH)
    cfg = with_sampling_of_weights(cfg, "TEST")
    model = construct_model(cfg)
    tested = load_tested(cfg, model)
    _check_head(tested, cfg)
    distributed.copy_from_main(model.to(device))  # what is random differs between processes
    is_random, trained_names = tested.is_random, tested.class_names
    output_dir, precision = Path(cfg.OUTPUT_DIR), Precision.from_cfg(cfg, device)
    content: dict[str, Any] = {}
    measured: dict[str, float] = {}
    insight = InsightJob(cfg)
    for test in evaluate_views(cfg, model, precision, watch=insight.watch):
        names = name_classes(test, own_names, trained_names)
        insight.write(test, model, names)
        if not distributed.is_main_process():
            continue
        identity, details = identify(test.cfg, model, is_random=is_random), {}
        if "classification" in cfg.TEST.PROTOCOLS:
            predictions = _predictions(test.evaluation, names, cfg)
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
        measured |= {name: result.value for name, result in test.results.items()}
        _log_accuracy(test.results, test.suffix, output_dir)
    if distributed.is_main_process():
        if cfg.TENSORBOARD.ENABLE:
            write_board(cfg, measured)
        logger.info("results (%s):\n\n%s\n", output_dir / "results.json", format_table(content))


def name_classes(test: ViewsTest, own_names: list[str], trained_names: list[str]) -> list[str]:
    """Choose the names of the classes: of the head, else of the labels of the data."""
    has_files = test.evaluation.has_features("test")
    manifest = test.evaluation.files("test") if has_files else None
    of_data = [] if manifest is None else manifest.class_names
    if "classification" in test.cfg.TEST.PROTOCOLS:
        return choose_class_names(own_names, trained_names, of_data)
    return own_names or list(of_data)


def _predictions(evaluation: Evaluation, class_names: list[str], cfg: CfgNode) -> Predictions:
    """Collect the scores of the test split with the names of its files and classes."""
    table, manifest = evaluation.features("test"), evaluation.files("test")
    missing = len(manifest) - len(table) if manifest is not None else 0
    if missing:
        logger.warning("%d files could not be read: they have no predictions", missing)
    return Predictions.create(
        table,
        (lambda row: f"row {row}") if manifest is None else (lambda row: manifest.row(row).name),
        class_names,
        cfg.DATA.ENSEMBLE_METHOD,
    )


def _log_accuracy(results: dict[str, Measurement], suffix: str, output_dir: Path) -> None:
    """Log PySlowFast's line ``test_final``, if the accuracy of a classifier was measured."""
    names = [n for n in ("top1_acc", "top5_acc", "map") if f"{n}{suffix}" in results]
    if not names:
        return
    stats = {"_type": "test_final", "split": f"test_final{suffix}"}
    stats |= {name: f"{100 * results[f'{name}{suffix}'].value:.2f}" for name in names}
    log_json_stats(stats)
    log_json_stats(stats, output_dir)


def _check_head(tested: TestedWeights, cfg: CfgNode) -> None:
    """Check that the head was loaded, if a protocol measures its scores."""
    if tested.report is None or cfg.TEST.RANDOM_HEAD:
        return
    if any(PROTOCOL_REGISTRY.capability(name, "needs_head") for name in cfg.TEST.PROTOCOLS):
        require_head(tested.report, tested.key)
