"""The built-in demo set as a dataset; ``datasets/demo`` generates it."""

from __future__ import annotations

import logging
import os
import time

from slowfast.config import CfgNode
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.catalog.dataset import CatalogDataset
from slowfast.utils.io import cache_dir

__all__ = ["demo"]

logger = logging.getLogger(__name__)

_REPORT_EVERY_SEC = 5.0


class _Demo(CatalogDataset):
    """The demo set of DEMO_SET; there is no validation split."""

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits."""
        return {"train", "test"}

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the files of a split; generate the demo set if it does not exist."""
        from slowfast.datasets.demo.generator import generate_demo, spec_from_cfg  # needs PyAV

        root = generate_demo(
            cache_dir(cfg.DEMO_SET.CACHE_DIR),
            spec_from_cfg(cfg),
            num_workers=min(8, os.cpu_count() or 1),
            progress=_Progress(),
        )
        manifest = load_manifest(root, "train" if split == "gallery" else split)
        manifest.version = root.name  # sets of other seeds have files of the same names
        return manifest


demo = _Demo.register("demo")


class _Progress:
    """Logs the progress of the generator every few seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._started = False

    def __call__(self, done: int, total: int) -> None:
        if not self._started:
            self._started = True
            logger.info("generating the demo set: %d clips, only once", total)
        now = time.monotonic()
        if now - self._last > _REPORT_EVERY_SEC or done == total:
            self._last = now
            logger.info("demo set: %d of %d clips", done, total)
