"""Old names of keys, values and metrics.

They still load, with a warning in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fvcore.common.config import CfgNode

__all__ = ["METRICS", "RENAMED", "Renamed", "translate", "translate_results", "translate_sweep"]

RENAMED = {
    "AUDIO.LOGFBANK_PARITY": "AUDIO.PSF_COMPAT",
    "AUDIO.SHIFT_SEC": "AUDIO.EVAL_OFFSET_SEC",
    "DATA.BAD_FILE_POLICY": "DATA.ON_DECODE_ERROR",
    "DATA_LOADER.KEEP_DECODED": "DATA_LOADER.CACHE_DECODED",
    "DEMO_SET.NUISANCE": "DEMO_SET.VARIATION",
    "DEMO_SET.SHARED_INSTANCE": "DEMO_SET.INSTANCE_CUE",
    "PROBE.ALIGNMENT_SHIFT_SEC": "PROBE.SYNC_OFFSET_SEC",
    "PROBE.DECAYS": "PROBE.WEIGHT_DECAY_GRID",
    "PROBE.FEW_SHOT_DRAWS": "PROBE.FEW_SHOT_EPISODES",
}
"""By the old name."""

METRICS = {"alignment": "av_sync", "baseline_mean_colour": "baseline_mean_color"}
"""Protocols and metrics, by the old name."""

_PYTORCHVIDEO = {"ptvkinetics": "kinetics", "ptvssv2": "ssv2", "ptvcharades": "charades"}
"""PySlowFast's names for the datasets when pytorchvideo loads them."""

_VALUES = {
    "MODEL.ARCH": {"2d": "c2d_nopool"},
    "DATA.ON_DECODE_ERROR": {"replace": "resample", "error": "raise"},
    "DEMO_SET.VARIATION": {"colour": "color"},
    "TEST.DATASET": _PYTORCHVIDEO,
    "TEST.PROTOCOLS": METRICS,
    "TRAIN.DATASET": _PYTORCHVIDEO,
}
"""Values, or elements of a list, by key and old name in lower case."""

_SWEEP_KEYS = {"cell": "variant"}

_REMOVED = frozenset(("DATA.DEMO_ACTIVE",))
"""Removed keys without effect: they are dropped."""


class Renamed(NamedTuple):
    """A key, or the value of a key, that was given by its old name."""

    old: str
    new: str


def translate(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Renamed]]:
    """Replace old names of keys and values by the current ones.

    Args:
        values: Values by dotted key. If both names of a key are present, the new one is used.

    Returns:
        The same values, in order, without removed keys, and the list of renamed ones.
    """
    translated: dict[str, Any] = {}
    found: list[Renamed] = []
    for key, value in values.items():
        if key in _REMOVED:
            continue
        new = RENAMED.get(key, key)
        renamed_values = _renamed_values(new, value)
        if new != key:
            found.append(Renamed(key, new))
            if new in values:
                continue
        else:
            found += [Renamed(f"{key} {old}", name) for old, name in renamed_values.items()]
        translated[new] = _replace(value, renamed_values) if renamed_values else value
    return translated, found


def translate_results(content: Mapping[str, Any]) -> dict[str, Any]:
    """Replace old names of metrics and protocols in a ``results.json``.

    Args:
        content: Content of a file of this version or an earlier one.

    Returns:
        The same content, in order.
    """
    translated = {METRICS.get(name, name): entry for name, entry in content.items()}
    if "records" in translated:
        translated["records"] = [
            {k: METRICS.get(v, v) if k in ("metric", "protocol") else v for k, v in record.items()}
            for record in translated["records"]
        ]
    return translated


def translate_sweep(content: Mapping[str, Any]) -> dict[str, Any]:
    """Replace old keys in a ``sweep.json``.

    Args:
        content: Content of a file of this version or an earlier one.

    Returns:
        The same content, in order.
    """
    return {
        part: [{_SWEEP_KEYS.get(key, key): v for key, v in entry.items()} for entry in entries]
        if part in ("runs", "results")
        else entries
        for part, entries in content.items()
    }


def _renamed_values(key: str, value: Any) -> dict[str, str]:
    """Find old names in a value or a list of values: old name -> new."""
    names = _VALUES.get(key, {})
    decoded = CfgNode._decode_cfg_value(value) if names else None
    given = decoded if isinstance(decoded, list | tuple) else [decoded]
    return {
        old: names[old.lower()] for old in given if isinstance(old, str) and old.lower() in names
    }


def _replace(value: Any, names: Mapping[str, str]) -> Any:
    decoded = CfgNode._decode_cfg_value(value)
    if isinstance(decoded, list | tuple):
        return [names.get(old, old) if isinstance(old, str) else old for old in decoded]
    return names.get(decoded, decoded)
