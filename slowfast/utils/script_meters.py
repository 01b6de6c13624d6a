"""Meters for scripts with loops of their own, under PySlowFast's names.

They log the ``json_stats`` lines of the trainer. Legend: N rows of a batch, M classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from slowfast.config import CfgNode, ParameterError
from slowfast.utils.logging import log_json_stats
from slowfast.utils.meters import IterationTimer, LossMeter, memory
from slowfast.utils.metrics import average_precision, topks_correct

__all__ = ["TestMeter", "TrainMeter", "ValMeter"]

logger = logging.getLogger(__name__)

_ENSEMBLES = ("sum", "max")


class _Meter:
    """Timing and means of an epoch.

    Args:
        epoch_iters: Iterations of an epoch.
        cfg: Read: LOG_PERIOD, OUTPUT_DIR, SOLVER.MAX_EPOCH, TASK.
    """

    kind = ""

    def __init__(self, epoch_iters: int, cfg: CfgNode) -> None:
        self.epoch_iters, self.cfg = epoch_iters, cfg
        self.iter_timer = IterationTimer(cfg.LOG_PERIOD)
        self.window = LossMeter(cfg.LOG_PERIOD)
        self.sums: dict[str, float] = {}
        self.num_samples = 0

    def reset(self) -> None:
        """Start an epoch."""
        self.window.reset()
        self.sums, self.num_samples = {}, 0

    def iter_tic(self) -> None:
        """Start an iteration, before its batch is loaded."""
        self.iter_timer.start()

    def data_toc(self) -> None:
        """Mark the end of data loading."""
        self.iter_timer.data_ready()

    def iter_toc(self) -> None:
        """End the iteration."""
        self.iter_timer.stop()

    def _add(self, values: dict[str, Any], mb_size: int) -> None:
        plain = {name: float(value) for name, value in values.items() if value is not None}
        self.window.update(plain)
        for name, value in plain.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * mb_size
        self.num_samples += mb_size

    def _means(self) -> dict[str, float]:
        return {name: total / max(1, self.num_samples) for name, total in self.sums.items()}

    def _stats(self, kind: str, cur_epoch: int, left: int) -> dict[str, Any]:
        ssl = "_ssl" if self.cfg.TASK == "ssl" else ""
        timing = self.iter_timer.record()
        return {
            "_type": f"{self.kind}_{kind}{ssl}",
            "epoch": f"{cur_epoch + 1}/{self.cfg.SOLVER.MAX_EPOCH}",
            **timing,
            "eta": str(timedelta(seconds=int(timing["dt"] * left))),
            **memory(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        }

    def _is_due(self, cur_iter: int) -> bool:
        return (cur_iter + 1) % self.cfg.LOG_PERIOD == 0


class TrainMeter(_Meter):
    """Statistics of training; arguments as in ``_Meter``."""

    kind = "train"

    def __init__(self, epoch_iters: int, cfg: CfgNode) -> None:
        super().__init__(epoch_iters, cfg)
        self.lr = 0.0

    def update_stats(
        self,
        top1_err: float | None,
        top5_err: float | None,
        loss: float,
        lr: float,
        grad_norm: float | None,
        mb_size: int,
        multi_loss: Any = None,
    ) -> None:
        """Add an iteration.

        Args:
            top1_err: In percent; None with several labels per row.
            top5_err: In percent, or None.
            loss: The loss.
            lr: Learning rate.
            grad_norm: Norm of the gradient, or None.
            mb_size: N, over all processes.
            multi_loss: Components of the loss, logged as ``loss_0``, ``loss_1``, ...; or None.
        """
        parts = {f"loss_{i}": value for i, value in enumerate(multi_loss or ())}
        errors = {"top1_err": top1_err, "top5_err": top5_err}
        self._add({"loss": loss, "grad_norm": grad_norm, **errors, **parts}, mb_size)
        self.lr = lr

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> None:
        """Log the medians of the last iterations, every LOG_PERIOD.

        Args:
            cur_epoch: From 0.
            cur_iter: From 0.
        """
        if self._is_due(cur_iter):
            done = cur_epoch * self.epoch_iters + cur_iter + 1
            stats = self._stats("iter", cur_epoch, self._all() - done)
            stats |= {"iter": f"{cur_iter + 1}/{self.epoch_iters}", "lr": self.lr}
            log_json_stats({**stats, **self.window.median()})

    def log_epoch_stats(self, cur_epoch: int) -> None:
        """Log the means of an epoch, also to ``json_stats.log``.

        Args:
            cur_epoch: From 0.
        """
        stats = self._stats("epoch", cur_epoch, self._all() - (cur_epoch + 1) * self.epoch_iters)
        stats |= {"lr": self.lr, **self._means()}
        log_json_stats(stats)
        log_json_stats(stats, self.cfg.OUTPUT_DIR)

    def _all(self) -> int:
        return self.epoch_iters * int(self.cfg.SOLVER.MAX_EPOCH)


class ValMeter(_Meter):
    """Statistics of validation, with the lowest errors so far; arguments as in ``_Meter``."""

    kind = "val"

    def __init__(self, max_iter: int, cfg: CfgNode) -> None:
        super().__init__(max_iter, cfg)
        self.min_top1_err = self.min_top5_err = 100.0

    def update_stats(self, top1_err: float, top5_err: float, mb_size: int) -> None:
        """Add an iteration.

        Args:
            top1_err: In percent.
            top5_err: In percent.
            mb_size: N, over all processes.
        """
        self._add({"top1_err": top1_err, "top5_err": top5_err}, mb_size)

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> None:
        """Log the medians of the last iterations, every LOG_PERIOD.

        Args:
            cur_epoch: From 0.
            cur_iter: From 0.
        """
        if self._is_due(cur_iter):
            stats = self._stats("iter", cur_epoch, self.epoch_iters - cur_iter - 1)
            stats |= {"iter": f"{cur_iter + 1}/{self.epoch_iters}", "time_diff": stats["dt"]}
            log_json_stats({**stats, **self.window.median()})

    def log_epoch_stats(self, cur_epoch: int) -> None:
        """Log the means of an epoch, also to ``json_stats.log``.

        Args:
            cur_epoch: From 0.
        """
        means = self._means()
        self.min_top1_err = min(self.min_top1_err, means.get("top1_err", 100.0))
        self.min_top5_err = min(self.min_top5_err, means.get("top5_err", 100.0))
        stats = self._stats("epoch", cur_epoch, 0)
        stats |= {"time_diff": stats["dt"], **means}
        stats |= {"min_top1_err": self.min_top1_err, "min_top5_err": self.min_top5_err}
        log_json_stats(stats)
        log_json_stats(stats, self.cfg.OUTPUT_DIR)


class TestMeter:
    """Combines the scores of the views of each video, and measures their accuracy.

    Args:
        num_videos: Videos.
        num_clips: Views of each: TEST.NUM_ENSEMBLE_VIEWS times TEST.NUM_SPATIAL_CROPS.
        num_cls: M.
        overall_iters: Batches of the test.
        multi_label: Labels are vectors of 0 and 1; the mean average precision is measured.
        ensemble_method: ``sum`` or ``max`` over views.

    Attributes:
        video_preds: float (num_videos, M).
        video_labels: int64 (num_videos,); float (num_videos, M) with several labels.
        clip_count: int64 (num_videos,), views seen.
        stats: The result.

    Raises:
        ParameterError: If the method is unknown.
    """

    __test__ = False  # not a test, for pytest

    def __init__(
        self,
        num_videos: int,
        num_clips: int,
        num_cls: int,
        overall_iters: int,
        multi_label: bool = False,
        ensemble_method: str = "sum",
    ) -> None:
        if ensemble_method not in _ENSEMBLES:
            raise ParameterError(
                "ensemble_method", f"got {ensemble_method!r}, expected {' or '.join(_ENSEMBLES)}."
            )
        self.num_clips, self.overall_iters = num_clips, overall_iters
        self.multi_label, self.ensemble_method = multi_label, ensemble_method
        self.iter_timer = IterationTimer(1)
        self.video_preds = torch.zeros(num_videos, num_cls)
        labels = torch.zeros(num_videos, num_cls) if multi_label else torch.zeros(num_videos)
        self.video_labels = labels if multi_label else labels.long()
        self.clip_count = torch.zeros(num_videos, dtype=torch.int64)
        self.stats: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all videos."""
        self.video_preds.fill_(0.0 if self.ensemble_method == "sum" else -torch.inf)
        self.video_labels.zero_()
        self.clip_count.zero_()

    def iter_tic(self) -> None:
        """Start an iteration, before its batch is loaded."""
        self.iter_timer.start()

    def data_toc(self) -> None:
        """Mark the end of data loading."""
        self.iter_timer.data_ready()

    def iter_toc(self) -> None:
        """End the iteration."""
        self.iter_timer.stop()

    def update_stats(self, preds: Tensor, labels: Tensor, clip_ids: Tensor) -> None:
        """Add the views of a batch.

        Args:
            preds: float (N, M), scores of each view.
            labels: (N,) or (N, M).
            clip_ids: int64 (N,): number of the video times ``num_clips`` plus that of the view.
        """
        preds, labels = preds.detach().cpu().float(), labels.detach().cpu()
        videos = clip_ids.detach().cpu().long() // self.num_clips
        self.video_labels[videos] = labels.to(self.video_labels.dtype)
        self.clip_count.index_add_(0, videos, torch.ones_like(videos))
        if self.ensemble_method == "sum":
            self.video_preds.index_add_(0, videos, preds)
        else:
            rows = videos.unsqueeze(1).expand_as(preds)
            self.video_preds.scatter_reduce_(0, rows, preds, "amax")

    def log_iter_stats(self, cur_iter: int) -> None:
        """Log the progress.

        Args:
            cur_iter: From 0.
        """
        seconds = self.iter_timer.record()["dt"]
        left = timedelta(seconds=int(seconds * (self.overall_iters - cur_iter - 1)))
        stats = {"split": "test_iter", "cur_iter": f"{cur_iter + 1}"}
        log_json_stats({**stats, "eta": str(left), "time_diff": seconds})

    def finalize_metrics(self, ks: Sequence[int] = (1, 5)) -> None:
        """Log the accuracy over all videos, and keep it in ``stats``.

        Args:
            ks: Several k; ``top5_acc`` for 5. In percent, as text. Not used with several labels.
        """
        wrong = (self.clip_count != self.num_clips).nonzero().flatten()
        if len(wrong):
            logger.warning(
                "%d of %d videos do not have %d views; the first: video %d has %d.",
                len(wrong),
                len(self.clip_count),
                self.num_clips,
                wrong[0],
                self.clip_count[wrong[0]],
            )
        self.stats = {"split": "test_final"}
        if self.multi_label:
            share = f"{100.0 * self._mean_average_precision():.2f}"
            self.stats |= {"map": share, "top1_acc": share, "top5_acc": share}
        else:
            hits = topks_correct(self.video_preds, self.video_labels, ks)
            for k, count in zip(ks, hits, strict=True):
                self.stats[f"top{k}_acc"] = f"{100.0 * float(count) / len(self.video_preds):.2f}"
        log_json_stats(self.stats)

    def _mean_average_precision(self) -> float:
        """Average over the classes with positives."""
        has_positives = self.video_labels.sum(dim=0) > 0
        per_class = average_precision(
            self.video_preds[:, has_positives], self.video_labels[:, has_positives]
        )
        return float(per_class.mean())
