"""Looks into the model of a run that ended without it, for ``slowfast report``."""

from __future__ import annotations

import logging
from pathlib import Path

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli.test_job import name_classes
from slowfast.config import CfgNode, load_config
from slowfast.config.projects import import_project
from slowfast.engine.class_names import read_class_names
from slowfast.engine.evaluator import evaluate_views
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.models.build import construct_model
from slowfast.models.script_checkpoints import load_tested
from slowfast.utils.env import choose_device

__all__ = ["write_missing_insight"]

logger = logging.getLogger(__name__)


def write_missing_insight(folder: Path) -> None:
    """Write ``insight`` of a run from its checkpoint and its test split, unless it is there.

    A run whose checkpoint or data are gone still has a report: what is missing is a warning.

    Args:
        folder: OUTPUT_DIR of the run.
    """
    if (folder / "insight").is_dir() or not (folder / "config.yaml").is_file():
        return
    try:
        cfg = _load(folder)
        if cfg.REPORT.INSIGHT:
            logger.warning(
                "%s ended without a look into its model: the test split is read now. "
                "--no-insight skips this.",
                folder,
            )
            _write(cfg)
    except Exception as error:
        logger.warning("the model of %s is not looked into: %s", folder, error)


def _load(folder: Path) -> CfgNode:
    """Load the configuration of the run, to test its model."""
    words = ["OUTPUT_DIR", str(folder)]
    cfg = load_config(folder / "config.yaml", words, validate=False).cfg.clone()
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    return with_sampling_of_weights(cfg, "TEST")


def _write(cfg: CfgNode) -> None:
    """Extract the features of the test split once, and write what is found."""
    device = choose_device(cfg.NUM_GPUS, 0)
    model = construct_model(cfg)
    tested = load_tested(cfg, model)
    insight, quiet = InsightJob(cfg), cfg.clone()
    quiet.defrost()
    quiet.TEST.PROTOCOLS = []
    quiet.freeze()
    precision = Precision.from_cfg(cfg, device)
    test = next(evaluate_views(quiet, model.to(device), precision, watch=insight.watch))
    test.evaluation.features("test")
    own_names = read_class_names(cfg.TENSORBOARD.CLASS_NAMES_PATH)
    names = name_classes(test._replace(cfg=cfg), own_names, tested.class_names)
    insight.write(test, model, names)
