"""Configuration checks of TRAIN, TEST and PROBE."""

from __future__ import annotations

import math
import re
from typing import Any

from slowfast.config import CfgNode, Problem, register_check
from slowfast.config.projects import find_missing
from slowfast.config.values import is_positive
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.protocols.linear_svm import INSTALL_HINT, has_scikit_learn
from slowfast.utils.registry import nearest

__all__ = ["check_probe", "check_run"]

_SHORTEST_TIMEOUT_SEC = 5.0
_TASK = re.compile(r"[^/\\\x00-\x1f\x7f]{0,100}")
_FEATURES = ("video", "audio")
_NEED_AUDIO = ("cross_modal_retrieval", "av_sync")


@register_check
def check_run(cfg: CfgNode) -> list[Problem]:
    """Find unknown protocols and invalid run settings."""
    problems = [
        problem
        for name in cfg.TEST.PROTOCOLS
        if (problem := find_missing("TEST.PROTOCOLS", PROTOCOL_REGISTRY, name, cfg.PROJECTS))
    ]
    if not _TASK.fullmatch(cfg.TASK) or ".." in cfg.TASK:
        message = (
            f"got {cfg.TASK[:200]!r}; it is a prefix of file names: expected at most 100 letters, "
            "digits and characters such as - _ . = without a folder."
        )
        problems.append(Problem("TASK", message))
    for key in ("PERIOD_ITERS", "PERIOD_MIN", "KEEP_LAST", "KEEP_EVERY"):
        if (got := cfg.TRAIN[f"CHECKPOINT_{key}"]) < 0:
            message = f"got {got}; expected 0 (off) or more."
            problems.append(Problem(f"TRAIN.CHECKPOINT_{key}", message))
    dtypes = ("auto", "bf16", "fp16")
    if cfg.TRAIN.MIXED_PRECISION_DTYPE not in dtypes:
        got = cfg.TRAIN.MIXED_PRECISION_DTYPE
        problems.append(
            Problem("TRAIN.MIXED_PRECISION_DTYPE", f"got {got!r}. {nearest(got, dtypes)}")
        )
    if (cfg.TRAIN.MIXED_PRECISION, cfg.TRAIN.MIXED_PRECISION_DTYPE) == ("auto", "fp16"):
        message = "got 'fp16', but TRAIN.MIXED_PRECISION 'auto' takes bfloat16; set it to True."
        problems.append(Problem("TRAIN.MIXED_PRECISION_DTYPE", message))
    if cfg.TEST.ENABLE and cfg.TEST.BEST_CHECKPOINT and cfg.TEST.CHECKPOINT_FILE_PATH:
        got = cfg.TEST.CHECKPOINT_FILE_PATH
        message = f"got True with TEST.CHECKPOINT_FILE_PATH {got!r}; use one of the two."
        problems.append(Problem("TEST.BEST_CHECKPOINT", message))
    if cfg.TEST.BEST_METRIC and not cfg.TEST.BEST_CHECKPOINT:
        message = f"got {cfg.TEST.BEST_METRIC!r}, which needs TEST.BEST_CHECKPOINT True."
        problems.append(Problem("TEST.BEST_METRIC", message))
    if not 0 <= cfg.SHARD_ID < cfg.NUM_SHARDS:
        problems.append(
            Problem("SHARD_ID", f"got {cfg.SHARD_ID}, expected 0 to {cfg.NUM_SHARDS - 1}.")
        )
    if cfg.DIST.TIMEOUT_SEC < _SHORTEST_TIMEOUT_SEC:
        message = (
            f"got {cfg.DIST.TIMEOUT_SEC:g}; expected at least {_SHORTEST_TIMEOUT_SEC:g} seconds."
        )
        problems.append(Problem("DIST.TIMEOUT_SEC", message))
    return problems


@register_check
def check_probe(cfg: CfgNode) -> list[Problem]:
    """Find invalid settings of the protocols in TEST.PROTOCOLS."""
    probe = cfg.PROBE
    problems = [
        *(Problem(key, message) for key, message in _wrong_numbers(probe)),
        *_missing_requirements(cfg),
    ]
    if probe.FEATURE not in _FEATURES:
        problems.append(
            Problem("PROBE.FEATURE", f"got {probe.FEATURE!r}. {nearest(probe.FEATURE, _FEATURES)}")
        )
    return problems


def _missing_requirements(cfg: CfgNode) -> list[Problem]:
    """Find protocols whose data or library is missing."""
    protocols, problems = cfg.TEST.PROTOCOLS, []
    if not cfg.AUDIO.ENABLE:
        problems += [
            Problem("TEST.PROTOCOLS", f"{name} needs AUDIO.ENABLE True.")
            for name in _NEED_AUDIO
            if name in protocols
        ]
        if cfg.PROBE.FEATURE == "audio":
            problems.append(Problem("PROBE.FEATURE", "'audio' needs AUDIO.ENABLE True."))
    if "av_sync" in protocols and cfg.AUDIO.EVAL_OFFSET_SEC:
        problems.append(
            Problem(
                "AUDIO.EVAL_OFFSET_SEC",
                f"got {cfg.AUDIO.EVAL_OFFSET_SEC:g}, but the protocol av_sync shifts the audio "
                "itself, by PROBE.SYNC_OFFSET_SEC; expected 0.",
            )
        )
    if cfg.DATA.MULTI_LABEL:
        problems += [
            Problem(
                "TEST.PROTOCOLS",
                f"'{name}' needs one label per video, but DATA.MULTI_LABEL is True; use "
                "classification, cross_modal_retrieval or av_sync.",
            )
            for name in protocols
            if name in PROTOCOL_REGISTRY and PROTOCOL_REGISTRY.capability(name, "one_label")
        ]
    if "linear_svm" in protocols and not has_scikit_learn():
        problems.append(Problem("TEST.PROTOCOLS", INSTALL_HINT))
    return problems


def _wrong_numbers(probe: CfgNode) -> list[tuple[str, str]]:
    """Find lists and numbers of PROBE that are out of range, as (key, message)."""
    found = []
    for key in ("RANKS", "FEW_SHOT_K"):
        if not _all(probe[key], lambda k: isinstance(k, int) and k >= 1):
            found.append((key, "expected a list of integers >= 1"))
    for key in ("WEIGHT_DECAY_GRID", "SVM_COSTS"):
        if not _all(probe[key], is_positive):
            found.append((key, "expected a list of numbers > 0"))
    for key, least in (("KNN_K", 1), ("VALIDATION_FOLDS", 2), ("FEW_SHOT_EPISODES", 2)):
        if probe[key] < least:
            found.append((key, f"expected at least {least}"))
    if not is_positive(probe.KNN_TEMPERATURE):
        found.append(("KNN_TEMPERATURE", "expected a number > 0"))
    if not probe.SYNC_OFFSET_SEC or not math.isfinite(probe.SYNC_OFFSET_SEC):
        found.append(("SYNC_OFFSET_SEC", "expected a number other than 0, in seconds"))
    return [(f"PROBE.{key}", f"got {probe[key]!r}; {message}.") for key, message in found]


def _all(values: Any, is_right: Any) -> bool:
    return bool(values) and all(map(is_right, values))
