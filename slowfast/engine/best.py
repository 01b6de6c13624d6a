"""The checkpoint with the best validation so far (TEST.BEST_CHECKPOINT)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slowfast.config import CfgNode, ConfigValueError
from slowfast.utils.checkpoint import best_checkpoint_path, read_checkpoint_file

__all__ = ["BestCheckpoint"]

logger = logging.getLogger(__name__)

_PYSLOWFAST = {"top1_err": "top1_acc", "top5_err": "top5_acc", "mAP": "map"}
"""Its metrics -> those with the same best checkpoint."""


class BestCheckpoint:
    """Decides after each validation whether the checkpoint is the best so far.

    Args:
        path: The file of the best checkpoint.
        metric: Name of the metric of the validation; higher is better.

    Attributes:
        path: The file of the best checkpoint.
        value: The best value so far; None before the first validation.
    """

    def __init__(self, path: Path, metric: str) -> None:
        self.path, self.metric = path, _PYSLOWFAST.get(metric, metric)
        self.value: float | None = None

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> BestCheckpoint | None:
        """Build it from TEST.BEST_CHECKPOINT and TEST.BEST_METRIC; None if it is not kept."""
        if not cfg.TEST.BEST_CHECKPOINT:
            return None
        default = "map" if cfg.DATA.MULTI_LABEL else "top1_acc"
        path = best_checkpoint_path(Path(cfg.OUTPUT_DIR), cfg.TASK)
        return cls(path, cfg.TEST.BEST_METRIC or default)

    def resume(self) -> None:
        """Take over the best value of a resumed run; every rank must call this."""
        if not self.path.is_file():
            return
        best = read_checkpoint_file(self.path).get("best", {})
        if best.get("metric") == self.metric:
            self.value = float(best["value"])
            logger.info("best validation so far: %s %.4f", self.metric, self.value)
        else:
            logger.warning(
                "%s is the best by %s, not by %s: the next validation replaces it",
                self.path,
                best.get("metric"),
                self.metric,
            )

    def improves(self, measurements: Mapping[str, float]) -> bool:
        """Return whether a validation is better than all before, and remember it.

        Args:
            measurements: Metric -> value; empty if nothing was measured after this epoch.

        Returns:
            True if the checkpoint has to be saved. The first of equal validations is the best.

        Raises:
            UserError: If the validation has no such metric.
        """
        if not measurements:
            return False
        if self.metric not in measurements:
            raise ConfigValueError(
                "TEST.BEST_METRIC",
                f"{self.metric!r} is not measured in validation; TEST.PROTOCOLS measure: "
                f"{', '.join(sorted(measurements))}.",
            )
        value = measurements[self.metric]
        if math.isnan(value) or (self.value is not None and value <= self.value):
            return False
        self.value = value
        return True

    def describe(self) -> dict[str, Any]:
        """Return the entry of the checkpoint."""
        return {"metric": self.metric, "value": self.value}
