"""Noise instead of videos, for measuring models without data: ``fake`` and ``fake_audio``."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.decoding.audio_clip import sec_to_num_samples
from slowfast.datasets.views.sample_views import AUDIO, build_views
from slowfast.utils.multigrid import ClipShape, MultigridSchedule, at_shape
from slowfast.utils.random import STREAM_AUG_SEED, sample_rng

__all__ = ["FakeClips"]

_LENGTH = 10_000


class FakeClips(Dataset[Any]):
    """Training samples with the shapes of the configuration; all have the same frames.

    Args:
        cfg: The configuration.
        has_video: False for samples without frames.

    Attributes:
        variants: The same samples with clips of other shapes, for multigrid training.
    """

    def __init__(self, cfg: CfgNode, *, has_video: bool = True) -> None:
        self.num_sample, self.variants = int(cfg.AUG.NUM_SAMPLE), dict[ClipShape, FakeClips]()
        self._seed, self._classes = cfg.RNG_SEED, cfg.MODEL.NUM_CLASSES
        self._is_multi_label = cfg.DATA.MULTI_LABEL
        rng = np.random.default_rng(self._seed)
        self._fields: dict[str, np.ndarray] = {}
        shapes = build_views(cfg).shapes(cfg.DATA.NUM_FRAMES) if has_video else {AUDIO: (1,)}
        for name, shape in shapes.items():
            if name == AUDIO:
                samples = sec_to_num_samples(cfg.AUDIO.CLIP_SEC, cfg.AUDIO.SAMPLE_RATE)
                self._fields[name] = rng.uniform(-1, 1, (*shape, samples)).astype(np.float32)
                self._fields["audio_valid"] = np.ones(shape, bool)
                start = "audio_start_sec" if has_video else "clip_start_sec"
                self._fields[start] = np.zeros(shape, np.float32)
            elif len(shape) == 3:
                views, frames, side = shape
                size = (views, frames, side, side, 3)
                start = "clip_start_sec" if name == "video" else f"{name}_start_sec"
                self._fields[name] = rng.integers(0, 256, size, dtype=np.uint8)
                self._fields[start] = np.zeros(views, np.float32)
            else:  # a label per view
                self._fields[name] = np.zeros(shape, np.int64)

    def __len__(self) -> int:
        return _LENGTH

    def path(self, index: int) -> str:
        """Return the name of a sample for messages."""
        return f"fake sample {index}"

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any] | list[dict[str, Any]]:
        samples = [self._sample(*key, repeat) for repeat in range(self.num_sample)]
        return samples if self.num_sample > 1 else samples[0]

    def _sample(self, epoch: int, index: int, repeat: int) -> dict[str, Any]:
        label: Any = index % self._classes
        if self._is_multi_label:
            label = (np.arange(self._classes) == label).astype(np.float32)
        rng = sample_rng(self._seed, epoch, index, STREAM_AUG_SEED + repeat)
        return {
            **self._fields,
            "label": label,
            "index": index,
            "view": np.arange(len(self._fields["clip_start_sec"])),
            "aug_seed": int(rng.integers(2**62)),
        }


def _build(cfg: CfgNode, split: str, *, has_video: bool) -> FakeClips:
    if split != "train":
        raise ConfigValueError(
            "TEST.DATASET", "got fake data, which measures training only; nothing can be tested."
        )
    dataset = FakeClips(cfg, has_video=has_video)
    for clip in MultigridSchedule.from_cfg(cfg).clip_shapes():
        dataset.variants[clip] = FakeClips(at_shape(cfg, clip), has_video=has_video)
    return dataset


@DATASET_REGISTRY.register(splits=lambda cfg: {"train"})
def fake(cfg: CfgNode, split: str) -> FakeClips:
    """Build clips of noise."""
    return _build(cfg, split, has_video=True)


@DATASET_REGISTRY.register(splits=lambda cfg: {"train"}, audio_only=True)
def fake_audio(cfg: CfgNode, split: str) -> FakeClips:
    """Build audio of noise."""
    return _build(cfg, split, has_video=False)
