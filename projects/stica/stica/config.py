"""StiCA's configuration sections and their check; cheap to import (no torch)."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import Problem
from slowfast.config.values import flatten

__all__ = ["CROP_KINDS", "add_config", "check_config"]

# The four kinds of crop: name, key of its section. Crops are in this order everywhere.
CROP_KINDS = {
    "space_large": "SPACE_LARGE",
    "space_small": "SPACE_SMALL",
    "time_large": "TIME_LARGE",
    "time_small": "TIME_SMALL",
}

_POOLS = ("cls", "mean", "first")
_POSITIONS = ("learned", "sinusoidal", "none")
_HEAD_BN = ("group", "joint")
_PAIRS = ("all", "released")
_CROP_KEYS = ("video", "audio")
_CROP_STAGES = ("features", "input")
_WITHIN_HEADS = ("shared", "own")
_COMPAT = ("", "released")


def add_config(cfg: CfgNode) -> None:
    """Add FEATURE_CROP, TEMPORAL_TRANSFORMER and STICA."""
    _add_feature_crop(cfg)
    _add_temporal_transformer(cfg)
    _add_stica(cfg)


def _add_feature_crop(cfg: CfgNode) -> None:
    # Crops of the final feature map: MODEL.FEATURE_AUG feature_crop. Numbers and sizes are those of
    # the released launch script ("2 large, 4 small in space, 2 large, 1 small in time").
    # The size of a crop is the integer nearest to SCALE times the axis (halves round up), at least
    # 1 and at most the axis minus 1, so that every crop can move, whatever the size of the map: 6/7
    # and 4/7 are 6 and 4 spatial positions of 7, 3 and 2 of 4, 9 and 6 of 10; 3/4 and 2/4 are 3 and
    # 2 time steps of 4, 6 and 4 of 8. SCALE 1.0 is the full axis: no crop. NUM is per view.
    cfg.FEATURE_CROP = CfgNode()
    cfg.FEATURE_CROP.SPACE_LARGE = CfgNode()
    # Large crops in space: a box of spatial positions, all time steps. Queries and keys.
    cfg.FEATURE_CROP.SPACE_LARGE.NUM = 2
    # Their height and width, as a fraction of the map's. Released: 6 of 7.
    cfg.FEATURE_CROP.SPACE_LARGE.SCALE = 6 / 7
    cfg.FEATURE_CROP.SPACE_SMALL = CfgNode()
    # Small crops in space. Queries only.
    cfg.FEATURE_CROP.SPACE_SMALL.NUM = 4
    # Released: 4 of 7.
    cfg.FEATURE_CROP.SPACE_SMALL.SCALE = 4 / 7
    cfg.FEATURE_CROP.TIME_LARGE = CfgNode()
    # Large crops in time: some consecutive time steps, all spatial positions. Queries and keys.
    cfg.FEATURE_CROP.TIME_LARGE.NUM = 2
    # Their length as a fraction of the map's time steps. Released: 3 of 4, 6 of 8.
    cfg.FEATURE_CROP.TIME_LARGE.SCALE = 3 / 4
    cfg.FEATURE_CROP.TIME_SMALL = CfgNode()
    # Small crops in time. Queries only.
    cfg.FEATURE_CROP.TIME_SMALL.NUM = 1
    # Released: 2 of 4, 4 of 8.
    cfg.FEATURE_CROP.TIME_SMALL.SCALE = 2 / 4
    # Sample positions for every sample and view. False: once per view for the global batch, as
    # released, from the smallest aug_seed of all processes.
    cfg.FEATURE_CROP.PER_SAMPLE = True
    # Sample among all valid positions. False: all but the last along each axis, as released; a crop
    # that is one position shorter than the map then never moves.
    cfg.FEATURE_CROP.LAST_POSITION = True
    # The weight of crops in a classifier is a key of the framework; the old name raises an error.
    cfg.register_renamed_key("FEATURE_CROP.WEIGHT", "MODEL.FEATURE_AUG_WEIGHT")


def _add_temporal_transformer(cfg: CfgNode) -> None:
    # Late temporal attention: MODEL.POOLING transformer. Sizes are those of the released code; the
    # class token, positions and projections are our decisions (PAPER_TO_CODE.md).
    cfg.TEMPORAL_TRANSFORMER = CfgNode()
    # Encoder layers, at least 1.
    cfg.TEMPORAL_TRANSFORMER.LAYERS = 2
    # Attention heads; must divide the backbone's channels.
    cfg.TEMPORAL_TRANSFORMER.HEADS = 4
    # Hidden width of the feed-forward network over the backbone's channels.
    cfg.TEMPORAL_TRANSFORMER.FFN_RATIO = 4.0
    # Probability of dropout on attention weights and on both residual branches.
    cfg.TEMPORAL_TRANSFORMER.DROPOUT = 0.0
    # Pooling of the time steps: "cls" (a learned class token), "mean" (of the steps) or "first"
    # (the first step; released).
    cfg.TEMPORAL_TRANSFORMER.READOUT = "cls"
    # Positional embedding: "learned", "sinusoidal" or "none" (released). A crop in time keeps its
    # positions on the full feature map.
    cfg.TEMPORAL_TRANSFORMER.POSITIONS = "learned"
    # Rows of the learned table, in time steps of the feature map (not frames).
    cfg.TEMPORAL_TRANSFORMER.MAX_STEPS = 64
    # Value and output projections, as in full multi-head attention. False: the tokens themselves
    # are the values and heads are merely concatenated (released).
    cfg.TEMPORAL_TRANSFORMER.VALUE_PROJECTION = True


def _add_stica(cfg: CfgNode) -> None:
    cfg.STICA = CfgNode()
    # Temperature of the cross-modal loss. Released: fixed at 0.1.
    cfg.STICA.TEMPERATURE_CROSS = 0.1
    # Temperature of the within-modal losses. Released: 0.5.
    cfg.STICA.TEMPERATURE_WITHIN = 0.5
    # Weight w of the within-modal losses: total = (1 - w) cross-modal + w within-modal. Released:
    # 0.5. A loss without inputs is left out together with its weight.
    cfg.STICA.WITHIN_WEIGHT = 0.5
    # Epochs of training with the cross-modal loss only, before the within-modal losses are added;
    # ours. Until then nothing is cropped, and training is as with MODEL.FEATURE_AUG none.
    cfg.STICA.WITHIN_START_EPOCH = 0.0
    # Crops that the within-modal losses compare. "all": every crop of one view with every large
    # crop of the other, both ways. "released": the last large crops of both views, and small crops
    # of the second view with large ones of the first.
    cfg.STICA.PAIRS = "all"
    # What crops are contrasted with: "video" (large crops of the other view; paper, released) or
    # "audio" (the clip's audio, as for full clips, at TEMPERATURE_CROSS; ours: crops are then
    # further views of the cross-modal loss, and no loss separates clips that differ only in the
    # video). WITHIN_WEIGHT is their weight in either case.
    cfg.STICA.CROP_KEYS = "video"
    # Where crops are cut: "features" (the backbone's last map; paper, released) or "input" (the
    # clip, before the backbone, as in the classic multi-crop; ours, as a control: each crop costs a
    # pass). FEATURE_CROP.*.SCALE is then a fraction of the clip's frames, height and width.
    cfg.STICA.CROP_STAGE = "features"
    # Projection head of the crops: "shared" (the head of the full clips, which are compared with
    # audio; paper, released) or "own" (a separate one, so that the two losses share only the pooled
    # features).
    cfg.STICA.WITHIN_HEAD = "shared"
    # Embeddings of past batches that are further negatives of the cross-modal loss, so that a small
    # batch has as many as a large one; 0: none (paper). At most half of the training videos, or the
    # queue holds older embeddings of the queries. For large batches in little memory see
    # SOLVER.GRAD_CACHE_CHUNK.
    cfg.STICA.QUEUE_LEN = 0
    # Dimensions of the embeddings. Released: 256.
    cfg.STICA.EMBED_DIM = 256
    # Hidden width of both projection heads. Released: 512.
    cfg.STICA.HEAD_DIM = 512
    # Dropout before each linear layer of the heads. Released: 0.3.
    cfg.STICA.HEAD_DROPOUT = 0.3
    # Batch statistics of the head: "group" (separate for each crop and view, as if each were a call
    # of its own; released) or "joint" (over all rows of the call). They are computed over all
    # processes when BN.NORM_TYPE is sync_batchnorm.
    cfg.STICA.HEAD_BN = "group"
    # "": this project's decisions. "released": the released code's behavior, which overrides every
    # other key of model and loss (stica/released.py).
    cfg.STICA.COMPAT = ""


@register_check
def check_config(cfg: CfgNode) -> list[Problem]:
    """Check StiCA's sections."""
    if "STICA" not in cfg:
        return []
    problems = [*_check_ranges(cfg), *_check_choices(cfg)]
    if cfg.MODEL.MODEL_NAME == "StiCA":
        problems += [*_check_model(cfg), *_check_losses(cfg)]
    return problems


