"""A dataset in one file: small frames as JPEG and audio, made by ``make_clips.py``.

It needs neither PyAV nor OpenCV (frames are decoded with OpenCV or Pillow), so that real clips can
be trained on where nothing can be installed. Clips are cut to crops without resizing. As a project:
``PROJECTS ['packed_clips'] PROJECTS_PATH ['benchmarks/gpu'] TRAIN.DATASET packed_clips``.

Legend: V views, T frames, H W frame, S crop, A audio clips, N samples of an audio clip.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.utils.media_libraries import cv2
from slowfast.utils.random import STREAM_AUG_SEED, STREAM_CLIP, STREAM_VIEW, sample_rng

SPLITS = {"train": 0, "gallery": 0, "test": 1}


def add_config(cfg: CfgNode) -> None:
    """Add the section PACKED_CLIPS."""
    cfg.PACKED_CLIPS = CfgNode()
    # The file of make_clips.py.
    cfg.PACKED_CLIPS.FILE = ""


class Clips:
    """The clips of a split, decoded.

    Args:
        file: The file of ``make_clips.py``.
        split: 0: train, 1: test.

    Attributes:
        frames: Of each clip uint8 (F, H, W, 3).
        audio: Of each clip float32 (n,).
    """

    def __init__(self, file: str, split: int) -> None:
        if not Path(file).is_file():
            raise ConfigValueError(
                "PACKED_CLIPS.FILE", f"got {file!r}, no such file; make it with make_clips.py."
            )
        with np.load(file) as content:
            arrays = dict(content)
        self.fps, self.rate_hz = float(arrays["fps"]), int(arrays["rate_hz"])
        chosen = np.flatnonzero(arrays["split"] == split)
        self.names = [str(arrays["names"][i]) for i in chosen]
        self.labels = arrays["labels"][chosen].tolist()
        jpeg = np.split(arrays["jpeg"], arrays["jpeg_ends"][:-1])
        of_clips = np.split(np.arange(len(jpeg)), arrays["frame_ends"][:-1])
        audio = np.split(arrays["audio"], arrays["audio_ends"][:-1])
        self.frames = [np.stack([_decode(jpeg[f]) for f in of_clips[i]]) for i in chosen]
        self.audio = [audio[i].astype(np.float32) / 32768 for i in chosen]

    def cut(
        self, clip: int, start_sec: float, num_frames: int, clip_sec: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cut frames (T, H, W, 3) and audio (N,) from a time on; the end is repeated, or zero."""
        first = math.floor(start_sec * self.fps + 0.5)
        rows = np.minimum(first + np.arange(num_frames), len(self.frames[clip]) - 1)
        wave = np.zeros(round(clip_sec * self.rate_hz), np.float32)
        begin = round(start_sec * self.rate_hz)
        part = self.audio[clip][begin : begin + len(wave)]
        wave[: len(part)] = part
        return self.frames[clip][rows], wave

    def duration_sec(self, clip: int) -> float:
        """Return the duration of a clip, in seconds."""
        return len(self.frames[clip]) / self.fps


class PackedClips(Dataset[Any]):
    """Samples of a split, as ``DATASET_REGISTRY`` describes them.

    Args:
        cfg: The configuration.
        clips: The clips.
        is_train: Random times and crops; otherwise evenly spaced ones in the middle.
    """

    def __init__(self, cfg: CfgNode, clips: Clips, *, is_train: bool) -> None:
        data = cfg.DATA
        self.clips, self._seed, self._is_train = clips, cfg.RNG_SEED, is_train
        self._num_frames, self._clip_sec = data.NUM_FRAMES, cfg.AUDIO.CLIP_SEC
        self._side = data.TRAIN_CROP_SIZE if is_train else data.TEST_CROP_SIZE
        self._views = data.TRAIN_CROP_NUM_SPATIAL if is_train else cfg.TEST.NUM_ENSEMBLE_VIEWS
        self._flips, self.variants = data.RANDOM_FLIP, dict[Any, Any]()
        rate = data.TARGET_FPS / data.SAMPLING_RATE
        if not math.isclose(rate, clips.fps, rel_tol=0.02):
            raise ConfigValueError(
                "DATA.TARGET_FPS",
                f"{data.TARGET_FPS} / DATA.SAMPLING_RATE {data.SAMPLING_RATE} is {rate:g} frames "
                f"per second; the clips have {clips.fps:g}.",
            )
        if clips.rate_hz != cfg.AUDIO.SAMPLE_RATE:
            raise ConfigValueError(
                "AUDIO.SAMPLE_RATE", f"got {cfg.AUDIO.SAMPLE_RATE}; the clips have {clips.rate_hz}."
            )
        smallest = min(min(frames.shape[1:3]) for frames in clips.frames)
        if smallest < self._side:
            raise ConfigValueError(
                "DATA.TRAIN_CROP_SIZE", f"got {self._side}; the clips have {smallest} pixels."
            )

    def __len__(self) -> int:
        return len(self.clips.frames)

    def path(self, index: int) -> str:
        """Return the name of a clip for messages."""
        return self.clips.names[index]

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        latest = max(0.0, self.clips.duration_sec(index) - self._num_frames / self.clips.fps)
        seed = sample_rng(self._seed, epoch, index, STREAM_AUG_SEED).integers(2**62)
        if self._is_train:
            rng = sample_rng(self._seed, epoch, index, STREAM_CLIP)
            starts = [float(rng.uniform(0, latest))]
        else:
            starts = np.linspace(0, latest, self._views).tolist()
        cuts = [self.clips.cut(index, s, self._num_frames, self._clip_sec) for s in starts]
        if self._is_train:
            rngs = [
                sample_rng(self._seed, epoch, index, STREAM_VIEW + v) for v in range(self._views)
            ]
            video = [self._random_crop(cuts[0][0], rng) for rng in rngs]
        else:
            video = [self._crop(frames, 0.5, 0.5) for frames, _ in cuts]
        times = np.array(starts * (self._views if self._is_train else 1), np.float32)
        sample = {
            "video": np.stack(video),
            "audio": np.stack([wave for _, wave in cuts]),
            "audio_valid": np.ones(len(cuts), bool),
            "label": self.clips.labels[index],
            "index": index,
            "clip_start_sec": times,
            "view": np.arange(len(times)),
            "aug_seed": int(seed),
        }
        if self._is_train:
            return {**sample, "audio_start_sec": np.array(starts, np.float32)}
        return {**sample, "clip_end_sec": times + np.float32(self._num_frames / self.clips.fps)}

    def _random_crop(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        crop = self._crop(frames, *rng.uniform(size=2))
        return crop[:, :, ::-1] if self._flips and rng.random() < 0.5 else crop

    def _crop(self, frames: np.ndarray, y: float, x: float) -> np.ndarray:
        """Cut a square at a relative position."""
        top = round(y * (frames.shape[1] - self._side))
        left = round(x * (frames.shape[2] - self._side))
        return frames[:, top : top + self._side, left : left + self._side]


def _decode(jpeg: np.ndarray) -> np.ndarray:
    """Decode a JPEG: uint8 (H, W, 3), RGB."""
    if cv2:
        return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError("packed clips need OpenCV or Pillow: pip install pillow") from error
    return np.asarray(Image.open(io.BytesIO(jpeg.tobytes())).convert("RGB"))


@DATASET_REGISTRY.register(splits=lambda cfg: {"train", "test"})
def packed_clips(cfg: CfgNode, split: str) -> PackedClips:
    """Build a split."""
    clips = Clips(cfg.PACKED_CLIPS.FILE, SPLITS[split])
    return PackedClips(cfg, clips, is_train=split == "train")
