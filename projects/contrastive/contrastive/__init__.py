"""Contrastive methods by their papers' names: importing registers their models and losses."""

import contrastive.avid
import contrastive.checkpoint_format
import contrastive.checks
import contrastive.cmc
import contrastive.gdt
import contrastive.mmv
import contrastive.moco
import contrastive.npid
import contrastive.pyslowfast
import contrastive.simclr
import contrastive.swav  # noqa: F401  (all of these register their components)
from contrastive.config import add_config

__all__ = ["add_config"]
