"""From a collated batch of uint8 frames and waveforms to the inputs of the models, on their device.

Training, evaluation and export all use this module. Workers send uint8 frames, a quarter of the
size of float32; normalization and spectrograms are computed here.

Legend: B batch, V views, A audio clips per sample, T frames, H W height and width, N samples of a
waveform, F mel bins, S time frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.config.checks import register_check
from slowfast.config.problems import ConfigValueError, ParameterError, Problem, keys
from slowfast.datasets.preprocess.audio_augment import (
    SpecAugment,
    build_spec_augment,
    volume_jitter,
)
from slowfast.datasets.preprocess.mixup import Mixup, build_mixup
from slowfast.datasets.preprocess.spectrogram import Spectrogram, build_spectrogram
from slowfast.utils.env import uses_channels_last
from slowfast.utils.random import STREAM_AUDIO_CLIP, spawn_seeds

__all__ = [
    "AudioPreprocess",
    "BatchPreprocess",
    "VideoPreprocess",
    "build_preprocess",
    "check_preparation",
]

_MAX_BYTE = 255.0


class VideoPreprocess(nn.Module):
    """Converts uint8 frames into normalized floats, channels first.

    Args:
        mean: Mean of R, G, B in units of [0, 1].
        std: Standard deviation of R, G, B in units of [0, 1].
        reverse_channels: Return B, G, R, each normalized with its own mean and standard deviation.
        dtype: Floating-point dtype of the output.
        channels_last: Use the channels-last memory format; shapes are the same. Convolutions of a
            model in this format are faster on many devices.

    Raises:
        ValueError: If there are not three means and three positive standard deviations.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        reverse_channels: bool = False,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if len(mean) != 3:
            raise ParameterError("mean", f"got {list(mean)}; expected three numbers, for R, G, B.")
        if len(std) != 3 or min(std) <= 0:
            raise ParameterError(
                "std", f"got {list(std)}; expected three positive numbers, for R, G, B."
            )
        self.reverse_channels = reverse_channels
        self.channels_last = channels_last
        mean64, std64 = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
        # (x / 255 - mean) / std as one multiplication and one addition.
        scale, shift = 1 / (_MAX_BYTE * std64), -mean64 / std64
        if reverse_channels:
            scale, shift = scale.flip(0), shift.flip(0)
        for name, value in (("scale", scale), ("shift", shift)):
            self.register_buffer(name, value.to(dtype).view(3, 1, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        """Normalize a batch.

        Args:
            video: uint8 (B, V, T, H, W, 3), RGB.

        Returns:
            float (B, V, 3, T, H, W), contiguous in the selected memory format.

        Raises:
            ValueError: If ``video`` has another dtype or shape.
        """
        if video.dtype != torch.uint8 or video.dim() != 6 or video.shape[-1] != 3:
            raise ValueError(
                f"video: got {video.dtype} of shape {tuple(video.shape)}; expected uint8 "
                "(B, V, T, H, W, 3)."
            )
        if self.reverse_channels:
            video = video.flip(-1)
        channels_first = video.permute(0, 1, 5, 2, 3, 4)  # (B, V, 3, T, H, W)
        if not self.channels_last:
            channels_first = channels_first.contiguous()  # a copy of bytes is faster than of floats
        pixels = channels_first.to(self.scale.dtype)
        shift, scale = (self._repeat(v, video.shape[4]) for v in (self.shift, self.scale))
        if torch.compiler.is_dynamo_compiling():  # in place, it would end the graph
            return torch.addcmul(shift, pixels, scale)
        return torch.addcmul(shift, pixels, scale, out=pixels)

    def _repeat(self, values: Tensor, width: int) -> Tensor:
        """Repeat one value per channel along a row of pixels, (3, 1, 1, W), in their layout.

        With the layout of the pixels ``addcmul`` is vectorized; with (3, 1, 1, 1) it is not, and
        takes three to six times as long on CPUs.
        """
        if self.channels_last:
            return values.view(1, 1, 1, 3).repeat(1, 1, width, 1).permute(3, 0, 1, 2)
        return values.repeat(1, 1, 1, width)


class AudioPreprocess(nn.Module):
    """Converts waveforms into normalized log-mel spectrograms, optionally with augmentation.

    Args:
        spectrogram: The front end.
        mean: Mean of the log energies, which is subtracted.
        std: Standard deviation of the log energies, which they are divided by.
        volume: [lowest, highest] factor of the waveform; None or [1, 1]: no volume jitter.
        spec_augment: SpecAugment; None: no masks.
        dtype: Floating-point dtype of the computation and the output.

    Raises:
        ValueError: If ``std`` is not positive or ``volume`` is not a range.
    """

    def __init__(
        self,
        spectrogram: Spectrogram,
        *,
        mean: float = 0.0,
        std: float = 1.0,
        volume: Sequence[float] | None = None,
        spec_augment: SpecAugment | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if std <= 0:
            raise ParameterError("std", f"got {std}; expected a positive number.")
        if volume is not None and (len(volume) != 2 or not 0 <= volume[0] <= volume[1]):
            raise ParameterError(
                "volume", f"got {list(volume)}; expected [low, high] with 0 <= low <= high."
            )
        self.spectrogram, self.spec_augment = spectrogram, spec_augment
        self.mean, self.std, self.dtype = mean, std, dtype
        self.volume = None if volume is None or tuple(volume) == (1, 1) else tuple(volume)

    def forward(self, audio: Tensor, aug_seed: Tensor | None = None) -> Tensor:
        """Compute the spectrograms of a batch.

        Args:
            audio: float (B, A, N), waveforms in [-1, 1].
            aug_seed: int64 (B,). Required only for augmentation; the clips of a sample are
                augmented independently.

        Returns:
            float (B, A, 1, F, S).

        Raises:
            ValueError: If ``audio`` has another dtype or shape, or ``aug_seed`` is missing.
        """
        if audio.dim() != 3 or not audio.is_floating_point():
            raise ValueError(
                f"audio: got {audio.dtype} of shape {tuple(audio.shape)}; expected float (B, A, N)."
            )
        clips = audio.shape[1]
        waves = audio.flatten(0, 1).to(self.dtype)  # (B * A, N)
        seeds = self._clip_seeds(aug_seed, clips)
        if self.volume is not None and seeds is not None:
            waves = volume_jitter(waves, seeds, *self.volume)
        log_mel = (self.spectrogram(waves) - self.mean) / self.std  # (B * A, 1, F, S)
        if self.spec_augment is not None and seeds is not None:
            log_mel = self.spec_augment(log_mel, seeds)
        return log_mel.unflatten(0, (audio.shape[0], clips))  # (B, A, 1, F, S)

    def _clip_seeds(self, aug_seed: Tensor | None, clips: int) -> Tensor | None:
        """Derive a seed for every audio clip: int64 (B * A,); None if nothing is augmented."""
        if self.volume is None and self.spec_augment is None:
            return None
        if aug_seed is None:
            raise ValueError(
                "aug_seed: got None; expected int64 (B,), as volume or spec_augment is set."
            )
        return spawn_seeds(aug_seed, STREAM_AUDIO_CLIP, clips).flatten()


class BatchPreprocess(nn.Module):
    """Moves a batch to the device and preprocesses its video and audio.

    Move it to the device like a model, with ``preprocess.to(device)``. It has no parameters and an
    empty state dict.

    Args:
        video: Preprocesses ``batch["video"]`` and every ``batch["video_..."]`` of uint8 frames.
        audio: Preprocesses ``batch["audio"]``; None: the waveforms are returned unchanged.
        mixup: Mixes frames and labels; None: they are not mixed.
    """

    def __init__(
        self,
        video: VideoPreprocess,
        audio: AudioPreprocess | None = None,
        mixup: Mixup | None = None,
    ) -> None:
        super().__init__()
        self.video, self.audio, self.mixup = video, audio, mixup

    @torch.no_grad()
    def forward(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Preprocess a batch.

        Args:
            batch: A collated batch; not changed. Both video and audio may be absent.

        Returns:
            A new batch on the device. ``video`` and other fields of frames are normalized float
            (B, V, 3, T, H, W), ``audio`` is a normalized log-mel spectrogram, float
            (B, A, 1, F, S). With mixup, ``label`` is float (B, C).

        Raises:
            ValueError: If an entry has the wrong dtype or shape.
        """
        device = self.video.scale.device
        # From pinned memory, the copies overlap with the computation.
        out = {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }
        for name, value in out.items():
            if name == "video" or (name.startswith("video_") and value.dtype == torch.uint8):
                out[name] = self.video(value)
        if "audio" in out and self.audio is not None:
            out["audio"] = self.audio(out["audio"], out.get("aug_seed"))
        if self.mixup is not None:
            # Read on the host, before it is copied: the device need not be waited for.
            out = self.mixup(out, seed=int(batch["aug_seed"][0]))
        return out


def build_preprocess(
    cfg: CfgNode, train: bool, *, mix: bool = False, dtype: torch.dtype = torch.float32
) -> BatchPreprocess:
    """Build the preprocessing of batches.

    Args:
        cfg: The configuration.
        train: Augment the audio (``AUDIO.VOLUME_JITTER``, ``AUDIO.SPECAUG``). If False, nothing is
            random.
        mix: Mix batches as in ``MIXUP``: for training steps, but not for the statistics of batch
            norm.
        dtype: Floating-point dtype of the outputs; float64 is used by tests of accuracy.

    Returns:
        The module, on the CPU; ``.to(device)`` moves it.

    Raises:
        ValueError: If a setting is out of range.
    """
    data = cfg.DATA
    with keys(mean="DATA.MEAN", std="DATA.STD"):
        video = VideoPreprocess(
            mean=data.MEAN,
            std=data.STD,
            reverse_channels=data.REVERSE_INPUT_CHANNEL,
            dtype=dtype,
            channels_last=uses_channels_last(cfg),
        )
    audio = _build_audio(cfg, train, dtype) if cfg.AUDIO.ENABLE else None
    return BatchPreprocess(video, audio, build_mixup(cfg) if mix else None)


def _build_audio(cfg: CfgNode, train: bool, dtype: torch.dtype) -> AudioPreprocess:
    """Build the preprocessing of audio."""
    spectrogram = build_spectrogram(cfg)
    with keys(std="AUDIO.STD", volume="AUDIO.VOLUME_JITTER"):
        return AudioPreprocess(
            spectrogram,
            mean=cfg.AUDIO.MEAN,
            std=cfg.AUDIO.STD,
            volume=cfg.AUDIO.VOLUME_JITTER if train else None,
            spec_augment=build_spec_augment(cfg) if train else None,
            dtype=dtype,
        )


@register_check
def check_preparation(cfg: CfgNode) -> list[Problem]:
    """Find settings of the preprocessing that are out of range.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem, the first of video or audio.
    """
    try:
        build_preprocess(cfg, train=True)
    except ConfigValueError as error:
        return [error.problem]
    return []
