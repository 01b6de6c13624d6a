"""Properties of a media file, and start and end of its tracks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from slowfast.datasets.decoding.file import (
    MediaFile,
    MediaLocation,
    Span,
    demux,
    open_container,
    ticks_per_sec,
)
from slowfast.utils.media_libraries import READ_ERRORS, av

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

__all__ = ["MediaInfo", "track_spans"]

_WITH_TABLE = frozenset(
    "aiff ape asf avi caf flac gif matroska mov nut ogg rm tta voc w64 wav wv xwma".split()
)
"""Formats that store the duration of a track, by FFmpeg's names (mov includes mp4)."""

_PADDING_SEC = 0.1
"""The encoder's padding at an MP3's end is shorter; a header that knows it leaves it out."""

_MIN_BYTES = 10_000

_SPARSE = 1000
"""If a file has fewer bytes for each second, its packets have to confirm the declared duration."""

_TAILS_SEC = (1.0, 10.0, math.inf)
"""How long before the end of the file packets are read, in turn, to find the end of a track."""


class MediaInfo(NamedTuple):
    """Properties of a media file.

    Times are in seconds of presentation time, relative to the first frame or audio sample,
    whichever comes first. Video and audio share this timeline.

    Attributes:
        has_video: Whether there is a video track; covers and thumbnails do not count.
        has_audio: Whether there is an audio track.
        video_start_sec: Start of the first frame.
        video_end_sec: End of the last frame, as stated by the container; a damaged file may end
            earlier. All numbers of a missing track are 0.
        audio_start_sec: Start of the audio.
        audio_end_sec: End of the audio.
        width: Width of the upright frames with square pixels, in pixels.
        height: Height of the upright frames with square pixels, in pixels.
        rotation: Counterclockwise rotation that makes frames upright, in degrees: 0, 90, 180, 270.
        pixel_aspect: Width of a coded pixel divided by its height; already applied to ``width``.
        fps: Mean frame rate, in Hz; 0 if the container does not state it.
        video_codec: Name of the decoder, or "".
        audio_codec: Name of the decoder, or "".
        sample_rate_hz: Sample rate of the track, before resampling.
        channels: Number of channels of the track, before mixing.
        container: FFmpeg's name of the format.
        zero_sec: Zero of presentation time, in seconds of container time.
        num_video_tracks: Number of readable video tracks; one of them is read.
        num_audio_tracks: Number of readable audio tracks; one of them is read.
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
    num_video_tracks: int = 0
    num_audio_tracks: int = 0

    @property
    def duration_sec(self) -> float:
        """End of the longer of the two tracks, in seconds."""
        return max(self.video_end_sec, self.audio_end_sec)


def track_spans(file: MediaFile) -> dict[int, Span]:
    """Find start and end of the selected tracks.

    The times that the container declares are used. If it declares none, or only an estimate, the
    packets at the end of the file are read; if it declares a duration for which the file is very
    small, all packets are, without decoding.

    Args:
        file: The open file; its position does not change.

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
        if stream.duration and stream.duration > 0 and _declares_its_end(stream):
            ends[index] = starts[index] + stream.duration
    for tail_sec in _TAILS_SEC:
        missing = [index for index in starts if index not in ends]
        if missing:
            ends |= _last_ticks(file.location, missing, tail_sec)
    doubtful = [index for index in ends if _is_sparse(file, index, ends[index] - starts[index])]
    for index, seen in (_last_ticks(file.location, doubtful, math.inf) if doubtful else {}).items():
        if seen - starts[index] < (ends[index] - starts[index]) / 2:
            ends[index] = seen
    spans = {}
    for index in starts.keys() & ends.keys():
        stream, start = file.container.streams[index], starts[index]
        end = _without_padding(stream, start, ends[index])
        spans[index] = Span(start, max(start, end), ticks_per_sec(stream))
    return spans


def _is_sparse(file: MediaFile, index: int, ticks: int) -> bool:
    """Whether a duration is so long for the size of the file that the header may be wrong."""
    size = float(file.location.size or getattr(file.container, "size", 0) or 0)
    return ticks * _SPARSE > size * ticks_per_sec(file.container.streams[index])


def _without_padding(stream: Stream, start: int, end: int) -> int:
    """Take the end that an MP3's header states where the packets end just behind it."""
    declared = start + (stream.duration or 0)
    is_near = 0 < end - declared < _PADDING_SEC * ticks_per_sec(stream)
    return declared if is_near and stream.container.format.name == "mp3" else end


def _declares_its_end(stream: Stream) -> bool:
    """Whether a track's duration can be trusted.

    Of formats without a table FFmpeg estimates it, from the bit rate of the first packets or from
    the last packet that it happens to find. With a varying frame rate mp4 adds up durations in the
    order of decoding, which may miss the last frames.
    """
    name = stream.container.format.name
    if not _WITH_TABLE.intersection(name.split(",")):
        return False
    if (stream.duration or 0) > _most_ticks(stream):
        return False
    if name == "avi" and stream.codec_context.name.startswith("adpcm_"):
        return False  # the header may count bytes or samples for packets
    return stream.type == "audio" or stream.average_rate == stream.guessed_rate


def _last_ticks(location: MediaLocation, indices: list[int], tail_sec: float) -> dict[int, int]:
    """Return when the last packet of each track ends, from the packets at a file's end."""
    last: dict[int, tuple[int, int]] = {}  # start and duration of the last packet in time
    with open_container(location) as container:
        streams = [container.streams[index] for index in indices]
        length = container.duration or 0
        goal = (container.start_time or 0) + length - int(min(tail_sec * av.time_base, length))
        try:
            if length and goal > 0:
                container.seek(goal, any_frame=True)
            for packet in demux(container, streams):
                if packet.pts is not None and packet.pts < _most_ticks(packet.stream):
                    seen = (packet.pts, _duration(packet))
                    last[packet.stream_index] = max(seen, last.get(packet.stream_index, seen))
        except READ_ERRORS:
            pass  # A damaged end: what was seen before it stands.
        ends = {index: sum(times) for index, times in last.items()}
        # Without durations of packets (WavPack in Matroska) the file's own end is all there is.
        for index in (index for index, (_, duration) in last.items() if not duration):
            end = ((container.start_time or 0) + length) / av.time_base
            ends[index] = max(ends[index], round(end * ticks_per_sec(container.streams[index])))
        return ends


def _most_ticks(stream: Stream) -> float:
    """Return how long a track can last: no codec needs less than a byte a second."""
    size = getattr(stream.container, "size", 0)
    return (stream.start_time or 0) + max(size, _MIN_BYTES) * ticks_per_sec(stream)


def _duration(packet: Packet) -> int:
    """Return a packet's duration, a frame period at most: mp4 stores those of another order."""
    rate = getattr(packet.stream, "average_rate", None)
    if not rate:
        return packet.duration or 0
    period = round(ticks_per_sec(packet.stream) / float(rate))
    return min(packet.duration or period, period)
