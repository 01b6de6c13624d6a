"""Configurations made of words, and the backbones that they describe."""

import torch

from slowfast.config import get_cfg
from slowfast.models.build import BACKBONE_REGISTRY


def make_cfg(words="", section="MODEL", **keys):
    """The defaults, with ``"KEY VALUE ..."`` merged, then the given keys of one section set."""
    cfg = get_cfg()
    cfg.merge_from_list(words.split())
    for key, value in keys.items():
        cfg[section][key] = value
    return cfg


def make_backbone(cfg):
    """The video backbone of a configuration, initialized from seed 0."""
    torch.manual_seed(0)
    return BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
