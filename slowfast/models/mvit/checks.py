"""Configuration checks of MVIT."""

from __future__ import annotations

from slowfast.config import CfgNode, Problem, register_check
from slowfast.models.mvit.archs import mvit_schedule
from slowfast.utils.registry import nearest

__all__ = ["check_mvit"]

_MODES = ("conv", "conv_unshared", "avg", "max")
_PER_BLOCK = {"POOL_Q_STRIDE": 4, "POOL_KV_STRIDE": 4, "DIM_MUL": 2, "HEAD_MUL": 2}
_SIZES = ("POOL_KV_STRIDE_ADAPTIVE", "POOL_KVQ_KERNEL")
_PATCHES = ("PATCH_KERNEL", "PATCH_STRIDE", "PATCH_PADDING")
_WAVES = 16  # channels per axis are 2 : 3 : 3, half sines and half cosines


@register_check
def check_mvit(cfg: CfgNode) -> list[Problem]:
    """Find invalid values of MVIT: MVIT.NORM always, the others if this backbone is used."""
    norm = cfg.MVIT.NORM
    problems = []
    if norm != "layernorm":
        message = f"got {norm!r}, expected 'layernorm': other layers are not supported."
        problems.append(Problem("MVIT.NORM", message))
    if cfg.MODEL.ARCH != "mvit":
        return problems
    problems += [
        Problem(
            f"MULTIGRID.{name}",
            "got True, but MODEL.ARCH mvit has position embeddings for clips of one shape; use "
            "False.",
        )
        for name in ("LONG_CYCLE", "SHORT_CYCLE")
        if cfg.MULTIGRID[name] and cfg.TRAIN.ENABLE
    ]
    problems += _check_lists(cfg.MVIT)
    problems += _check_choices(cfg.MVIT)
    return problems or _check_heads(cfg.MVIT)


def _check_lists(section: CfgNode) -> list[Problem]:
    """Check lengths of lists, and indices of blocks."""
    problems = []
    for name, length in _PER_BLOCK.items():
        what = "a factor" if length == 2 else "strides in time, height and width"
        for row in section[name] or []:
            if len(row) != length or not 0 <= row[0] < section.DEPTH or min(row[1:]) <= 0:
                message = (
                    f"got {row}, expected a block from 0 to {section.DEPTH - 1} (MVIT.DEPTH) and "
                    f"{what}, all > 0."
                )
                problems.append(Problem(f"MVIT.{name}", message))
    for name in _SIZES:
        sizes = section[name]
        if sizes is not None and (len(sizes) != 3 or min(sizes) < 1):
            message = f"got {sizes}, expected time, height and width > 0, or None."
            problems.append(Problem(f"MVIT.{name}", message))
    for name in _PATCHES:
        if len(section[name]) < (2 if section.PATCH_2D else 3):
            axes = "height and width" if section.PATCH_2D else "time, height and width"
            problems.append(Problem(f"MVIT.{name}", f"got {section[name]}, expected {axes}."))
    return problems


def _check_choices(section: CfgNode) -> list[Problem]:
    """Check names and incompatible options."""
    problems = []
    if section.MODE not in _MODES:
        problems.append(
            Problem("MVIT.MODE", f"got {section.MODE!r}. {nearest(section.MODE, _MODES)}")
        )
    if section.MODE == "conv_unshared" and not section.POOL_FIRST:
        message = "'conv_unshared' pools before the heads are split: set MVIT.POOL_FIRST True."
        problems.append(Problem("MVIT.MODE", message))
    if section.DEPTH < 1:
        problems.append(Problem("MVIT.DEPTH", f"got {section.DEPTH}, expected at least 1."))
    if section.USE_FIXED_SINCOS_POS and not section.USE_ABS_POS:
        problems.append(Problem("MVIT.USE_FIXED_SINCOS_POS", "needs MVIT.USE_ABS_POS True."))
    if section.USE_FIXED_SINCOS_POS and section.EMBED_DIM % _WAVES:
        message = (
            f"got {section.EMBED_DIM}; MVIT.USE_FIXED_SINCOS_POS needs a multiple of {_WAVES}."
        )
        problems.append(Problem("MVIT.EMBED_DIM", message))
    return problems


def _check_heads(section: CfgNode) -> list[Problem]:
    """Check that the channels of every block are divisible by its heads."""
    for i, shape in enumerate(mvit_schedule(section).blocks((1, 1, 1))):
        # With pooling before the projection, the input is split into heads.
        for dim in (shape.dim_attention, *([shape.dim] if section.POOL_FIRST else [])):
            if dim % shape.num_heads:
                message = (
                    f"block {i} has {dim} channels, which are not divisible by {shape.num_heads} "
                    "heads. See MVIT.EMBED_DIM, DIM_MUL and HEAD_MUL."
                )
                return [Problem("MVIT.NUM_HEADS", message)]
    return []