def _check_choices(cfg: CfgNode) -> list[Problem]:
    choices = {
        "TEMPORAL_TRANSFORMER.READOUT": (cfg.TEMPORAL_TRANSFORMER.READOUT, _POOLS),
        "TEMPORAL_TRANSFORMER.POSITIONS": (cfg.TEMPORAL_TRANSFORMER.POSITIONS, _POSITIONS),
        "STICA.PAIRS": (cfg.STICA.PAIRS, _PAIRS),
        "STICA.CROP_KEYS": (cfg.STICA.CROP_KEYS, _CROP_KEYS),
        "STICA.CROP_STAGE": (cfg.STICA.CROP_STAGE, _CROP_STAGES),
        "STICA.WITHIN_HEAD": (cfg.STICA.WITHIN_HEAD, _WITHIN_HEADS),
        "STICA.HEAD_BN": (cfg.STICA.HEAD_BN, _HEAD_BN),
        "STICA.COMPAT": (cfg.STICA.COMPAT, _COMPAT),
    }
    return [
        Problem(key, f"got {value!r}, expected one of {', '.join(map(repr, allowed))}")
        for key, (value, allowed) in choices.items()
        if value not in allowed
    ]


def _check_ranges(cfg: CfgNode) -> list[Problem]:
    transformer, stica = cfg.TEMPORAL_TRANSFORMER, cfg.STICA
    ranges = {
        "TEMPORAL_TRANSFORMER.LAYERS": (
            transformer.LAYERS >= 1,
            "at least 1; for no attention set MODEL.POOLING avg",
        ),
        "TEMPORAL_TRANSFORMER.HEADS": (transformer.HEADS >= 1, "at least 1"),
        "TEMPORAL_TRANSFORMER.FFN_RATIO": (transformer.FFN_RATIO > 0, "a positive number"),
        "TEMPORAL_TRANSFORMER.DROPOUT": (0 <= transformer.DROPOUT < 1, "0 <= DROPOUT < 1"),
        "TEMPORAL_TRANSFORMER.MAX_STEPS": (transformer.MAX_STEPS >= 1, "at least 1"),
        "STICA.TEMPERATURE_CROSS": (stica.TEMPERATURE_CROSS > 0, "a positive number"),
        "STICA.TEMPERATURE_WITHIN": (stica.TEMPERATURE_WITHIN > 0, "a positive number"),
        "STICA.WITHIN_WEIGHT": (0 <= stica.WITHIN_WEIGHT <= 1, "a number from 0 to 1"),
        "STICA.WITHIN_START_EPOCH": (
            stica.WITHIN_START_EPOCH >= 0,
            "a number of epochs, 0 or more",
        ),
        "STICA.QUEUE_LEN": (stica.QUEUE_LEN >= 0, "0 or more"),
        "STICA.EMBED_DIM": (stica.EMBED_DIM >= 1, "at least 1"),
        "STICA.HEAD_DIM": (stica.HEAD_DIM >= 1, "at least 1"),
        "STICA.HEAD_DROPOUT": (0 <= stica.HEAD_DROPOUT < 1, "0 <= HEAD_DROPOUT < 1"),
    }
    for section in CROP_KINDS.values():
        kind = cfg.FEATURE_CROP[section]
        ranges[f"FEATURE_CROP.{section}.NUM"] = (0 <= kind.NUM <= 1000, "0 to 1000")
        ranges[f"FEATURE_CROP.{section}.SCALE"] = (
            0 < kind.SCALE <= 1,
            "a fraction of the map, above 0 and at most 1 (the full feature map); NUM 0 disables "
            "the crop",
        )
    values = flatten(cfg)
    return [
        Problem(key, f"got {values[key]!r}, expected {expected}")
        for key, (is_valid, expected) in ranges.items()
        if not is_valid
    ]


