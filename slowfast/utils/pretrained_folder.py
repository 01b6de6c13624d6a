"""A folder of weights in Hugging Face's layout: ``config.json`` and ``model.safetensors``.

``config.json`` holds ``library_name``, ``library_version``, ``architectures``, ``class_names``,
``epoch`` (0-based number of the last completed epoch) and ``cfg``, the complete configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from slowfast.config.problems import UserError
from slowfast.utils.io import write_json
from slowfast.utils.safetensors_file import read_safetensors, write_safetensors

__all__ = [
    "CONFIG_NAME",
    "LIBRARY_NAME",
    "WEIGHTS_NAME",
    "is_pretrained_folder",
    "read_pretrained",
    "write_pretrained",
]

LIBRARY_NAME = "slowfast-stica"
CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"


def is_pretrained_folder(folder: Path) -> bool:
    """Return whether a folder holds weights of this framework in Hugging Face's layout."""
    return _read_config(folder).get("library_name") == LIBRARY_NAME


def _read_config(folder: Path) -> dict[str, Any]:
    """Read config.json; empty if there is none, or none that is readable."""
    path = folder / CONFIG_NAME
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def read_pretrained(folder: Path) -> dict[str, Any]:
    """Read a folder; nothing in it is code.

    Args:
        folder: For which ``is_pretrained_folder`` is true.

    Returns:
        The content as of a checkpoint: ``model_state``, ``cfg`` (YAML), ``class_names``, ``epoch``.

    Raises:
        UserError: If a file is missing or damaged.
    """
    config = _read_config(folder)
    names, tree = config.get("class_names", []), config.get("cfg")
    if not isinstance(tree, dict) or not isinstance(names, list):
        raise UserError(
            f"{folder / CONFIG_NAME}: expected 'cfg', an object with the configuration, and "
            "'class_names', a list. Export it again with slowfast export --format hf."
        )
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise UserError(f"{folder} has {CONFIG_NAME}, but no {WEIGHTS_NAME}. Download it again.")
    return {
        "model_state": read_safetensors(weights),
        "cfg": yaml.safe_dump(tree),
        "class_names": [str(name) for name in names],
        "epoch": config.get("epoch", -1),
    }


def write_pretrained(
    folder: Path,
    state: Mapping[str, Tensor],
    cfg: str,
    *,
    version: str,
    class_names: Sequence[str] = (),
    epoch: int = -1,
) -> None:
    """Write both files, each atomically.

    Args:
        folder: Created if it does not exist.
        state: The state dict of the model.
        cfg: The complete configuration, YAML without paths of the machine.
        version: Version of this library.
        class_names: Names of the classes of a classifier.
        epoch: 0-based number of the last completed epoch; -1: not known.
    """
    tree = yaml.safe_load(cfg)
    write_safetensors(folder / WEIGHTS_NAME, state)
    content = {
        "library_name": LIBRARY_NAME,
        "library_version": version,
        "architectures": [tree["MODEL"]["MODEL_NAME"]],
        "class_names": list(class_names),
        "epoch": epoch,
        "cfg": tree,
    }
    write_json(folder / CONFIG_NAME, content)
