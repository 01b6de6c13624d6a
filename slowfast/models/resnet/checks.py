"""Configuration checks of RESNET, NONLOCAL and SLOWFAST."""

from __future__ import annotations

from slowfast.config import CfgNode, Problem, register_check
from slowfast.models.resnet.archs import STAGE_DEPTHS, TRANSFORMS
from slowfast.models.resnet.nonlocal_block import INSTANTIATIONS
from slowfast.utils.registry import nearest

__all__ = ["check_nonlocal", "check_resnet"]

# Backbones that use RESNET, and those with fixed kernels and strides.
_DESCRIBED = ("c2d", "c2d_nopool", "i3d", "slow", "slowfast")
_FIXED = ("csn", "r2plus1d")
_PER_PATHWAY = (
    *("RESNET.NUM_BLOCK_TEMP_KERNEL", "RESNET.SPATIAL_STRIDES", "RESNET.SPATIAL_DILATIONS"),
    *("NONLOCAL.LOCATION", "NONLOCAL.GROUP", "NONLOCAL.POOL"),
)
_POSITIVE = ("ALPHA", "BETA_INV", "FUSION_CONV_CHANNEL_RATIO", "FUSION_KERNEL_SZ")
_STAGES = 4


@register_check
def check_resnet(cfg: CfgNode) -> list[Problem]:
    """Find invalid values of RESNET and SLOWFAST, if these backbones are used."""
    arch, resnet = cfg.MODEL.ARCH, cfg.RESNET
    if arch not in _DESCRIBED + _FIXED:
        return []
    problems = []
    if resnet.DEPTH not in STAGE_DEPTHS:
        known = ", ".join(map(str, STAGE_DEPTHS))
        problems.append(Problem("RESNET.DEPTH", f"got {resnet.DEPTH}, expected one of {known}."))
    if arch in _FIXED:
        return problems
    if resnet.TRANS_FUNC not in TRANSFORMS:
        hint = nearest(resnet.TRANS_FUNC, TRANSFORMS)
        problems.append(Problem("RESNET.TRANS_FUNC", f"got {resnet.TRANS_FUNC!r}. {hint}"))
    for key in _PER_PATHWAY:
        section, name = key.split(".")
        stages = cfg[section][name]
        if len(stages) != _STAGES or not all(stages):
            message = (
                f"got {stages}; expected {_STAGES} lists, one per stage, each with an entry for "
                "every pathway or one for all of them."
            )
            problems.append(Problem(key, message))
    if arch == "slowfast":
        for name in _POSITIVE:
            if cfg.SLOWFAST[name] < 1:
                got = cfg.SLOWFAST[name]
                problems.append(Problem(f"SLOWFAST.{name}", f"got {got}, expected at least 1."))
    return problems


@register_check
def check_nonlocal(cfg: CfgNode) -> list[Problem]:
    """Find invalid non-local blocks."""
    arch, section = cfg.MODEL.ARCH, cfg.NONLOCAL
    wanted = [max(entry, default=-1) for stage in section.LOCATION for entry in stage]
    if arch not in _DESCRIBED + _FIXED or max(wanted, default=-1) < 0:
        return []
    if arch in _FIXED:
        message = f"got {section.LOCATION}, but '{arch}' has no non-local blocks. Empty the lists."
        return [Problem("NONLOCAL.LOCATION", message)]
    problems = []
    depths = STAGE_DEPTHS.get(cfg.RESNET.DEPTH, ())
    for number, (stage, depth) in enumerate(zip(section.LOCATION, depths, strict=False), start=2):
        last = max((max(entry, default=-1) for entry in stage), default=-1)
        if last >= depth:
            message = (
                f"got a non-local block after block {last} of stage {number}, which has the blocks "
                f"0 to {depth - 1} at RESNET.DEPTH {cfg.RESNET.DEPTH}."
            )
            problems.append(Problem("NONLOCAL.LOCATION", message))
    if section.INSTANTIATION not in INSTANTIATIONS:
        hint = nearest(section.INSTANTIATION, INSTANTIATIONS)
        problems.append(Problem("NONLOCAL.INSTANTIATION", f"got {section.INSTANTIATION!r}. {hint}"))
    return problems
