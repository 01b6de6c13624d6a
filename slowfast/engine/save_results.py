"""``TEST.SAVE_RESULTS_PATH``: scores and labels of the tested videos in one file.

Legend: N videos, M classes.
"""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from slowfast.config import CfgNode, Problem, register_check
from slowfast.engine.predictions import Predictions
from slowfast.utils.io import atomic_path, write_csv
from slowfast.utils.registry import nearest

__all__ = ["check_save_results", "save_results"]

logger = logging.getLogger(__name__)

_KEY = "TEST.SAVE_RESULTS_PATH"


def save_results(predictions: Predictions, file: Path) -> None:
    """Write scores and labels.

    Args:
        predictions: The predictions.
        file: The file; its suffix is the format. ``.npz``: ``scores`` float32 (N, M),
            ``predictions`` int64 (N,) (the best class), ``labels`` (N,) or multi-hot (N, M), -1
            where unknown, ``paths`` and ``class_names``. ``.csv``: path, label, best class and the
            score of each class. ``.pkl`` and ``.pickle``: the list ``[predictions, labels]`` of
            PySlowFast, tensors of (N, M) and (N,) or (N, M); as there, predictions are sums over
            views with DATA.ENSEMBLE_METHOD "sum".
    """
    _WRITERS[file.suffix.lower()](predictions, file)
    logger.info("scores and labels of %d videos: %s", len(predictions.paths), file)


def _write_npz(predictions: Predictions, file: Path) -> None:
    arrays: dict[str, Any] = {
        "scores": predictions.scores.numpy(),
        "predictions": predictions.scores.argmax(dim=1).numpy(),
        "labels": predictions.table.label.numpy(),
        "paths": np.array(predictions.paths, dtype=str),
        "class_names": np.array(predictions.class_names, dtype=str),
    }
    with atomic_path(file) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, **arrays)


def _write_csv(predictions: Predictions, file: Path) -> None:
    best = predictions.scores.argmax(dim=1).tolist()
    rows = (
        [path, predictions.label_text(row), best[row], *predictions.scores[row].tolist()]
        for row, path in enumerate(predictions.paths)
    )
    write_csv(file, ["path", "label", "prediction", *predictions.class_names], rows)


def _write_pickle(predictions: Predictions, file: Path) -> None:
    scores: Tensor = predictions.scores
    if predictions.ensemble == "sum":
        scores = scores * predictions.table.num_views[:, None]
    with atomic_path(file) as temporary, temporary.open("wb") as opened:
        pickle.dump([scores, predictions.table.label], opened)


_WRITERS = {
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".pkl": _write_pickle,
    ".pickle": _write_pickle,
}


@register_check
def check_save_results(cfg: CfgNode) -> list[Problem]:
    """Find a TEST.SAVE_RESULTS_PATH that cannot be written.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    name = cfg.TEST.SAVE_RESULTS_PATH
    if not name or not cfg.TEST.ENABLE:
        return []
    file = Path(cfg.OUTPUT_DIR, name)  # an absolute path stays
    suffix = file.suffix.lower()
    if suffix not in _WRITERS:
        hint = nearest(suffix, _WRITERS)
        message = f"got {name!r}, whose suffix {suffix!r} is no known format. {hint}"
        return [Problem(_KEY, message)]
    if file.is_dir() or name.endswith(os.sep):
        return [Problem(_KEY, f"got {name!r}, which is a folder; expected the name of a file.")]
    above = next((parent for parent in file.parents if parent.exists()), file.parent)
    if not above.is_dir():
        return [Problem(_KEY, f"got {name!r}, but {above} is a file; expected a folder.")]
    if "classification" not in cfg.TEST.PROTOCOLS:
        message = (
            f"got {name!r}, but TEST.PROTOCOLS {list(cfg.TEST.PROTOCOLS)} does not have "
            "'classification', which makes the predictions."
        )
        return [Problem(_KEY, message)]
    return []
