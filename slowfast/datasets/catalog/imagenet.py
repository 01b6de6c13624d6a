"""ImageNet: class folders of images, as clips of one frame.

As in PySlowFast, a training image is a random resized crop, and a test image is resized and
cropped at its center. Images are read at full size.
"""

from __future__ import annotations

from slowfast.config import CfgNode, Problem, register_check, register_note
from slowfast.datasets.annotations.files import IMAGE_SUFFIXES
from slowfast.datasets.annotations.layouts import find_layout, load_manifest
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.annotations.split_files import data_root
from slowfast.datasets.catalog.dataset import Built, CatalogDataset
from slowfast.datasets.video_dataset import build_video_dataset

__all__ = ["check_imagenet", "imagenet", "note_imagenet"]

_NAME = "imagenet"
_LAYOUT = "train/CLASS/image and val/CLASS/image"
_AREA, _ASPECT = [0.08, 1.0], [3 / 4, 4 / 3]
"""Of a random resized crop whose range the configuration does not give."""


class _Imagenet(CatalogDataset):
    """Images in folders of classes; tested on "val" if there is no "test"."""

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the splits that DATA.PATH_TO_DATA_DIR holds."""
        return set(find_layout(data_root(cfg, _LAYOUT)).sources)

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the images of a split."""
        source = "train" if split == "gallery" else split
        return load_manifest(data_root(cfg, _LAYOUT), source, suffixes=IMAGE_SUFFIXES)

    def __call__(self, cfg: CfgNode, split: str) -> Built:
        """Build a split, one of ``build.SPLITS``."""
        cfg = _crops_of_images(cfg, split)
        dataset = build_video_dataset(cfg, self.manifest(cfg, split), split)
        dataset.settings = dataset.settings._replace(
            still_images=True, short_side=None, decoded=None
        )
        return dataset


imagenet = _Imagenet.register(_NAME)


def _crops_of_images(cfg: CfgNode, split: str) -> CfgNode:
    """Describe the crops of ImageNet by the keys for videos."""
    cfg = cfg.clone()
    cfg.defrost()
    data = cfg.DATA
    if not data.TRAIN_JITTER_SCALES_RELATIVE:
        data.TRAIN_JITTER_SCALES_RELATIVE = _AREA
    if not data.TRAIN_JITTER_ASPECT_RELATIVE:
        data.TRAIN_JITTER_ASPECT_RELATIVE = _ASPECT
    size = data.TRAIN_CROP_SIZE if split == "val" else data.TEST_CROP_SIZE
    short_side = int(size / data.IN_VAL_CROP_RATIO)
    data.TRAIN_JITTER_SCALES = [short_side, short_side]  # of a single center crop
    cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.NUM_SPATIAL_CROPS = 1
    cfg.freeze()
    return cfg


def _uses_imagenet(cfg: CfgNode, *sections: str) -> bool:
    return any(cfg[name].ENABLE and cfg[name].DATASET.lower() == _NAME for name in sections)


@register_check
def check_imagenet(cfg: CfgNode) -> list[Problem]:
    """Find settings that images cannot follow.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    if not _uses_imagenet(cfg, "TRAIN", "TEST"):
        return []
    problems = []
    if cfg.DATA.NUM_FRAMES != 1:
        message = f"got {cfg.DATA.NUM_FRAMES}, but a clip of {_NAME} is one image; use 1."
        problems.append(Problem("DATA.NUM_FRAMES", message))
    if not 0 < cfg.DATA.IN_VAL_CROP_RATIO <= 1:
        message = f"got {cfg.DATA.IN_VAL_CROP_RATIO}, expected a number in (0, 1]."
        problems.append(Problem("DATA.IN_VAL_CROP_RATIO", message))
    if cfg.AUDIO.ENABLE:
        problems.append(Problem("AUDIO.ENABLE", f"got True, but {_NAME} has images; use False."))
    return problems


@register_note
def note_imagenet(cfg: CfgNode) -> list[str]:
    """Name numbers of test views that images do not have.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one sentence.
    """
    names = [key for key in ("NUM_ENSEMBLE_VIEWS", "NUM_SPATIAL_CROPS") if cfg.TEST[key] != 1]
    if not names or not _uses_imagenet(cfg, "TEST"):
        return []
    keys = ", ".join(f"TEST.{key} {cfg.TEST[key]}" for key in names)
    return [f"no effect: {keys} (an image of {_NAME} is tested in one view, its center)"]
