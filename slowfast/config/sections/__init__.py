"""The configuration tree in sections. The comment above a key is its documentation."""

from fvcore.common.config import CfgNode

from slowfast.config.sections import augmentation, data, model, run, solver, unsupported

__all__ = ["get_cfg"]


def get_cfg() -> CfgNode:
    """Build the default configuration of the framework, without any project.

    Returns:
        A fresh, unfrozen tree.
    """
    cfg = CfgNode()
    for section in (run, data, augmentation, model, solver, unsupported):
        section.add_config(cfg)
    return cfg
