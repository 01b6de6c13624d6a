"""DATA.SAMPLING ``auto``: the sampling of the run that the weights come from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slowfast.config import CfgNode
from slowfast.engine.start import find_pretrained
from slowfast.models.weights import RANDOM_WEIGHTS, read_checkpoint
from slowfast.utils.checkpoint import find_last_checkpoint

__all__ = ["with_sampling_of_weights"]

logger = logging.getLogger(__name__)

_AUTO, _PYSLOWFAST = "auto", "pyslowfast"


def with_sampling_of_weights(cfg: CfgNode, section: str) -> CfgNode:
    """Replace DATA.SAMPLING ``auto`` by the sampling that the weights were trained with.

    The result is saved in the checkpoints of a run, so that a run that resumes, and a test of it,
    sample as before. Every rank must call this.

    Args:
        cfg: The configuration.
        section: "TRAIN" or "TEST": the weights that training, or testing, starts from.

    Returns:
        The configuration; unchanged with another value, without weights, and with weights of
        another framework or of image networks.

    Raises:
        UserError: If the weights cannot be found, downloaded or read.
    """
    if cfg.DATA.SAMPLING != _AUTO:
        return cfg
    path, key = _find_weights(cfg, section)
    name = _recorded(read_checkpoint(path, key=key)) if path else _AUTO
    if name == _AUTO:
        return cfg
    logger.info("DATA.SAMPLING auto: %s, as for the weights of %s", name, path)
    changed = cfg.clone()
    changed.defrost()
    changed.DATA.SAMPLING = name
    changed.freeze()
    return changed


def _find_weights(cfg: CfgNode, section: str) -> tuple[str, str]:
    """Return the path of the weights, or "", and its config key."""
    named = cfg.TEST.CHECKPOINT_FILE_PATH if section == "TEST" else ""
    if named:
        return "" if named == RANDOM_WEIGHTS else named, "TEST.CHECKPOINT_FILE_PATH"
    last = find_last_checkpoint(Path(cfg.OUTPUT_DIR), cfg.TASK)
    if last is not None and (section == "TEST" or cfg.TRAIN.AUTO_RESUME):
        return str(last), "OUTPUT_DIR"
    is_image = cfg.TRAIN.CHECKPOINT_INFLATE
    return "" if is_image else find_pretrained(cfg), "TRAIN.CHECKPOINT_FILE_PATH"


def _recorded(content: Mapping[str, Any]) -> str:
    """Return the value that a checkpoint was trained with."""
    text = str(content.get("cfg", ""))
    if "\nPROJECTS:" in f"\n{text}":  # of this framework; others may have YAML tags of Python
        tree = yaml.safe_load(text)
        return str(tree.get("DATA", {}).get("SAMPLING", _AUTO))
    return _PYSLOWFAST if "blobs" in content or "model_state" in content else _AUTO
