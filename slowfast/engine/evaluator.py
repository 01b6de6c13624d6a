"""Evaluation: protocols over the features of splits, and ``results.json``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.datasets.device import build_prepare_batch
from slowfast.datasets.loader import construct_loader
from slowfast.engine.features import FeatureTable, extract_features
from slowfast.engine.precision import Precision
from slowfast.engine.protocols import PROTOCOL_REGISTRY, Result
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.io import read_json, write_json

__all__ = ["Evaluation", "evaluate", "format_table", "store_results"]

logger = logging.getLogger(__name__)

RESULTS_FORMAT = 1


class Evaluation:
    """A model seen through the splits of a data set; what protocols are given.

    Args:
        cfg: The configuration.
        model: An EmbeddingModel, wrapped or not.
        precision: As in training; knows the device.
        splits: Split that a protocol asks for -> split that it gets. In training "test" means the
            validation split.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        precision: Precision,
        splits: dict[str, str] | None = None,
    ) -> None:
        self._cfg, self._model, self._precision = cfg, unwrap_model(model), precision
        self._splits = splits or {}
        self._tables: dict[str, FeatureTable] = {}
        self._prepare = build_prepare_batch(cfg, train=False).to(precision.device)

    def features(self, split: str) -> FeatureTable:
        """Return the features of a split, extracted once.

        Args:
            split: "test" or "gallery".

        Returns:
            One row per video.
        """
        split = self._splits.get(split, split)
        if split not in self._tables:
            prepared = map(self._prepare, construct_loader(self._cfg, split))
            table = extract_features(
                self._model,
                prepared,
                self._precision,
                title=split,
                head_act=self._cfg.MODEL.HEAD_ACT,
            )
            self._tables[split] = table
            logger.info("%s: %d videos, %d views each", split, len(table), int(table.num_views[0]))
        return self._tables[split]

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's batches of a split, prepared as for the model.

        Args:
            split: "test" or "gallery".

        Returns:
            Batches with ``raw_video``, the uint8 frames, besides the prepared entries.
        """
        for batch in construct_loader(self._cfg, self._splits.get(split, split)):
            raw = batch["video"]
            yield {**self._prepare(batch), "raw_video": raw}


def evaluate(
    evaluation: Evaluation, cfg: CfgNode, *, select: Callable[[Any], bool] = lambda protocol: True
) -> dict[str, Result]:
    """Run the protocols of TEST.PROTOCOLS.

    Args:
        evaluation: Gives features and batches.
        cfg: The configuration.
        select: Which protocols to run, a predicate of the registered function.

    Returns:
        Metric name -> result.
    """
    results: dict[str, Result] = {}
    for name in cfg.TEST.PROTOCOLS:
        protocol = PROTOCOL_REGISTRY.get(name)
        if select(protocol):
            results |= protocol(evaluation, cfg)
    return results


def needs_model(protocol: Any) -> bool:
    """Say whether a protocol's result depends on the model."""
    return getattr(protocol, "needs_model", True)


def store_results(output_dir: Path, results: dict[str, Result], column: str) -> dict[str, Any]:
    """Merge results into ``results.json``.

    Args:
        output_dir: OUTPUT_DIR.
        results: Metric name -> result.
        column: "before" or "after" training, or "value" for what training does not change.

    Returns:
        The whole file: ``format``, and per metric ``before`` and ``after``, or ``value``, and
        ``chance``.
    """
    path = output_dir / "results.json"
    content = read_json(path)
    content["format"] = RESULTS_FORMAT
    for name, result in results.items():
        entry = content.setdefault(name, {})
        entry[column] = round(result.value, 6)
        entry["chance"] = None if result.chance is None else round(result.chance, 6)
    write_json(path, content)
    return content


def format_table(content: dict[str, Any]) -> str:
    """Format ``results.json`` as a table for people.

    Args:
        content: The file's content.

    Returns:
        One line per metric: before, after, chance, in percent. What training does not change
        stands under "after".
    """
    rows = [["metric", "before", "after", "chance"]]
    for name, entry in content.items():
        if isinstance(entry, dict) and "chance" in entry:
            after = entry.get("after", entry.get("value"))
            cells = (entry.get("before"), after, entry["chance"])
            rows.append([name, *("-" if c is None else f"{100 * c:.1f} %" for c in cells)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
