"""Configuration checks of REPORT and of the plots in TensorBoard."""

from __future__ import annotations

import importlib.util

from slowfast.config import CfgNode, Problem, register_check, register_note
from slowfast.config.values import flatten
from slowfast.engine.insight.projection import METHODS
from slowfast.engine.protocols.linear_svm import has_scikit_learn
from slowfast.utils.registry import nearest

__all__ = ["check_confusion_matrix", "check_report", "note_board"]

_ON = ("TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE",)  # by default, for when MODEL_VIS is on
_LEAST = {"MAX_VIDEOS": 2, "EXAMPLES": 0}


@register_check
def check_report(cfg: CfgNode) -> list[Problem]:
    """Find settings of REPORT that are out of range, or whose library is missing.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per setting.
    """
    problems = [
        Problem(f"REPORT.{key}", f"got {cfg.REPORT[key]}; expected {least} or more.")
        for key, least in _LEAST.items()
        if cfg.REPORT[key] < least
    ]
    name = cfg.REPORT.MAP
    if name not in METHODS:
        problems.append(Problem("REPORT.MAP", f"got {name!r}. {nearest(name, METHODS)}"))
    if name == "tsne" and not has_scikit_learn():
        hint = "pip install 'slowfast-stica[eval]', or use pca"
        problems.append(Problem("REPORT.MAP", f"got 'tsne', which needs scikit-learn: {hint}."))
    return problems


@register_check
def check_confusion_matrix(cfg: CfgNode) -> list[Problem]:
    """Find a plot of the confusion matrix that cannot be made.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem.
    """
    section, key = cfg.TENSORBOARD.CONFUSION_MATRIX, "TENSORBOARD.CONFUSION_MATRIX"
    if not section.ENABLE or not cfg.TENSORBOARD.ENABLE:
        return []
    size = list(section.FIGSIZE)
    if len(size) != 2 or min(size) <= 0:
        return [Problem(f"{key}.FIGSIZE", f"got {size}; expected [width, height] in inches.")]
    if importlib.util.find_spec("matplotlib") is None:
        hint = "pip install 'slowfast-stica[report]', or see confusion_matrix.csv"
        return [Problem(f"{key}.ENABLE", f"got True, but matplotlib is not installed: {hint}.")]
    return []


@register_note
def note_board(cfg: CfgNode) -> list[str]:
    """Name the plots that are not made since TensorBoard is off, as in PySlowFast.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one sentence.
    """
    values = flatten({"TENSORBOARD": cfg.TENSORBOARD})
    keys = [f"{key} True" for key, value in values.items() if value is True and key not in _ON]
    if cfg.TENSORBOARD.ENABLE or not keys:
        return []
    return [f"no effect: {', '.join(keys)} (TENSORBOARD.ENABLE is False)"]
