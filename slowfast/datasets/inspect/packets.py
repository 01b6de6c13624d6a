"""Statistics of the packets of a video track, without decoding, for the media checker."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.datasets.decoding.file import (
    Beat,
    MediaFile,
    MediaLocation,
    ticks_per_sec,
    translate_av_errors,
)
from slowfast.datasets.decoding.packets import PacketSource

__all__ = ["PacketFacts", "find_restart", "walk_packets"]

_IRREGULAR = 0.1
"""A frame period that is off by more than this share of the usual one is another."""

_VARIABLE_SHARE, _VARIABLE_MIN = 0.01, 3
"""A rate varies when more periods than that are others, in share and in number."""

_JUMP_BACK_SEC = 1.0


class PacketFacts(NamedTuple):
    """Statistics of the packets of a video track, without decoding.

    Attributes:
        num_frames: Packets that hold a frame to be shown.
        is_variable: Whether the time between frames varies.
        longest_gap_sec: Longest time from one frame to the next.
        keyframe_sec: Longest time from one keyframe to the next, or to the end.
        keyframe_frames: Most frames from one keyframe to the next, or to the end.
        end_sec: Where the last frame ends, in presentation time.
        jumps_back: Whether time starts again inside the file.
        is_cut_short: Whether the container lists frames after the end of the file.
    """

    num_frames: int
    is_variable: bool
    longest_gap_sec: float
    keyframe_sec: float
    keyframe_frames: int
    end_sec: float
    jumps_back: bool
    is_cut_short: bool


def walk_packets(path: str | Path, zero_sec: float, beat: Beat | None) -> PacketFacts | None:
    """Read all packets of the video track.

    Args:
        path: The file.
        zero_sec: Zero of presentation time, in seconds of container time.
        beat: Called now and then.

    Returns:
        The statistics; None if there is no packet.

    Raises:
        MediaError: If the file cannot be opened.
    """
    with translate_av_errors(path), closing(MediaFile(MediaLocation(Path(path)), beat)) as file:
        if file.video_index is None:
            return None
        return _walk(PacketSource(file, file.video_index), zero_sec)


def find_restart(path: str | Path, beat: Beat) -> float | None:
    """Find where time starts again inside a file, as in recordings that were simply joined.

    Returns:
        How much of a track precedes it, in seconds; None if times only increase.

    Raises:
        MediaError: If the file cannot be opened.
    """
    with translate_av_errors(path), closing(MediaFile(MediaLocation(Path(path)), beat)) as file:
        for index in (file.video_index, file.audio_index):
            if index is None:
                continue
            source = PacketSource(file, index)
            source.rewind()
            times: list[float] = []
            while (packet := source.next_packet()) is not None:
                if packet.dts is not None:
                    times.append(packet.dts / ticks_per_sec(source.stream))
            back = np.flatnonzero(np.diff(times) < -_JUMP_BACK_SEC)
            if len(back):
                return times[back[0]] - times[0]
    return None


def _walk(source: PacketSource, zero_sec: float) -> PacketFacts | None:
    source.rewind()
    per_sec = ticks_per_sec(source.stream)
    times: list[float] = []
    decoded: list[float] = []
    keys: list[int] = []
    last_ticks = 0
    while (packet := source.next_packet()) is not None:
        ticks = packet.dts if packet.pts is None else packet.pts
        if packet.is_discard or ticks is None:
            continue
        if packet.is_keyframe:
            keys.append(len(times))
        times.append(ticks / per_sec - zero_sec)
        decoded.append((ticks if packet.dts is None else packet.dts) / per_sec)
        last_ticks = packet.duration or last_ticks
    if not times:
        return None
    starts = np.array(times)
    gaps = np.diff(np.sort(starts))
    usual = float(np.median(gaps)) if len(gaps) else last_ticks / per_sec
    off = np.abs(gaps - usual) > max(1.5 / per_sec, _IRREGULAR * usual)
    jumps_back = bool((np.diff(decoded) < -_JUMP_BACK_SEC).any())
    is_variable = off.sum() >= max(_VARIABLE_MIN, _VARIABLE_SHARE * len(off)) and not jumps_back
    end_sec = float(starts.max()) + usual
    borders = [*keys, len(times)]
    key_times = [*np.sort(starts[keys]), end_sec]
    return PacketFacts(
        num_frames=len(times),
        is_variable=bool(is_variable),
        longest_gap_sec=float(gaps.max(initial=0.0)),
        keyframe_sec=float(np.diff(key_times).max(initial=0.0)),
        keyframe_frames=int(np.diff(borders).max(initial=0)),
        end_sec=end_sec,
        jumps_back=jumps_back,
        is_cut_short=source.is_cut_short(),
    )
