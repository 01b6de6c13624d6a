"""Small media files of every kind for tests, made with PyAV: frames carry their number.

The upper half of frame k shows k as twelve bars, one per bit, so that a test knows which frame it
got without decoding the file in another way. The lower half moves. Audio is a sweep, which looks
different at every instant; ``click_sec`` and ``flash`` plant one event in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.stream import Disposition

BITS = 12
FPS = 30
NUM_FRAMES = 60
SECONDS = NUM_FRAMES / FPS
SIZE = (96, 64)

X264 = {"preset": "veryfast", "bf": "3", "g": "20", "sc_threshold": "0"}
CLEAN_AAC = {"aac_pns": "0"}
"""Without noise substitution, whose noise is sampled again at every decoding."""


class Video(NamedTuple):
    """A video track. ``ticks`` are the frames' times in units of 1 / fps."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = X264
    ticks: Sequence[int] = range(NUM_FRAMES)
    fps: Fraction | int = FPS
    size: tuple[int, int] = SIZE
    flash: int | None = None
    rotation: int = 0
    aspect: Fraction | None = None
    colors: tuple[int, int] | None = None  # (matrix, range)
    still: np.ndarray | None = None


class Audio(NamedTuple):
    """An audio track from ``start_sec`` on; ``samples`` float32 (C, n) replaces the sweep."""

    codec: str = "aac"
    rate: int = 44100
    layout: str = "stereo"
    options: dict[str, str] = CLEAN_AAC
    seconds: float = SECONDS
    start_sec: float = 0.0
    click_sec: float | None = None
    samples: np.ndarray | None = None


