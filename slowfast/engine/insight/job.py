"""Looks into a model after its test; a failure is one warning and never ends the run."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.engine.evaluator import ViewsTest, Watch
from slowfast.engine.insight.build import FOLDER, TestedModel, write_insight
from slowfast.engine.insight.watch import TestWatch
from slowfast.utils import distributed
from slowfast.utils.checkpoint import unwrap_model

__all__ = ["InsightJob"]

logger = logging.getLogger(__name__)


class InsightJob:
    """Collects during a test, and writes ``OUTPUT_DIR/insight`` after it.

    Args:
        cfg: Read: REPORT.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._watch = TestWatch(cfg.REPORT.MAX_VIDEOS) if cfg.REPORT.INSIGHT else None
        self._is_first = True

    @property
    def watch(self) -> Watch | None:
        """To be called with each batch of the first test; None: nothing is collected."""
        return self._collect if self._watch is not None else None

    def _collect(self, batch: Mapping[str, Any], embedded: Mapping[str, Tensor]) -> None:
        if self._watch is None:
            return
        try:
            self._watch(batch, embedded)
        except Exception as error:
            _warn(error)
            self._watch = None

    def write(self, test: ViewsTest, model: nn.Module, class_names: Sequence[str]) -> None:
        """Write what is found, in the main process. Every process must call this function.

        Only the first test is looked into, and only if a protocol reads features of its split. What
        an earlier test wrote is removed in any case: it is of other weights.

        Args:
            test: A test with this job's ``watch``.
            model: The tested model, wrapped or not.
            class_names: Names of classes in the order of their labels; may be empty.
        """
        evaluation, is_first = test.evaluation, self._is_first
        self._is_first = False
        if not is_first or not evaluation.has_features("test"):
            return
        output_dir = Path(test.cfg.OUTPUT_DIR)
        if distributed.is_main_process():
            shutil.rmtree(output_dir / FOLDER, ignore_errors=True)
        if not all(distributed.gather_objects(self._watch is not None)) or self._watch is None:
            return
        watched = self._watch.gather()
        if not distributed.is_main_process():
            return
        manifest = evaluation.files("test")
        tested = TestedModel(
            test.cfg,
            unwrap_model(model),
            evaluation.prepare,
            evaluation.features("test"),
            watched,
            (lambda row: f"row {row}") if manifest is None else (lambda r: manifest.row(r).name),
            class_names,
        )
        try:
            write_insight(tested, output_dir)
        except Exception as error:
            _warn(error)


def _warn(error: Exception) -> None:
    logger.warning(
        "OUTPUT_DIR/insight is not written (%s: %s). The results are not affected; REPORT.INSIGHT "
        "False switches it off.",
        type(error).__name__,
        error,
        exc_info=logger.isEnabledFor(logging.DEBUG),
    )
