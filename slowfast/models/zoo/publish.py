"""Converts a training checkpoint to a small file for publication: weights only, in float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from slowfast.config import UserError
from slowfast.config.machine_keys import is_path_key
from slowfast.config.paths import PACKAGE_SCHEME
from slowfast.utils.hub import HUB_SCHEME
from slowfast.utils.io import atomic_path

__all__ = ["HalfStateDict", "portable_config", "to_float", "to_half", "write_weights"]

_MEGABYTE = 1_000_000
_URLS = ("zoo://", "http://", "https://", HUB_SCHEME, PACKAGE_SCHEME)


class HalfStateDict(NamedTuple):
    """Weights in float16.

    Attributes:
        state: Key -> tensor; other dtypes than float32 are unchanged.
        kept: Keys that stay float32, as their values are beyond float16.
    """

    state: dict[str, Tensor]
    kept: list[str]


def to_half(state: Mapping[str, Tensor]) -> HalfStateDict:
    """Cast float32 tensors to float16, rounding to the nearest.

    Raises:
        UserError: If a value is not finite.
    """
    small: dict[str, Tensor] = {}
    kept = []
    for key, value in state.items():
        value = value.detach().cpu()
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{key} has values that are not finite: such weights are unusable.")
        if value.dtype == torch.float32:
            half = value.half()
            if half.isfinite().all():
                value = half
            else:
                kept.append(key)
        small[key] = value.clone(memory_format=torch.contiguous_format)
    return HalfStateDict(small, kept)


def to_float(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cast float16 tensors to float32, as when they are loaded into a model."""
    return {
        key: value.float() if value.dtype == torch.float16 else value
        for key, value in state.items()
    }


def write_weights(path: Path, content: Mapping[str, Any], max_mb: float) -> None:
    """Write a file of weights atomically, unless the published weights become too large.

    The bytes depend on the content only, not on the file name or the time.

    Args:
        path: ``ROOT/NAME/NAME.pyth``.
        content: Tensors, plain numbers, strings and containers of them.
        max_mb: Largest total size of all files ``ROOT/*/*.pyth``, in 10^6 bytes.

    Raises:
        UserError: If they would be larger; existing files are unchanged.
    """
    others = [file for file in path.parent.parent.glob("*/*.pyth") if file != path]
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            torch.save(dict(content), file)  # given a path, torch writes its name into the file
        own, rest = temporary.stat().st_size, sum(other.stat().st_size for other in others)
        if own + rest > max_mb * _MEGABYTE:
            raise UserError(
                f"--max-mb: {path.name} has {own / _MEGABYTE:.2f} MB and the others in "
                f"{path.parent.parent} {rest / _MEGABYTE:.2f} MB, together more than {max_mb:g}. "
                "Train a narrower model (RESNET.WIDTH_PER_GROUP), or raise the limit."
            )


def portable_config(text: str, name: str) -> str:
    """Remove machine-specific values from the complete configuration of a run.

    Args:
        text: YAML from a checkpoint.
        name: Name of the weights.

    Returns:
        YAML without paths, with OUTPUT_DIR ``output/NAME`` and without the demo overlay, which is
        already merged.

    Raises:
        UserError: If it is not a configuration.
    """
    tree = yaml.safe_load(text)
    if not isinstance(tree, dict):
        raise UserError("the checkpoint has no configuration (cfg): it is of another framework.")
    tree = _blank(tree, "")
    tree["OUTPUT_DIR"] = f"output/{name}"
    if "DEMO_CFG" in tree.get("DATA", {}):
        tree["DATA"]["DEMO_CFG"] = ""
    return yaml.safe_dump(tree)


def _blank(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        prefix = f"{key}." if key else ""
        return {name: _blank(value, f"{prefix}{name}") for name, value in node.items()}
    if isinstance(node, list):
        return [_blank(value, key) for value in node]
    if not isinstance(node, str) or node.startswith(_URLS):
        return node
    is_absolute = PurePosixPath(node).is_absolute() or PureWindowsPath(node).is_absolute()
    return "" if is_path_key(key) or is_absolute or node.startswith("~") else node
