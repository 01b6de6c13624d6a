"""``results.json``: what was measured, on what, of which weights; described in docs/results.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.config.machine_keys import is_machine_key, is_path_key
from slowfast.config.renamed import translate_results
from slowfast.engine.protocols import Result
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.io import read_json, write_json
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
"""Stands for the hash of weights that come from no checkpoint."""

_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A protocol's result and what it was obtained on.

    Attributes:
        result: From the protocol.
        protocol: Its name in PROTOCOL_REGISTRY.
        uses_model: Whether the result depends on the model.
        split: Split of the dataset.
        manifest: Hash of the files and labels looked at; None where the dataset knows none.
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
        """The number itself."""
        return self.result.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """The protocol's 95 % interval, else that of a share of counted trials, if they are."""
        if self.result.interval is None and self.result.count is not None:
            return wilson_interval(self.value, self.result.count)
        return self.result.interval


class Identity(NamedTuple):
    """What is the same for all results of one evaluation; see docs/results.md."""

    dataset: str
    fold: int
    checkpoint: str
    config: str
    seed: int


def identify(cfg: CfgNode, model: nn.Module, *, is_random: bool) -> Identity:
    """Say what is evaluated.

    Args:
        cfg: The configuration.
        model: The model as it is evaluated, wrapped or not.
        is_random: Whether its weights come from no checkpoint.

    Returns:
        What goes into every record.
    """
    checkpoint = RANDOM if is_random else hash_weights(unwrap_model(model))
    return Identity(
        cfg.TEST.DATASET, cfg.DATA.FOLD, checkpoint, hash_config(cfg), int(cfg.RNG_SEED)
    )


def hash_weights(model: nn.Module) -> str:
    """Name a model's weights by their content.

    Args:
        model: The model, not wrapped.

    Returns:
        16 hexadecimal digits: names, types, shapes and bytes of parameters and buffers; the same on
        every device and for every kind of file that they were loaded from.
    """
    return hash_state(model.state_dict())


def hash_state(state: Mapping[str, Tensor]) -> str:
    """Name weights by their content, as ``hash_weights`` names those of a model.

    Args:
        state: Key -> tensor, of the types that the model has.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        values = value.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_config(cfg: CfgNode) -> str:
    """Name a configuration by its content.

    Args:
        cfg: The configuration.

    Returns:
        16 hexadecimal digits. Keys that say where and on what machine a run happens (folders,
        files, processes, loading, logging) do not count.
    """
    kept = {
        key: value
        for key, value in _leaves(cfg)
        if not is_machine_key(key) and not is_path_key(key)
    }
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def store_results(
    output_dir: Path, results: dict[str, Measurement], column: str, identity: Identity
) -> dict[str, Any]:
    """Merge results into ``results.json``.

    Args:
        output_dir: OUTPUT_DIR.
        results: Metric name -> measurement.
        column: "before" or "after" training, or "value" for what training does not change.
        identity: What was evaluated.

    Returns:
        The whole file.
    """
    path = output_dir / "results.json"
    content = translate_results(read_json(path))
    records = content.pop("records", [])
    content["format"] = RESULTS_FORMAT
    for metric, measured in results.items():
        entry = content.setdefault(metric, {})
        entry[column], entry["chance"] = _round(measured.value), _round(measured.result.chance)
        record = _record(metric, measured, column, identity)
        records = [old for old in records if _place(old) != _place(record)] + [record]
    content["records"] = records  # last, however often the file is written
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
    """Format ``results.json`` as a table for people.

    Args:
        content: The file's content.

    Returns:
        One line per metric: before, after, chance, in percent, with 95 % intervals in brackets
        where they are known. What training does not change stands under "after".
    """
    intervals = {
        (record["metric"], record["column"]): record["interval"]
        for record in content.get("records", [])
    }
    rows = [["metric", "before", "after", "chance"]]
    for name, entry in content.items():
        if isinstance(entry, dict) and "chance" in entry:
            last = "after" if "after" in entry else "value"
            cells = [_cell(entry.get(c), intervals.get((name, c))) for c in ("before", last)]
            rows.append([name, *cells, _cell(entry["chance"])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cell(value: float | None, interval: list[float] | None = None) -> str:
    if value is None:
        return "-"
    if interval is None:
        return f"{100 * value:.1f} %"
    low, high = interval
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
