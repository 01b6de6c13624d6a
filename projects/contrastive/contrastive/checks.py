"""Checks of the sections of the methods."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fvcore.common.config import CfgNode

from contrastive.config import LOSSES, METHODS, RELEASED
from slowfast.config.checks import register_check, register_note
from slowfast.config.problems import Problem

__all__ = ["check_config", "check_contrastive", "note_unused"]

_NEED_AUDIO = ("AVID", "GDT", "MMV")
_MOMENTA = "one for video and one for audio"
_POSITIVE = {"TEMPERATURE", "T", "EPSILON", "SWAV_EPSILON"}
_LEAST = {
    "DIM": 1,
    "HEAD_LAYERS": 1,
    "HEAD_DIM": 0,
    "QUEUE_LEN": 0,
    "NUM_NEGATIVES": 0,
    "NUM_PROTOTYPES": 2,
    "ITERATIONS": 1,
    "NUM_SMALL": 1,
    "SMALL_SIZE": 1,
    "TEXT_WEIGHT": 0,
    "NUM_TEXTS": 1,
    "VOCABULARY": 2,
    "TEXT_DIM": 1,
    "COARSE_DIM": 1,
    "CROSS_WEIGHT": 0,
    "WITHIN_WEIGHT": 0,
    "QUEUE_START_EPOCH": 0,
    "FREEZE_EPOCHS": 0,
    "NUM_MLP_LAYERS": 1,
    "MLP_DIM": 1,
    "SWAV_QEUE_LEN": 0,
    "SWAV_PROTOTYPES": 2,
    "SWAV_ITERATIONS": 1,
    "SWAV_QUEUE_EPOCH": 0,
    "SWAV_FREEZE_EPOCHS": 0,
    "MOCO_WARMUP_ITERS": -1,
}
_ONE_OR_MORE = {
    "MoCo": ("QUEUE_LEN",),
    "AVID": ("NUM_NEGATIVES",),
    "ContrastiveModel": ("QUEUE_LEN",),
}
_UNUSED = {
    "LENGTH": (239975, "the bank has a row for each training video"),
    "NUM_CLASSES_DOWNSTREAM": (400, "TEST.PROTOCOLS knn reads the labels"),
    "KNN_ON": (True, "TEST.PROTOCOLS has knn; there is none during training"),
    "LOCAL_SHUFFLE_BN": (True, "keys are shuffled over all processes"),
}
_CHOICES = {
    "COMPAT": ("", RELEASED),
    "LOSS": ("softmax", "nce"),
    "VIEWS": ("lab", "audio"),
    "MOMENTUM_SCHEDULE": ("constant", "cosine"),
    "REVERSAL": ("none", "invariant", "variant"),
    "SHIFT": ("none", "invariant", "variant"),
    "TYPE": ("moco", "byol", "simclr", "swav", "mem"),
}


@register_check
def check_config(cfg: CfgNode) -> list[Problem]:
    """Check the section of the method that is trained.

    Args:
        cfg: A merged configuration. Without this project's sections nothing is checked.

    Returns:
        Every problem found.
    """
    name = cfg.MODEL.MODEL_NAME
    if name not in METHODS or METHODS[name] not in cfg:
        return []
    section, loss = METHODS[name], LOSSES[name]
    problems = [
        Problem(f"{section}.{key}", f"got {cfg[section][key]!r}, expected {expected}.")
        for key, expected, is_valid in sorted(_rules(cfg[section], name))
        if not is_valid
    ]
    if loss != cfg.MODEL.LOSS_FUNC:
        got = f"got {cfg.MODEL.LOSS_FUNC!r}; MODEL.MODEL_NAME {name} is trained with {loss!r}."
        problems.append(Problem("MODEL.LOSS_FUNC", got))
    if cfg.MODEL.POOLING == "native" and cfg.MODEL.FEATURE_AUG != "none":
        problems.append(
            Problem(
                "MODEL.POOLING",
                "got 'native', which does not pool crops of the feature map: set 'avg' or another "
                "pooling, or MODEL.FEATURE_AUG none.",
            )
        )
    uses_audio = name in _NEED_AUDIO or (name == "CMC" and cfg.CMC.VIEWS == "audio")
    if uses_audio != cfg.AUDIO.ENABLE:
        needs = "compares video with audio" if uses_audio else "does not use audio"
        problems.append(
            Problem("AUDIO.ENABLE", f"got {cfg.AUDIO.ENABLE}; {name} {needs}: set {uses_audio}.")
        )
    return problems + _check_views(cfg, name) + _check_mixed(cfg, name)


@register_note
def note_unused(cfg: CfgNode) -> list[str]:
    """Name the keys of PySlowFast's form that were changed and are not needed.

    Args:
        cfg: A merged configuration.

    Returns:
        At most one sentence per key.
    """
    if "CONTRASTIVE" not in cfg:
        return []
    return [
        f"no effect: CONTRASTIVE.{key} ({reason})"
        for key, (default, reason) in _UNUSED.items()
        if cfg.CONTRASTIVE[key] != default
    ]


def _rules(node: CfgNode, name: str) -> Iterator[tuple[str, str, bool]]:
    """Key, what is expected, and whether the value is that."""
    for key in _POSITIVE & node.keys():
        yield key, "a positive number", node[key] > 0
    for key in _LEAST.keys() & node.keys():
        low = 1 if key in _ONE_OR_MORE.get(name, ()) else _LEAST[key]
        yield key, f"at least {low}", node[key] >= low
    for key in _CHOICES.keys() & node.keys():
        known = ", ".join(map(repr, _CHOICES[key]))
        yield key, f"one of {known}", node[key] in _CHOICES[key]
    for key in {"MOMENTUM", "BANK_MOMENTUM"} & node.keys():
        values = node[key] if isinstance(node[key], list) else [node[key]]
        count = 2 if name == "AVID" else 1
        expected = "0 to 1" if count == 1 else f"numbers from 0 to 1, {_MOMENTA}"
        yield key, expected, len(values) == count and all(0 <= value <= 1 for value in values)
    if "PARTITION_DECAY" in node:
        yield "PARTITION_DECAY", "a number above 0, at most 1", 0 < node.PARTITION_DECAY <= 1
    if "SMALL_SCALES" in node:
        scales, expected = node.SMALL_SCALES, "[least, most] share of the area, above 0, at most 1"
        yield "SMALL_SCALES", expected, len(scales) == 2 and 0 < scales[0] <= scales[1] <= 1


def _check_views(cfg: CfgNode, name: str) -> list[Problem]:
    """Check that a sample has the views that the method compares."""
    data = cfg.DATA
    views = data.TRAIN_CROP_NUM_TEMPORAL * data.TRAIN_CROP_NUM_SPATIAL
    remedy = "set DATA.TRAIN_CROP_NUM_SPATIAL 2 (views of a clip) or DATA.TRAIN_CROP_NUM_TEMPORAL 2"
    kind = cfg.CONTRASTIVE.TYPE if name == "ContrastiveModel" else ""
    problems = []
    compares_views = name in ("SimCLR", "MoCo", "SwAV") or kind in (
        "moco",
        "byol",
        "simclr",
        "swav",
    )
    if compares_views and views < 2 and not (name == "SimCLR" and cfg.MODEL.FEATURE_AUG != "none"):
        problems.append(
            Problem(
                "DATA.TRAIN_CROP_NUM_SPATIAL",
                f"got 1 view of a sample, {name} compares two: {remedy}.",
            )
        )
    if name == "GDT":
        clips = 1 if cfg.GDT.SHIFT == "none" else 2
        if (clips, 1) != (data.TRAIN_CROP_NUM_TEMPORAL, data.TRAIN_CROP_NUM_SPATIAL):
            got = f"got {data.TRAIN_CROP_NUM_TEMPORAL} with DATA.TRAIN_CROP_NUM_SPATIAL "
            problems.append(
                Problem(
                    "DATA.TRAIN_CROP_NUM_TEMPORAL",
                    f"{got}{data.TRAIN_CROP_NUM_SPATIAL}; GDT.SHIFT {cfg.GDT.SHIFT!r} compares "
                    f"{clips} clips of one view: set {clips} and DATA.TRAIN_CROP_NUM_SPATIAL 1.",
                )
            )
    if name == "AVID" and cfg.AVID.CROSS_WEIGHT + cfg.AVID.WITHIN_WEIGHT == 0:
        problems.append(
            Problem("AVID.CROSS_WEIGHT", "got 0.0 with AVID.WITHIN_WEIGHT 0.0: no loss is left.")
        )
    return problems


def _check_mixed(cfg: CfgNode, name: str) -> list[Problem]:
    """Check combinations of keys."""
    problems = []
    is_swav = name == "SwAV" or (name == "ContrastiveModel" and cfg.CONTRASTIVE.TYPE == "swav")
    if is_swav and cfg.SOLVER.GRAD_CACHE_CHUNK:
        message = (
            f"got {cfg.SOLVER.GRAD_CACHE_CHUNK}; SwAV balances its assignments over a batch and "
            "would balance each chunk by itself: set it to 0, and use a queue (SWAV.QUEUE_LEN, or "
            "CONTRASTIVE.SWAV_QEUE_LEN) for small batches."
        )
        problems.append(Problem("SOLVER.GRAD_CACHE_CHUNK", message))
    if name == "AVID" and cfg.CMA.ENABLE:
        cma = cfg.CMA
        ranges = {
            "NUM_POSITIVES": (cma.NUM_POSITIVES >= 1, "at least 1"),
            "NUM_NEGATIVES": (
                1 <= cma.NUM_NEGATIVES <= cfg.AVID.NUM_NEGATIVES,
                f"1 to AVID.NUM_NEGATIVES ({cfg.AVID.NUM_NEGATIVES})",
            ),
            "EVERY_EPOCHS": (cma.EVERY_EPOCHS >= 1, "at least 1"),
            "START_EPOCH": (cma.START_EPOCH >= 1, "at least 1: AVID fills the banks first"),
            "AGREEMENT": (
                cma.AGREEMENT in ("consensus", "union", "video", "audio"),
                "one of 'consensus', 'union', 'video', 'audio'",
            ),
        }
        problems += [
            Problem(f"CMA.{key}", f"got {cma[key]!r}, expected {expected}.")
            for key, (is_valid, expected) in ranges.items()
            if not is_valid
        ]
    if name == "MMV" and cfg.MMV.TEXT_WEIGHT and "text" not in cfg.DATA.ROW_FIELDS:
        message = f"got {list(cfg.DATA.ROW_FIELDS)} with MMV.TEXT_WEIGHT {cfg.MMV.TEXT_WEIGHT:g}"
        problems.append(
            Problem(
                "DATA.ROW_FIELDS",
                f"{message}; expected ['text'], a column of token IDs of the csv; or set "
                "MMV.TEXT_WEIGHT 0.",
            )
        )
    depths = cfg.CONTRASTIVE.PREDICTOR_DEPTHS
    if name == "ContrastiveModel" and cfg.CONTRASTIVE.TYPE == "byol" and len(depths) != 1:
        message = f"got {list(depths)}; BYOL has one prediction head: set [2]."
        problems.append(Problem("CONTRASTIVE.PREDICTOR_DEPTHS", message))
    return problems


@register_check
def check_contrastive(cfg: CfgNode) -> list[Problem]:
    """Check the keys of PySlowFast's form that are not supported.

    Args:
        cfg: A merged configuration.

    Returns:
        One problem per changed key.
    """
    if "CONTRASTIVE" not in cfg:
        return []
    node, crashes = cfg.CONTRASTIVE, "the bank with a time axis crashes in PySlowFast: use"
    in_seconds = "give the distance in seconds, DATA.TRAIN_CLIP_DISTANCE_SEC [least, most]."
    supported = {
        "MEM_TYPE": ("1d", f"{crashes} '1d'."),
        "INTERP_MEMORY": (False, f"{crashes} False."),
        "DELTA_CLIPS_MIN": (-math.inf, in_seconds),
        "DELTA_CLIPS_MAX": (math.inf, in_seconds),
    }
    return [
        Problem(f"CONTRASTIVE.{key}", f"got {node[key]!r}; {remedy}")
        for key, (value, remedy) in supported.items()
        if node[key] != value
    ]