def _check_model(cfg: CfgNode) -> list[Problem]:
    problems = []
    if cfg.MODEL.LOSS_FUNC != "stica":
        got = f"got {cfg.MODEL.LOSS_FUNC!r}"
        problems.append(
            Problem("MODEL.LOSS_FUNC", f"{got}; MODEL.MODEL_NAME StiCA is trained with 'stica'")
        )
    if cfg.MODEL.FEATURE_AUG not in ("none", "feature_crop"):
        got = f"got {cfg.MODEL.FEATURE_AUG!r}"
        problems.append(
            Problem("MODEL.FEATURE_AUG", f"{got}; StiCA supports 'feature_crop' and 'none'")
        )
    if cfg.MODEL.HEAD in ("linear", "mlp"):
        got = f"got {cfg.MODEL.HEAD!r}"
        problems.append(
            Problem("MODEL.HEAD", f"{got}; embeddings must have length 1: set 'stica_projection'")
        )
    if cfg.MODEL.POOLING == "native":
        problems.append(
            Problem(
                "MODEL.POOLING",
                "got 'native'; StiCA pools crops of the feature map, which a backbone's native "
                "pooling does not support: set 'transformer' or 'avg'",
            )
        )
    return problems


def _check_losses(cfg: CfgNode) -> list[Problem]:
    weight, crops = cfg.STICA.WITHIN_WEIGHT, cfg.FEATURE_CROP
    has_within = cfg.MODEL.FEATURE_AUG == "feature_crop" and weight > 0
    problems = []
    for axis in ("SPACE", "TIME") if has_within else ():
        if crops[f"{axis}_SMALL"].NUM > 0 and crops[f"{axis}_LARGE"].NUM == 0:
            problems.append(
                Problem(
                    f"FEATURE_CROP.{axis}_SMALL.NUM",
                    f"got {crops[f'{axis}_SMALL'].NUM} small crops and no large one to compare "
                    f"them with: set FEATURE_CROP.{axis}_LARGE.NUM to 1 or more, or this to 0",
                )
            )
    has_within = has_within and any(crops[f"{axis}_LARGE"].NUM > 0 for axis in ("SPACE", "TIME"))
    to_audio = cfg.STICA.CROP_KEYS == "audio"
    if has_within and to_audio and not (cfg.AUDIO.ENABLE and weight < 1):
        problems.append(
            Problem(
                "STICA.CROP_KEYS",
                f"got 'audio' with AUDIO.ENABLE {cfg.AUDIO.ENABLE} and STICA.WITHIN_WEIGHT "
                f"{weight}: there is no audio to compare crops with. Set AUDIO.ENABLE True and a "
                "weight below 1, or 'video'",
            )
        )
    if cfg.STICA.QUEUE_LEN and not (cfg.AUDIO.ENABLE and weight < 1):
        problems.append(
            Problem(
                "STICA.QUEUE_LEN",
                f"got {cfg.STICA.QUEUE_LEN} with AUDIO.ENABLE {cfg.AUDIO.ENABLE} and "
                f"STICA.WITHIN_WEIGHT {weight}: the queue serves the cross-modal loss. Set 0, or "
                "AUDIO.ENABLE True and a weight below 1",
            )
        )
    start = cfg.STICA.WITHIN_START_EPOCH
    if start > 0 and (cfg.STICA.WITHIN_HEAD == "own" or not cfg.AUDIO.ENABLE or weight == 1):
        problems.append(
            Problem(
                "STICA.WITHIN_START_EPOCH",
                f"got {start:g} with AUDIO.ENABLE {cfg.AUDIO.ENABLE}, STICA.WITHIN_WEIGHT "
                f"{weight:g} and STICA.WITHIN_HEAD {cfg.STICA.WITHIN_HEAD!r}; until then every "
                "module must get gradients from the cross-modal loss: set 0.0, or AUDIO.ENABLE "
                "True, a weight below 1 and the head 'shared'",
            )
        )
    if cfg.DATA.TRAIN_CROP_NUM_TEMPORAL > 1:
        problems.append(
            Problem(
                "DATA.TRAIN_CROP_NUM_TEMPORAL",
                f"got {cfg.DATA.TRAIN_CROP_NUM_TEMPORAL}; StiCA compares views of one clip: set 1, "
                "and DATA.TRAIN_CROP_NUM_SPATIAL for more views",
            )
        )
    if has_within and not to_audio and cfg.DATA.TRAIN_CROP_NUM_SPATIAL < 2:
        problems.append(
            Problem(
                "DATA.TRAIN_CROP_NUM_SPATIAL",
                f"got {cfg.DATA.TRAIN_CROP_NUM_SPATIAL}; crops are compared between views: set 2, "
                "or STICA.WITHIN_WEIGHT 0.0",
            )
        )
    if not has_within and not (cfg.AUDIO.ENABLE and weight < 1):
        problems.append(
            Problem(
                "STICA.WITHIN_WEIGHT",
                f"got {weight} with AUDIO.ENABLE {cfg.AUDIO.ENABLE} and MODEL.FEATURE_AUG "
                f"{cfg.MODEL.FEATURE_AUG!r}: no loss is left to train with. Set AUDIO.ENABLE True "
                "and a weight below 1, or MODEL.FEATURE_AUG feature_crop with large crops and a "
                "weight above 0",
            )
        )
    return problems
