"""The plain way to read media: decode everything from the start, then pick. Slow and obvious."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation

SCALING = Interpolation.AREA | Interpolation.FULL_CHR_H_INT


def decode_video(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Decode the first real video track: times (n,) on the container's clock, RGB, one tick."""
    times, images = [], []
    with av.open(str(path)) as media:
        stream = next(
            s for s in media.streams.video if not s.disposition & Disposition.attached_pic
        )
        tick = float(stream.time_base)
        for frame in media.decode(stream):
            times.append(float(frame.pts * stream.time_base))
            image = frame.to_ndarray(format="rgb24", interpolation=SCALING)
            images.append(np.rot90(image, round(frame.rotation / 90)))
    with av.open(str(path)) as media:
        if media.format.name == "avi":  # it holds decoding times only: the n-th is the n-th shown
            stream = media.streams.video[0]
            ticks = sorted(packet.dts for packet in media.demux(stream) if packet.size)
            times = [float(k * stream.time_base) for k in ticks[: len(times)]]
    return np.array(times), np.stack(images), tick


def shown_at(times: np.ndarray, instants: np.ndarray, tick: float) -> np.ndarray:
    """Return which frame is on display at each instant, give or take the ticks' rounding."""
    slack = min(tick / 2, 5e-4) + 1e-7
    last = [max([k for k, t in enumerate(times) if t <= i + slack], default=0) for i in instants]
    return np.array(last)


def decode_audio(path: Path, rate: int) -> tuple[float, np.ndarray]:
    """Decode the first audio track: its first instant and its mean over channels, resampled."""
    with av.open(str(path)) as media:
        stream = media.streams.audio[0]
        frames = list(media.decode(stream))
        start = float((stream.start_time or 0) * stream.time_base)
        first = float((frames[0].pts or 0) * stream.time_base)
        if media.format.name == "ogg":
            first = start  # FFmpeg counts Vorbis' first packet, which has no audio
    in_rate = frames[0].sample_rate
    converter = av.AudioResampler("fltp", frames[0].layout.name)
    parts = [part.to_ndarray() for frame in frames for part in converter.resample(frame)]
    audio = np.concatenate(parts, axis=1)
    lead = np.zeros((len(audio), round((first - start) * in_rate)), np.float32)
    mono = np.concatenate([lead, audio], axis=1).mean(axis=0, keepdims=True)
    if in_rate != rate:
        whole = av.AudioFrame.from_ndarray(mono, format="fltp", layout="mono")
        whole.sample_rate = in_rate
        resampler = av.AudioResampler("fltp", "mono", rate)
        out = [*resampler.resample(whole), *resampler.resample(None)]
        mono = np.concatenate([part.to_ndarray() for part in out], axis=1)
    return start, mono[0]
