"""What the runs of a sweep read: data folders and checkpoints, looked for before the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config.load import is_demo
from slowfast.config.problems import Problem
from slowfast.engine.sweep.expand import SweepRun

__all__ = ["find_missing_inputs", "is_on_demo"]

_DATA = "DATA.PATH_TO_DATA_DIR"
_INPUTS = {
    _DATA: "no such folder: {}.",
    "TRAIN.CHECKPOINT_FILE_PATH": "checkpoint not found: {}.",
    "TEST.CHECKPOINT_FILE_PATH": "checkpoint not found: {}.",
}
"""Keys of what a run reads -> the message if it does not exist."""


def find_missing_inputs(
    runs: Sequence[SweepRun], configs: Mapping[str, Mapping[str, Any]], output_dir: Path
) -> dict[Problem, list[str]]:
    """Find data folders and checkpoints of runs on this machine that do not exist.

    Args:
        runs: Those that are not finished.
        configs: Name of a run of the sweep -> its complete configuration, dotted.
        output_dir: Of the sweep; what its runs write need not exist yet.

    Returns:
        Problem -> names of the runs that have it.
    """
    problems: dict[Problem, list[str]] = {}
    made = output_dir.absolute()
    some_on_demo = any(is_on_demo(config) for config in configs.values())
    for run in runs:
        config = configs[run.name]
        for key, message in _INPUTS.items():
            text = str(config.get(key, ""))
            if key == _DATA and not _reads_folder(config):
                continue
            if not text and key == _DATA and some_on_demo and not is_on_demo(config):
                message = "is empty; expected a folder. Other runs here would use the demo set."
            elif not _is_missing(text, config.get(f"{key.partition('.')[0]}.ENABLE", True), made):
                continue
            problems.setdefault(Problem(key, message.format(text)), []).append(run.name)
    return problems


def _is_missing(text: str, is_read: bool, made: Path) -> bool:
    if not is_read or text in ("", "random") or "://" in text or "{" in text:
        return False
    path = Path(text).expanduser()
    return not path.exists() and not path.absolute().is_relative_to(made)


def is_on_demo(config: Mapping[str, Any]) -> bool:
    """Return whether a run uses the built-in demo set because no data is given."""
    names = ("PATH_TO_DATA_DIR", "DEMO_CFG")
    return is_demo({name: config.get(f"DATA.{name}", "") for name in names})


def _reads_folder(config: Mapping[str, Any]) -> bool:
    """Return whether the data are of the catalog; another dataset may read anything."""
    from slowfast.datasets.build import DATASET_REGISTRY
    from slowfast.datasets.catalog.dataset import CatalogDataset

    name = config.get("TRAIN.DATASET" if config.get("TRAIN.ENABLE") else "TEST.DATASET", "demo")
    return name != "demo" and isinstance(DATASET_REGISTRY.get(name), CatalogDataset)
