"""What a media file holds, and from when to when."""

from __future__ import annotations

import math
from typing import NamedTuple

import av

from slowfast.datasets.media_file import (
    MediaFile,
    MediaLocation,
    Span,
    demux,
    open_container,
    ticks_per_sec,
)

__all__ = ["MediaInfo", "track_spans"]

_TAILS_SEC = (1.0, 10.0, math.inf)
"""Packets are looked at from so long before the file's end, in turn, to find a track's end."""


class MediaInfo(NamedTuple):
    """Facts of a media file.

    Times are in seconds on the file's own clock. Its zero is the first instant that the video or
    the sound presents, whichever comes first; both are placed on it by their timestamps.

    Attributes:
        has_video: Whether there is a video track; covers and thumbnails are none.
        has_audio: Whether there is an audio track.
        video_start_sec: When the first frame appears.
        video_end_sec: When the last frame disappears, as the container tells; a damaged file may
            end before. 0 without video, as all numbers of a track that is not there.
        audio_start_sec: When the sound starts.
        audio_end_sec: When the sound ends.
        width: Of the upright picture with square pixels, in pixels.
        height: Of the upright picture with square pixels, in pixels.
        rotation: Degrees, counter-clockwise, that frames are turned to be upright: 0, 90, 180, 270.
        pixel_aspect: Width of a coded pixel by its height; honoured in ``width``.
        fps: Mean frame rate, in Hz; 0 where the container does not tell.
        video_codec: Name of the decoder, or "".
        audio_codec: Name of the decoder, or "".
        sample_rate_hz: Of the track, before resampling.
        channels: Of the track, before mixing.
        container: FFmpeg's name of the format.
        zero_sec: Where the clock's zero lies on the container's own clock.
    """

    has_video: bool
    has_audio: bool
    video_start_sec: float = 0.0
    video_end_sec: float = 0.0
    audio_start_sec: float = 0.0
    audio_end_sec: float = 0.0
    width: int = 0
    height: int = 0
    rotation: int = 0
    pixel_aspect: float = 1.0
    fps: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    container: str = ""
    zero_sec: float = 0.0

    @property
    def duration_sec(self) -> float:
        """When the longer of the two tracks ends."""
        return max(self.video_end_sec, self.audio_end_sec)


def track_spans(file: MediaFile) -> dict[int, Span]:
    """Find from when to when the chosen tracks last.

    What the container declares is taken, unless it declares nothing or the frame rate varies (mp4
    then adds up durations in the order of decoding, and may miss the last frames): then the packets
    at the file's end tell.

    Args:
        file: The open file; it is not moved.

    Returns:
        A span per track index. A track without any packet has none.
    """
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for index in (file.video_index, file.audio_index):
        if index is None:
            continue
        stream = file.container.streams[index]
        starts[index] = stream.start_time or 0
        steady = stream.type == "audio" or stream.average_rate == stream.guessed_rate
        if stream.duration and stream.duration > 0 and steady:
            ends[index] = starts[index] + stream.duration
    for tail_sec in _TAILS_SEC:
        missing = [index for index in starts if index not in ends]
        if missing:
            ends |= _last_ticks(file.location, missing, tail_sec)
    return {
        index: Span(start, max(start, ends[index]), ticks_per_sec(file.container.streams[index]))
        for index, start in starts.items()
        if index in ends
    }


def _last_ticks(location: MediaLocation, indices: list[int], tail_sec: float) -> dict[int, int]:
    """Return when the last packet of each track ends, from the packets at a file's end."""
    ends: dict[int, int] = {}
    with open_container(location) as container:
        streams = [container.streams[index] for index in indices]
        length = container.duration or 0
        goal = (container.start_time or 0) + length - int(min(tail_sec * av.time_base, length))
        try:
            if length and goal > 0:
                container.seek(goal, any_frame=True)
            for packet in demux(container, streams):
                if packet.pts is not None:
                    end = packet.pts + _duration(packet)
                    ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
        except (av.FFmpegError, OSError):
            pass  # A damaged end: what was seen before it stands.
    return ends


def _duration(packet: av.Packet) -> int:
    """Return a packet's duration; where none is stored, one frame period."""
    rate = getattr(packet.stream, "average_rate", None)
    if packet.duration or not rate:
        return packet.duration or 0
    return round(ticks_per_sec(packet.stream) / float(rate))
