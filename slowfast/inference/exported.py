"""What is exported of a frozen model: its inputs and outputs, examples of them, their description.

Legend: B batch, T frames, N samples of a waveform, F mel bins, S time frames, C channels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slowfast import __version__
from slowfast.config import ParameterError
from slowfast.datasets.preprocess.batch import BatchPreprocess
from slowfast.datasets.preprocess.spectrogram import LOG_FLOOR, LogMelSpectrogram
from slowfast.inference.frozen import FrozenModel

__all__ = ["INPUT_KINDS", "EncoderModule", "describe", "make_inputs", "wrap_encoder"]

INPUT_KINDS = ("raw", "normalized")
"""``raw``: uint8 frames and waveforms. ``normalized``: float frames and log-mel spectrograms."""

_NAMES = {
    "raw": {"video": "frames", "audio": "waveform"},
    "normalized": {"video": "normalized_frames", "audio": "log_mel"},
}
"""Names of the inputs; they differ from those of the outputs, as ONNX requires."""


class EncoderModule(nn.Module):
    """The encoder as a function of one clip per row, to tensors by name.

    Args:
        encoder: A module with ``embed(batch)``.
        skipped: Outputs that are left out, such as logits of a head that was not trained.
    """

    def __init__(self, encoder: nn.Module, skipped: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.encoder, self.skipped = encoder, skipped

    def embed(self, video: Tensor | None, audio: Tensor | None) -> dict[str, Tensor]:
        """Compute the outputs of ``embed`` for one view, (B, C) each; inputs have no view axis."""
        inputs = {"video": video, "audio": audio}
        batch = {name: value.unsqueeze(1) for name, value in inputs.items() if value is not None}
        outputs = self.encoder.embed(batch)  # type: ignore[operator]
        return {name: value[:, 0] for name, value in outputs.items() if name not in self.skipped}


class _ScaledLogMel(LogMelSpectrogram):
    """The same spectrogram, without an addition of a number that is almost zero.

    The optimizer of onnxscript takes 1e-10 for 0 and removes it: quiet bins would be -inf.
    """

    def compress(self, energies: Tensor) -> Tensor:
        """Return ln(energy + floor)."""
        return (energies / LOG_FLOOR + 1).log() + math.log(LOG_FLOOR)


def _audio_for_onnx(prepare: BatchPreprocess) -> BatchPreprocess:
    """Compute spectrograms in float64: Fourier transforms of runtimes are less exact."""
    prepare = copy.deepcopy(prepare)
    if prepare.audio is not None:
        prepare.audio.dtype = torch.float64
        if type(prepare.audio.spectrogram) is LogMelSpectrogram:
            prepare.audio.spectrogram.__class__ = _ScaledLogMel
    return prepare


class _RawEncoder(EncoderModule):
    """Preprocesses, then encodes."""

    def __init__(
        self, encoder: nn.Module, prepare: BatchPreprocess, skipped: frozenset[str]
    ) -> None:
        super().__init__(encoder, skipped)
        self.prepare = prepare

    def forward(
        self, frames: Tensor | None = None, waveform: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Embed uint8 (B, T, H, W, 3) and float (B, N)."""
        video = None if frames is None else self.prepare.video(frames.unsqueeze(1))[:, 0]
        audio = waveform
        if waveform is not None and self.prepare.audio is not None:
            audio = self.prepare.audio(waveform.unsqueeze(1))[:, 0].float()
        return self.embed(video, audio)


