"""``results.json``: metrics with their data, weights and config; see docs/results.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.config.machine_keys import is_machine_key, is_path_key
from slowfast.config.renamed import translate_results
from slowfast.config.values import flatten
from slowfast.engine.protocols import Result
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.io import read_record, write_json
from slowfast.utils.statistics import wilson_interval

__all__ = [
    "RANDOM",
    "Identity",
    "Measurement",
    "format_table",
    "hash_config",
    "hash_state",
    "hash_weights",
    "identify",
    "store_results",
]

RESULTS_FORMAT = 1
RANDOM = "random"
"""Used instead of a hash for weights that are not from a checkpoint."""

_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A result of a protocol and the data it was obtained on.

    Attributes:
        result: Result of the protocol.
        protocol: Name of the protocol in PROTOCOL_REGISTRY.
        uses_model: Whether the result depends on the model.
        split: Split of the dataset.
        manifest: Hash of the files and labels in use; None if the dataset has none.
        views: Views per video.
    """

    result: Result
    protocol: str
    uses_model: bool
    split: str
    manifest: str | None
    views: int

    @property
    def value(self) -> float:
        """The measured value."""
        return self.result.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """The protocol's 95 % interval, else the Wilson interval if trials are counted."""
        if self.result.interval is None and self.result.count is not None:
            return wilson_interval(self.value, self.result.count)
        return self.result.interval


class Identity(NamedTuple):
    """Fields that all results of one evaluation share; see docs/results.md."""

    dataset: str
    fold: int
    checkpoint: str
    config: str
    seed: int


def identify(cfg: CfgNode, model: nn.Module, *, is_random: bool) -> Identity:
    """Identify what is evaluated.

    Args:
        cfg: The configuration.
        model: The model as it is evaluated, wrapped or not.
        is_random: Whether its weights are not from a checkpoint.

    Returns:
        The fields for every record.
    """
    checkpoint = RANDOM if is_random else hash_weights(unwrap_model(model))
    return Identity(
        cfg.TEST.DATASET, cfg.DATA.FOLD, checkpoint, hash_config(cfg), int(cfg.RNG_SEED)
    )


def hash_weights(model: nn.Module) -> str:
    """Hash the weights of a model.

    Args:
        model: The model, not wrapped.

    Returns:
        16 hexadecimal digits: names, types, shapes and bytes of parameters and buffers; the same on
        every device and for every kind of file that they were loaded from.
    """
    return hash_state(model.state_dict())


def hash_state(state: Mapping[str, Tensor]) -> str:
    """Hash a state dict, with the same result as ``hash_weights``."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        values = value.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_config(cfg: CfgNode) -> str:
    """Hash a configuration.

    Returns:
        16 hexadecimal digits. Keys of the machine and its paths (folders, files, processes,
        loading, logging) are ignored.
    """
    kept = {
        key: value
        for key, value in flatten(cfg).items()
        if not is_machine_key(key) and not is_path_key(key)
    }
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def store_results(
    output_dir: Path,
    results: dict[str, Measurement],
    column: str,
    identity: Identity,
    details: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Merge results into ``results.json``.

    Args:
        output_dir: OUTPUT_DIR.
        results: Metric name -> measurement.
        column: "before" or "after" training, or "value" for results that do not depend on training.
        identity: What was evaluated.
        details: Protocol -> what it found beyond its metrics; None: none.

    Returns:
        The content of the file.
    """
    path = output_dir / "results.json"
    content = translate_results(read_record(path))
    records = content.pop("records", [])
    content["format"] = RESULTS_FORMAT
    for metric, measured in results.items():
        entry = content.setdefault(metric, {})
        entry[column], entry["chance"] = _round(measured.value), _round(measured.result.chance)
        record = _record(metric, measured, column, identity)
        records = [old for old in records if _place(old) != _place(record)] + [record]
    if details:
        content["details"] = {**content.get("details", {}), **details}
    content["records"] = records  # always last in the file
    write_json(path, content)
    return content


def _record(metric: str, measured: Measurement, column: str, identity: Identity) -> dict[str, Any]:
    interval = measured.interval
    return {
        "protocol": measured.protocol,
        "metric": metric,
        "column": column,
        "value": _round(measured.value),
        "chance": _round(measured.result.chance),
        "interval": None if interval is None else [_round(end) for end in interval],
        "count": measured.result.count,
        "dataset": identity.dataset,
        "split": measured.split,
        "fold": identity.fold,
        "manifest": measured.manifest,
        "checkpoint": identity.checkpoint if measured.uses_model else None,
        "config": identity.config,
        "seed": identity.seed,
        "views": measured.views,
    }


def _place(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["protocol"], record["metric"], record["column"]


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def format_table(content: dict[str, Any]) -> str:
    """Format ``results.json`` as a text table.

    Returns:
        One line per metric: before, after, chance, in percent, with 95 % intervals in brackets
        if known. Results that do not depend on training are under "after".
    """
    intervals = {
        (record["metric"], record["column"]): record["interval"]
        for record in content.get("records", [])
    }
    rows = [["metric", "before", "after", "chance"]]
    for name, entry in content.items():
        if isinstance(entry, dict) and "chance" in entry:
            last = "after" if "after" in entry else "value"
            fields = [_field(entry.get(c), intervals.get((name, c))) for c in ("before", last)]
            rows.append([name, *fields, _field(entry["chance"])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (field.rjust(width) for field, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _field(value: float | None, interval: list[float] | None = None) -> str:
    if value is None:
        return "-"
    if interval is None:
        return f"{100 * value:.1f} %"
    low, high = interval
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
