"""The files that are read: a panning texture with grain, and noise in bands as audio."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.prepare.encode import (
    encode_media,
    expected_provenance_tag,
    read_provenance_tag,
)
from slowfast.datasets.prepare.settings import EncodeSettings

FPS, AUDIO_HZ = 30, 48000
TEXTURE_MARGIN, GRAINS = 256, 8
SIZES = {"340x256": (340, 256), "480p": (854, 480), "1080p": (1920, 1080), "64x48": (64, 48)}
# Presets that encode fast; what they leave out costs size, hardly decoding time.
CODECS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "h264": ("libx264", "aac", "mp4", {"preset": "fast", "crf": "23"}),
    "hevc": (
        "libx265",
        "aac",
        "mp4",
        {"preset": "superfast", "crf": "26", "x265-params": "log-level=error:pools=1"},
    ),
    "vp9": (
        "libvpx-vp9",
        "libopus",
        "webm",
        {"deadline": "realtime", "cpu-used": "7", "b": "0", "crf": "40"},
    ),
    "av1": ("libsvtav1", "aac", "mp4", {"preset": "10", "crf": "32"}),
}


class Clip(NamedTuple):
    """A file to be read.

    Attributes:
        size: Key of SIZES.
        codec: Key of CODECS.
        gop: Frames from one keyframe to the next.
        prepared: It is the copy of such a file that ``slowfast prepare_data`` makes.
        seconds: Length.
    """

    size: str
    codec: str
    gop: int
    prepared: bool = False
    seconds: int = 10

    @property
    def name(self) -> str:
        """Name in results."""
        return f"{self.size} {self.codec} gop {self.gop}" + (" prepared" if self.prepared else "")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.seconds * FPS

    def path(self, folder: Path) -> Path:
        """Where it is kept."""
        suffix = "mp4" if self.prepared else CODECS[self.codec][2]
        return folder / f"{self.name.replace(' ', '_')}_{self.seconds}s.{suffix}"


def make_clip(clip: Clip, folder: Path) -> Path:
    """Make the file of a clip unless it is there; a copy also if the defaults have changed.

    Args:
        clip: The clip.
        folder: Where files are kept.

    Returns:
        Its path.
    """
    path = clip.path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if clip.prepared:
        source, settings = make_clip(clip._replace(prepared=False), folder), EncodeSettings()
        known = read_provenance_tag(path) if path.exists() else ""
        if known != expected_provenance_tag(source, settings):
            encode_media(source, path, settings, lambda: None)
        return path
    if path.exists():
        return path
    temporary = path.with_name(f"partial_{path.name}")
    _encode(clip, temporary)
    temporary.replace(path)
    return path


def _encode(clip: Clip, path: Path) -> None:
    codec, audio_codec, _, options = CODECS[clip.codec]
    (width, height), rng = SIZES[clip.size], np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=FPS, options={**options, "g": str(clip.gop)})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio: Any = out.add_stream(audio_codec, rate=AUDIO_HZ, layout="stereo")
        for packet in _video_packets(clip, video, rng):
            out.mux(packet)
        for packet in _audio_packets(clip.seconds, audio, rng):
            out.mux(packet)


def _video_packets(clip: Clip, stream: Any, rng: np.random.Generator) -> Any:
    width, height = SIZES[clip.size]
    margin = TEXTURE_MARGIN
    luma = _texture(height + margin, width + margin, rng)
    chroma = [_texture(height // 2 + margin, width // 2 + margin, rng) for _ in "uv"]
    grain = [rng.integers(-4, 5, (height, width), np.int16) for _ in range(GRAINS)]
    for number in range(clip.num_frames):
        x, y = 2 * number % margin, number % margin
        bright = luma[y : y + height, x : x + width] + grain[number % GRAINS]
        planes = [bright.clip(16, 235).astype(np.uint8)]
        planes += [
            (128 + (c[y // 2 :, x // 2 :][: height // 2, : width // 2] - 128) // 2).astype(np.uint8)
            for c in chroma
        ]
        packed = np.concatenate([plane.ravel() for plane in planes])
        frame = av.VideoFrame.from_ndarray(packed.reshape(height * 3 // 2, width), "yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Make an image with the spectrum of natural ones (amplitude ~ 1 / frequency)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    phase = np.exp(2j * np.pi * rng.random(frequency.shape))
    image = np.fft.irfft2(phase / np.maximum(frequency, 1 / width), s=(height, width))
    return (126 + 45 * image / image.std()).clip(16, 235).astype(np.int16)


def _audio_packets(seconds: int, stream: Any, rng: np.random.Generator) -> Any:
    noise = rng.standard_normal(seconds * AUDIO_HZ)
    smooth = np.convolve(noise, np.hanning(64), "same")
    loudness = 0.1 + 0.1 * np.sin(np.arange(len(noise)) / AUDIO_HZ * 7)
    wave = (loudness * smooth / smooth.std()).clip(-1, 1).astype(np.float32)
    step = 960  # 20 ms, a length that Opus has
    for start in range(0, len(wave), step):
        block = np.repeat(wave[None, start : start + step], 2, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, start, Fraction(1, AUDIO_HZ)
        yield from stream.encode(frame)
    yield from stream.encode(None)
