"""Scalars for TensorBoard, with PySlowFast's tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slowfast.config import CfgNode

__all__ = ["TensorboardWriter"]


class TensorboardWriter:
    """Writes scalars to TENSORBOARD.LOG_DIR in OUTPUT_DIR.

    Args:
        cfg: Read: OUTPUT_DIR, TENSORBOARD.LOG_DIR, TRAIN.DATASET (``runs-kinetics``).
    """

    def __init__(self, cfg: CfgNode) -> None:
        from torch.utils.tensorboard import SummaryWriter

        name = cfg.TENSORBOARD.LOG_DIR or f"runs-{cfg.TRAIN.DATASET}"
        self.writer = SummaryWriter(Path(cfg.OUTPUT_DIR) / name)

    def add_scalars(self, data_dict: Mapping[str, float], global_step: int | None = None) -> None:
        """Write scalars.

        Args:
            data_dict: Tag -> value, such as ``{"Train/loss": 1.5}``.
            global_step: Iterations so far.
        """
        for tag, value in data_dict.items():
            self.writer.add_scalar(tag, value, global_step)

    def flush(self) -> None:
        """Write what is buffered."""
        self.writer.flush()

    def close(self) -> None:
        """Flush and close."""
        self.writer.close()
