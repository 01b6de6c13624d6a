"""The media checker: the content of a file, its problems, and their remedies.

>>> report = inspect_media("clip.mp4")
>>> report.is_usable, report.duration_sec, report.audio_offset_sec
(True, 10.0, 0.0)
>>> for problem in report.problems:
...     print(problem.severity, problem.reason, problem.remedy)

Files are read by the reader of the loader, so the checker finds the problems that training would
have. A bad file gives a report, never an exception. Levels:

* "headers": what the container declares; one frame is decoded. Milliseconds.
* "sample": also the packets of the full file (frame rate, keyframes, where it ends), frames at
  five positions up to the end, audio up to a minute, and fingerprints to find duplicates.
* "full": also every frame and every sample.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.error_codes import SEVERITIES, MediaProblem, problem
from slowfast.datasets.decoding.file import Beat, translate_av_errors
from slowfast.datasets.decoding.formats import DECODE_TIMES_ONLY
from slowfast.datasets.decoding.reader import MediaError, MediaInfo, MediaReader, open_media
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.inspect.duplicates import audio_fingerprint, video_hash
from slowfast.datasets.inspect.media_stats import (
    FrameStats,
    audio_stats,
    decode_all,
    sample_frames,
)
from slowfast.datasets.inspect.packets import PacketFacts, walk_packets
from slowfast.datasets.inspect.report import AudioFacts, MediaReport, VideoFacts

__all__ = ["SHOWN_SIDE", "inspect_media"]

SHOWN_SIDE = 90
"""Short side of the frame that is shown, in pixels."""

_HASH_BLOCK = 1 << 20

_USABLE_SHARE = 0.25
"""A file is unusable if less than this fraction of a track can be read."""

_AUDIO_LOST_SEC, _AUDIO_LOST = 0.1, 0.02
_TRUNCATED_SEC = 0.5
_OFFSET_SEC, _ENDS_APART_SEC = 0.1, 0.5
_FAINT_PEAK = 0.003  # -50 dB
_SHORT_SEC = 1.0
_LOW_FPS = 10.0
_SPARSE_SEC = 5.0
_SMALL_SIDE = 96
_BLANK = 1.0


class _Evidence(NamedTuple):
    """Findings that are not part of the report; None if they were not computed."""

    packets: PacketFacts | None = None
    seen: FrameStats | None = None


def inspect_media(
    path: str | Path,
    *,
    level: str = "sample",
    beat: Beat | None = None,
    show: Callable[[NDArray[np.uint8]], None] | None = None,
) -> MediaReport:
    """Check a media file.

    Args:
        path: The file.
        level: One of LEVELS.
        beat: Called regularly, to report progress; None: no progress reports.
        show: Called with a frame of the video, uint8 (H, W, 3), if one can be decoded; its short
            side is at most SHOWN_SIDE. None: no frame is decoded for it.

    Returns:
        The report. A file that is unusable or missing has a problem of severity "error".

    Raises:
        ValueError: If the level does not exist.
    """
    if level not in LEVELS:
        raise ValueError(f"level: got {level!r}; expected one of {', '.join(LEVELS)}.")
    report = MediaReport(path=str(path), level=level)
    try:
        with translate_av_errors(path):
            status = Path(path).stat()
            report = dataclasses.replace(
                report, size_bytes=status.st_size, modified_ns=status.st_mtime_ns
            )
        return _inspect(report, beat, show)
    except MediaError as error:
        return dataclasses.replace(report, problems=(problem(error.code, error.reason),))


def _inspect(
    report: MediaReport, beat: Beat | None, show: Callable[[NDArray[np.uint8]], None] | None
) -> MediaReport:
    is_close, is_full = report.level != "headers", report.level == "full"
    evidence, wave = _Evidence(), np.zeros(0, np.float32)
    with open_media(report.path, beat=beat) as reader:
        info = reader.info
        video = _video_facts(info) if info.has_video else None
        audio = _audio_facts(info) if info.has_audio else None
        if is_close and video is not None:
            packets = walk_packets(reader.path, info.zero_sec, beat)
            evidence = _Evidence(packets, sample_frames(reader, info.fps))
            video = _with_evidence(video, evidence)
            video = decode_all(reader, video) if is_full else video
        if show is not None and video is not None:
            _show(reader, show, 0.5 if is_close else 0.0)
        if is_close and audio is not None:
            audio, wave = audio_stats(reader, audio, everywhere=is_full)
    report = dataclasses.replace(
        report,
        container=info.container,
        video=video,
        audio=audio,
        file_hash=_hash(report.path, beat) if is_close else "",
        video_hash=video_hash(evidence.seen.frames) if evidence.seen else "",
        audio_fingerprint=audio_fingerprint(wave, info.sample_rate_hz) if len(wave) else "",
    )
    found = sorted(_problems(report, evidence), key=lambda p: SEVERITIES.index(p.severity))
    return dataclasses.replace(report, problems=tuple(found))


def _show(reader: MediaReader, show: Callable[[NDArray[np.uint8]], None], place: float) -> None:
    """Show the frame at a place in [0, 1] of the video, else the first one."""
    start, end = reader.video_extent_sec
    for share in dict.fromkeys((place, 0.0)):
        try:
            frames = reader.read_video([start + share * (end - start)], short_side=SHOWN_SIDE)
        except MediaError:
            continue
        show(frames[0])
        return


def _video_facts(info: MediaInfo) -> VideoFacts:
    return VideoFacts(
        codec=info.video_codec,
        width=info.width,
        height=info.height,
        fps=round(info.fps, 3),
        rotation=info.rotation,
        pixel_aspect=info.pixel_aspect,
        start_sec=_milli(info.video_start_sec),
        end_sec=_milli(info.video_end_sec),
        num_tracks=info.num_video_tracks,
    )


def _with_evidence(facts: VideoFacts, evidence: _Evidence) -> VideoFacts:
    packets, seen = evidence
    if packets is not None:
        facts = dataclasses.replace(
            facts,
            num_frames=packets.num_frames,
            is_variable=packets.is_variable,
            longest_gap_sec=_milli(packets.longest_gap_sec),
            keyframe_sec=_milli(packets.keyframe_sec),
            keyframe_frames=packets.keyframe_frames,
        )
    if seen is not None:
        contrasts = [float(p.mean(axis=2).std()) for p in seen.frames if p is not None]
        contrast = round(max(contrasts), 2) if contrasts else None
        facts = dataclasses.replace(facts, readable_share=seen.readable_share, contrast=contrast)
    return facts


def _audio_facts(info: MediaInfo) -> AudioFacts:
    return AudioFacts(
        codec=info.audio_codec,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        start_sec=_milli(info.audio_start_sec),
        end_sec=_milli(info.audio_end_sec),
        num_tracks=info.num_audio_tracks,
    )


def _problems(report: MediaReport, evidence: _Evidence) -> Iterator[MediaProblem]:
    if report.video is not None:
        yield from _damage_of_video(report.video, evidence)
        yield from _oddities_of_video(report.video, evidence.packets)
        if report.container in DECODE_TIMES_ONLY:
            yield problem("no_timestamps")
    else:
        yield problem("no_video")
    if report.audio is not None:
        yield from _problems_of_audio(report.audio)
    else:
        yield problem("no_audio")
    if report.video is not None and report.audio is not None:
        yield from _problems_of_both(report.video, report.audio)
    if 0 < report.duration_sec < _SHORT_SEC:
        yield problem("short", f"it is {report.duration_sec:.2f} s long")


def _damage_of_video(facts: VideoFacts, evidence: _Evidence) -> Iterator[MediaProblem]:
    seen, packets = evidence.seen, evidence.packets
    if seen is not None and seen.fault is not None:
        where = f"{seen.num_lost} of {len(seen.frames)} places"
        if seen.readable_share < _USABLE_SHARE:
            reason = seen.fault.reason
            yield problem("undecodable", f"its video cannot be decoded at {where} ({reason})")
        elif not facts.damaged_frames:
            yield problem("damaged", f"its video cannot be decoded at {where}")
    if facts.damaged_frames:
        where = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in facts.damaged_sec[:3])
        text = f"{facts.damaged_frames} damaged frames, {facts.num_frames} complete ones"
        yield problem("damaged", f"{text} ({where})" if where else text)
    if packets is None:
        return
    lacking_sec = facts.end_sec - packets.end_sec
    if packets.is_cut_short or lacking_sec > max(_TRUNCATED_SEC, 2 * packets.longest_gap_sec):
        yield problem(
            "truncated",
            f"its video should last to {facts.end_sec:.2f} s and ends at {packets.end_sec:.2f} s",
        )
    if packets.jumps_back:
        yield problem("restarts")


def _oddities_of_video(facts: VideoFacts, packets: PacketFacts | None) -> Iterator[MediaProblem]:
    if facts.num_tracks > 1:
        yield problem("several_tracks", f"{facts.num_tracks} video tracks; one of them is read")
    if min(facts.width, facts.height) < _SMALL_SIDE:
        yield problem("small", f"small frames: {facts.width} x {facts.height} pixels")
    if 0 < facts.fps < _LOW_FPS:
        yield problem("low_rate", f"{facts.fps:.3g} frames per second")
    if facts.contrast is not None and facts.contrast < _BLANK:
        yield problem("blank")
    if packets is None:
        return
    if packets.is_variable:
        yield problem(
            "variable_rate",
            f"variable frame rate: up to {packets.longest_gap_sec:.2f} s from frame to frame",
        )
    if packets.keyframe_sec > _SPARSE_SEC:
        yield problem(
            "sparse_keyframes",
            f"up to {packets.keyframe_sec:.1f} s ({packets.keyframe_frames} frames) between "
            "keyframes: slow to read",
        )


def _problems_of_audio(facts: AudioFacts) -> Iterator[MediaProblem]:
    if facts.num_tracks > 1:
        yield problem("several_tracks", f"{facts.num_tracks} audio tracks; one of them is read")
    if facts.readable_share is None or facts.heard_sec is None:
        return
    if not facts.heard_sec:
        yield problem("silent", "its audio lasts no time")
        return
    lost = 1 - facts.readable_share
    if facts.failed_share is not None and 1 - facts.failed_share < _USABLE_SHARE:
        yield problem("undecodable", f"{facts.failed_share:.0%} of its audio cannot be decoded")
        return
    if lost * facts.heard_sec > _AUDIO_LOST_SEC and lost > _AUDIO_LOST:
        yield problem("damaged", f"{lost:.0%} of its audio is missing")
        return
    if facts.silent_share == 1:
        yield problem("silent")
    elif facts.peak is not None and 0 < facts.peak < _FAINT_PEAK:
        yield problem("faint", f"very quiet throughout: peak {20 * math.log10(facts.peak):.0f} dB")
    elif facts.silent_share is not None and facts.silent_share > 0.5:
        yield problem("mostly_silent", f"silent for {facts.silent_share:.0%} of the time")


def _problems_of_both(video: VideoFacts, audio: AudioFacts) -> Iterator[MediaProblem]:
    offset = audio.start_sec - video.start_sec
    if abs(offset) > _OFFSET_SEC:
        first = "later" if offset > 0 else "earlier"
        yield problem("offset", f"its audio starts {abs(offset):.2f} s {first} than its video")
    apart = audio.end_sec - video.end_sec
    if abs(apart) > _ENDS_APART_SEC:
        first = "later" if apart > 0 else "earlier"
        yield problem("ends_apart", f"its audio ends {abs(apart):.2f} s {first} than its video")
    both = min(audio.end_sec, video.end_sec) - max(audio.start_sec, video.start_sec)
    if both < 0.5 * video.length_sec:
        yield problem(
            "audio_covers_little",
            f"audio during {max(0.0, both):.2f} s of {video.length_sec:.2f} s of video",
        )


def _hash(path: str, beat: Beat | None) -> str:
    state = hashlib.blake2b(digest_size=16)
    with translate_av_errors(path), Path(path).open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            state.update(block)
            if beat is not None:
                beat()
    return state.hexdigest()


def _milli(seconds: float) -> float:
    return round(seconds, 3)