class _NormalizedEncoder(EncoderModule):
    """Encodes what is preprocessed already."""

    def forward(
        self, normalized_frames: Tensor | None = None, log_mel: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Embed float (B, 3, T, H, W) and float (B, 1, F, S)."""
        return self.embed(normalized_frames, log_mel)


def wrap_encoder(model: FrozenModel, kind: str, *, for_onnx: bool = False) -> EncoderModule:
    """Wrap the encoder of a model.

    Args:
        model: The model.
        kind: One of ``INPUT_KINDS``.
        for_onnx: Write what ONNX would round in another way, with the same results.

    Returns:
        A module in evaluation mode, whose keyword arguments are those of ``make_inputs``.

    Raises:
        ParameterError: If the kind is unknown, or the encoder reads waveforms and is not exported
            as "raw".
    """
    if kind not in INPUT_KINDS:
        raise ParameterError("inputs", f"got {kind!r}; expected {' or '.join(INPUT_KINDS)}.")
    if kind != "raw" and "audio" in model.modalities and model.prepare.audio is None:
        raise ParameterError("inputs", f"got {kind!r}, but {model.name} reads waveforms; use raw.")
    skipped = frozenset("logits" if name == "scores" else name for name in model.without)
    if kind == "raw":
        prepare = _audio_for_onnx(model.prepare) if for_onnx else model.prepare
        return _RawEncoder(model.encoder, prepare, skipped).eval()
    return _NormalizedEncoder(model.encoder, skipped).eval()


def make_inputs(
    model: FrozenModel, kind: str, batch_size: int, *, seed: int, is_noise: bool
) -> dict[str, Tensor]:
    """Make inputs to export and to compare with.

    Args:
        model: The model.
        kind: One of ``INPUT_KINDS``.
        batch_size: B.
        seed: Seed of the values.
        is_noise: Noise, else a moving pattern and a chord with pauses, sampled and cropped as a
            file is.

    Returns:
        One tensor per input of the wrapped encoder.
    """
    random = torch.Generator().manual_seed(seed)
    views = [_collate_pattern(model, seed + row) for row in range(batch_size)]
    batch = {name: torch.cat([view[name] for view in views]) for name in views[0]}
    for name, value in batch.items():
        if is_noise and name == "video":
            batch[name] = torch.randint(0, 256, value.shape, generator=random, dtype=value.dtype)
        elif is_noise:
            batch[name] = 0.1 * torch.randn(value.shape, generator=random)
    prepared = model.prepare(batch)
    unused, names = _unused(model, prepared), _NAMES[kind]
    chosen = prepared if kind == "normalized" else batch
    return {names[name]: chosen[name][:, 0] for name in batch if name not in unused}


def _collate_pattern(model: FrozenModel, seed: int) -> dict[str, Tensor]:
    """Make the first view of a moving pattern with a chord, as it is read from a file."""
    cfg, arrays = model.cfg, dict[str, Any]()
    if "video" in model.modalities:
        count, side = 2 * max(cfg.DATA.NUM_FRAMES, 2), cfg.DATA.TEST_CROP_SIZE
        height, width = side + 8, side + 24
        t, y, x, c = np.ogrid[:count, :height, :width, :3]
        waves = np.sin(x / 5 + t / 3 + c + seed) + np.cos(y / 7 - t / 5 + seed * c)
        arrays["frames"] = np.clip(127 + 60 * waves, 0, 255).astype(np.uint8)
    if "audio" in model.modalities:
        seconds = 2 * cfg.AUDIO.CLIP_SEC
        if "frames" in arrays and math.isfinite(model.clip_sec):
            seconds = max(seconds, model.clip_sec)
        time = np.arange(round(seconds * cfg.AUDIO.SAMPLE_RATE)) / cfg.AUDIO.SAMPLE_RATE
        chord = sum(np.sin(2 * np.pi * hz * time) for hz in (220, 554 + 50 * seed, 3520))
        arrays["audio"] = (0.1 * chord * (time % 0.2 < 0.12)).astype(np.float32)
    batch = model.collate(**arrays)
    return {name: batch[name][:, :1] for name in ("video", "audio") if name in batch}


def _unused(model: FrozenModel, batch: Mapping[str, Tensor]) -> set[str]:
    """Find inputs that the encoder does not read, such as audio of a video classifier."""
    if len(batch) < 2:
        return set()
    with torch.no_grad():
        first = model.encoder.embed(dict(batch))  # type: ignore[operator]
        found = set()
        for name, value in batch.items():
            other = model.encoder.embed({**batch, name: value + 1})  # type: ignore[operator]
            if all(first[key].equal(other[key]) for key in first):
                found.add(name)
    return found


def describe(
    model: FrozenModel, kind: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Describe an exported model, for a program that has no other source.

    Args:
        model: The model.
        kind: One of ``INPUT_KINDS``.
        inputs: Inputs, any batch size.
        outputs: Outputs for them.

    Returns:
        Plain values for JSON.
    """
    cfg, sources = model.cfg, {name: source for source, name in _NAMES[kind].items()}
    used = {sources[name] for name in inputs}
    content: dict[str, Any] = {
        "name": model.name,
        "model": cfg.MODEL.MODEL_NAME,
        "arch": cfg.MODEL.ARCH if "video" in used else cfg.AUDIO.ARCH,
        "library": f"slowfast-stica {__version__}",
        "torch": torch.__version__,
        "preprocessing": kind,
        "inputs": {name: _describe_tensor(value) for name, value in inputs.items()},
        "outputs": {name: _describe_tensor(value) for name, value in outputs.items()},
    }
    for name, value in inputs.items():
        content["inputs"][name]["axes"] = _AXES[kind][sources[name]][: value.dim()]
    if "video" in used:
        content["video"] = _describe_video(model)
    if "audio" in used:
        content["audio"] = _describe_audio(model)
    if "logits" in outputs:
        content |= {"class_names": model.class_names, "activation": cfg.MODEL.HEAD_ACT}
    return content


_AXES = {
    "raw": {
        "video": ["batch", "frames", "height", "width", "RGB"],
        "audio": ["batch", "samples"],
    },
    "normalized": {
        "video": ["batch", "channels", "frames", "height", "width"],
        "audio": ["batch", "channel", "mel bins", "time frames"],
    },
}


def _describe_tensor(value: Tensor) -> dict[str, Any]:
    return {"dtype": str(value.dtype).removeprefix("torch."), "shape": ["batch", *value.shape[1:]]}


def _describe_video(model: FrozenModel) -> dict[str, Any]:
    data = model.cfg.DATA
    fps = None if math.isinf(model.clip_sec) else data.TARGET_FPS / data.SAMPLING_RATE
    return {
        "num_frames": data.NUM_FRAMES,
        "fps": fps,  # None: evenly over the video
        "short_side": data.TEST_CROP_SIZE,
        "crop_size": data.TEST_CROP_SIZE,
        "channels": "BGR" if data.REVERSE_INPUT_CHANNEL else "RGB",
        "mean": list(data.MEAN),
        "std": list(data.STD),
    }


def _describe_audio(model: FrozenModel) -> dict[str, Any]:
    audio = model.cfg.AUDIO
    content = {"sample_rate": audio.SAMPLE_RATE, "clip_sec": audio.CLIP_SEC, "channels": 1}
    prepare = model.prepare.audio
    if prepare is None:
        return content
    front = prepare.spectrogram
    return content | {
        "spectrogram": type(front).__name__,
        "num_mel": front.num_mel,
        "window_sec": audio.WINDOW_SEC,
        "hop_sec": audio.HOP_SEC,
        "fft_size": front.fft_size,
        "mean": prepare.mean,
        "std": prepare.std,
    }
