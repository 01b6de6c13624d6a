"""What can be wrong with TRAIN and TEST in a configuration."""

from __future__ import annotations

from slowfast.config import CfgNode, Problem, register_check
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.utils.registry import nearest

__all__ = ["check_run"]


@register_check
def check_run(cfg: CfgNode) -> list[Problem]:
    """Find unknown protocols and impossible run settings.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    problems = [
        Problem("TEST.PROTOCOLS", PROTOCOL_REGISTRY.describe_unknown(name))
        for name in cfg.TEST.PROTOCOLS
        if name not in PROTOCOL_REGISTRY
    ]
    dtypes = ("auto", "bf16", "fp16")
    if cfg.TRAIN.MIXED_PRECISION_DTYPE not in dtypes:
        got = cfg.TRAIN.MIXED_PRECISION_DTYPE
        problems.append(
            Problem("TRAIN.MIXED_PRECISION_DTYPE", f"got {got!r}. {nearest(got, dtypes)}")
        )
    if not 0 <= cfg.SHARD_ID < cfg.NUM_SHARDS:
        problems.append(
            Problem("SHARD_ID", f"got {cfg.SHARD_ID}, expected 0 to {cfg.NUM_SHARDS - 1}.")
        )
    if "cross_modal_retrieval" in cfg.TEST.PROTOCOLS and not cfg.AUDIO.ENABLE:
        problems.append(Problem("TEST.PROTOCOLS", "cross_modal_retrieval needs AUDIO.ENABLE True."))
    return problems
