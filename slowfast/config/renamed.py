"""Keys that had another name in an earlier version: they still load, with a line in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["RENAMED", "Renamed", "translate"]

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

_VALUES = {"DATA.ON_DECODE_ERROR": {"replace": "resample", "error": "raise"}}
"""Values that have another name, too, by key and old name."""


class Renamed(NamedTuple):
    """A key that was given by its old name."""

    old: str
    new: str


def translate(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Renamed]]:
    """Give keys and values their names of today.

    Args:
        values: By dotted key. Where a key is there by both of its names, the new one counts.

    Returns:
        The same values, in order, and what was renamed.
    """
    translated: dict[str, Any] = {}
    found: list[Renamed] = []
    for key, value in values.items():
        new = RENAMED.get(key, key)
        if new != key:
            found.append(Renamed(key, new))
            if new in values:
                continue
            value = _VALUES.get(new, {}).get(value, value) if isinstance(value, str) else value
        translated[new] = value
    return translated, found
