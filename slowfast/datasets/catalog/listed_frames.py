"""PySlowFast's frame lists as the videos of a dataset."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.annotations.frame_lists import index_frame_list
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.reader import MediaError

__all__ = ["read_frame_list"]

logger = logging.getLogger(__name__)


def read_frame_list(cfg: CfgNode, file: Path, class_names: list[str]) -> Manifest:
    """List the videos of a frame list; see ``index_frame_list``.

    Args:
        cfg: The configuration, with DATA.PATH_PREFIX.
        file: The list.
        class_names: Names of the classes; may be empty.

    Returns:
        The manifest.

    Raises:
        UserError: If a line cannot be read, or the first image, since a wrong folder makes every
            video a bad file.
    """
    manifest = index_frame_list(file, class_names)
    try:
        with open_row(manifest.row(0), float(cfg.DATA.FRAME_FOLDER_FPS), cfg.DATA.PATH_PREFIX) as r:
            r.read_video(np.zeros(1))
    except MediaError as error:
        raise ConfigValueError(
            "DATA.PATH_PREFIX",
            f"got {cfg.DATA.PATH_PREFIX!r}, but the first image of {file} cannot be read: {error}. "
            "Expected: the folder that the paths of the list are relative to.",
        ) from error
    logger.info("%d videos of the frame list %s", len(manifest), file)
    return manifest