def numbered_frame(number: int, size: tuple[int, int] = SIZE, *, flash: bool = False) -> np.ndarray:
    """Render frame ``number``: uint8 (H, W, 3)."""
    width, height = size
    row, column = np.mgrid[:height, :width]
    moving = 128 + 60 * np.sin((column + 3 * number) / 9) + 40 * np.cos((row - 2 * number) / 7)
    frame = np.stack([moving, np.roll(moving, 5, 1), 255 - moving], axis=-1).clip(0, 255)
    if flash:
        frame[:] = 255
    bars = (number >> (np.arange(width) * BITS // width)) & 1
    frame[: height // 2] = np.where(bars, 215, 40)[None, :, None]
    return frame.astype(np.uint8)


def read_number(frame: np.ndarray) -> int:
    """Read a frame's number: the inverse of ``numbered_frame``, at any size."""
    height, width = frame.shape[:2]
    rows = frame[height // 8 : max(height * 3 // 8, height // 8 + 1)].mean(axis=(0, 2))
    centers = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return int(sum(1 << bit for bit, column in enumerate(centers) if rows[column] > 128))


def read_numbers(frames: np.ndarray) -> list[int]:
    return [read_number(frame) for frame in frames]


def sweep(seconds: float, rate: int, channels: int, click_sec: float | None = None) -> np.ndarray:
    """A tone that rises from 200 to 1600 Hz, float32 (C, n); soft with a loud click."""
    time = np.arange(round(seconds * rate)) / rate
    level = 0.3 if click_sec is None else 0.01
    wave = level * np.sin(2 * np.pi * (200 * time + 700 * time**2 / max(seconds, 1e-3)))
    if click_sec is not None:
        wave[abs(time - click_sec) <= 0.5e-3] = 0.9
    return np.tile(wave.astype(np.float32), (channels, 1))


def write_media(
    path: Path,
    *tracks: Video | Audio,
    cover: bool = False,
    subtitle: bool = False,
    options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Write a file with those tracks, in that order."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        streams = [_add_track(out, track) for track in tracks]
        extras = [
            add(out, path) for add, wanted in ((_cover, cover), (_subtitle, subtitle)) if wanted
        ]
        for packets in extras:
            for packet in packets:
                out.mux(packet)
        for stream, track in zip(streams, tracks, strict=True):
            encode = _encode_video if isinstance(track, Video) else _encode_audio
            encode(out, stream, track)
    return path


def write_many_channels(path: Path, codec: str, layout: str, seconds: float = 1.0) -> Path:
    """Write a tone of 440 Hz in any number of channels.

    Packed: PyAV cannot write more than seven planes.
    """
    rate = 48000
    channels = len(av.AudioLayout(layout).channels)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    samples = tone.astype(np.float32).repeat(channels)[None]
    whole = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
    whole.sample_rate = rate
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        converter = av.AudioResampler(stream.codec_context.format, layout, rate)
        fifo, position = av.AudioFifo(), 0
        for part in converter.resample(whole):
            part.pts = None
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while (frame := fifo.read(size) or fifo.read(size, partial=True)) is not None:
            frame.pts, position = position, position + frame.samples
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _cover(out: Any, path: Path) -> Iterator[av.Packet]:
    stream = out.add_stream("png")
    stream.width, stream.height, stream.pix_fmt = 40, 40, "rgb24"
    stream.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.zeros((40, 40, 3), np.uint8), format="rgb24")
    return (packet for image in (frame, None) for packet in stream.encode(image))


def _subtitle(out: Any, path: Path) -> Iterator[av.Packet]:
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    with av.open(str(text)) as media:
        stream = out.add_stream_from_template(media.streams[0])
        packets = [packet for packet in media.demux() if packet.dts is not None]
    for packet in packets:
        packet.stream = stream
    return iter(packets)


def _add_track(out: Any, track: Video | Audio) -> Any:
    if isinstance(track, Audio):
        stream = out.add_stream(
            track.codec,
            rate=track.rate,
            layout=track.layout,
            options={"strict": "-2"} | track.options,
        )
        stream.bit_rate = 128_000
        return stream
    stream = out.add_stream(track.codec, rate=track.fps, options=dict(track.options))
    stream.width, stream.height = track.size
    stream.pix_fmt = track.pix_fmt
    if track.rotation:
        stream.set_display_rotation(track.rotation)
    if track.aspect is not None:
        stream.codec_context.sample_aspect_ratio = track.aspect
    if track.colors is not None:
        stream.codec_context.colorspace, stream.codec_context.color_range = track.colors
    return stream


def _encode_video(out: Any, stream: Any, track: Video) -> None:
    for number, tick in enumerate(track.ticks):
        if track.still is None:
            image = numbered_frame(number, track.size, flash=number == track.flash)
        else:
            image = track.still
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = tick
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _encode_audio(out: Any, stream: Any, track: Audio) -> None:
    channels = len(av.AudioLayout(track.layout).channels)
    samples = track.samples
    if samples is None:
        samples = sweep(track.seconds, track.rate, channels, track.click_sec)
    whole = av.AudioFrame.from_ndarray(samples, format="fltp", layout=track.layout)
    whole.sample_rate = track.rate
    converter = av.AudioResampler(stream.codec_context.format, track.layout, track.rate)
    fifo = av.AudioFifo()
    for part in converter.resample(whole) if whole.samples else []:
        part.pts = None
        fifo.write(part)
    size, position = stream.codec_context.frame_size or 1024, round(track.start_sec * track.rate)
    while (frame := fifo.read(size) or fifo.read(size, partial=True)) is not None:
        frame.pts, frame.time_base = position, Fraction(1, track.rate)
        position += frame.samples
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def remux(source: Path, target: Path, *, from_sec: float = 0.0, shift_sec: float = 0.0) -> Path:
    """Copy packets from the keyframe before an instant on, moved in time: a stream-copied cut."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as media, av.open(str(target), "w", options=options) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in media.streams}
        media.seek(round(from_sec * av.time_base))
        for packet in media.demux():
            if packet.dts is None:
                continue
            move = round(shift_sec / packet.time_base)
            packet.pts, packet.dts = packet.pts + move, packet.dts + move
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return target
