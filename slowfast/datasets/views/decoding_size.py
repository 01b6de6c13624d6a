"""The size at which frames are decoded: DATA.DECODING_SHORT_SIZE, or more if the crops need it."""

from __future__ import annotations

from slowfast.config import CfgNode
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.views.eval_transform import build_test_transform, build_val_transform
from slowfast.datasets.views.sample_views import build_views

__all__ = ["decoding_short_side", "describe_raised_size"]


def decoding_short_side(cfg: CfgNode, split: str) -> int | None:
    """Return the short side that frames are downscaled to while they are decoded.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.

    Returns:
        DATA.DECODING_SHORT_SIZE, raised to what the crops of the split need, in pixels: the largest
        scale of DATA.TRAIN_JITTER_SCALES, or the crop with DATA.TRAIN_JITTER_SCALES_RELATIVE; in
        evaluation, the short side that is cropped. None: full size.
    """
    size = cfg.DATA.DECODING_SHORT_SIZE
    return max(size, _needed(cfg, split)) if size else None


def describe_raised_size(cfg: CfgNode) -> str:
    """Describe where DATA.DECODING_SHORT_SIZE is raised.

    Args:
        cfg: The configuration.

    Returns:
        One line; empty if it is large enough for all splits, and for audio-only datasets.
    """
    size = cfg.DATA.DECODING_SHORT_SIZE
    sections = {"train": "TRAIN", "val": "TRAIN", "test": "TEST"}
    raised = [
        f"{needed} ({split})"
        for split, section in sections.items()
        if size and cfg[section].ENABLE and not _is_audio(cfg[section].DATASET)
        if (needed := _needed(cfg, split)) > size
    ]
    if not raised:
        return ""
    return (
        f"DATA.DECODING_SHORT_SIZE {size} is less than the crops need (DATA.TRAIN_JITTER_SCALES, "
        f"TRAIN_CROP_SIZE, TEST_CROP_SIZE): decoding at {', '.join(raised)}"
    )


def _is_audio(dataset: str) -> bool:
    name = dataset.lower()
    return name in DATASET_REGISTRY and bool(DATASET_REGISTRY.capability(name, "audio_only"))


def _needed(cfg: CfgNode, split: str) -> int:
    if split == "train":
        transforms = [view.transform for view in build_views(cfg).views]
        return max(transform.short_side for transform in transforms if transform is not None)
    build = build_val_transform if split == "val" else build_test_transform
    return build(cfg).short_side
