"""Duplicate files: with equal bytes, or, nearly certain, with equal content.

A fingerprint is a few hundred bits that survive re-encoding and scaling: per frame, which of two
neighboring squares is brighter; for audio, how the balance of its frequency bands changes with
time.

Legend: H W height and width, n samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.inspect.report import MediaReport

__all__ = ["Duplicates", "audio_fingerprint", "find_duplicates", "video_hash"]

_SIDE = 8
_FLAT = 2.0
"""Frames with a smaller standard deviation of brightness, of 255, are not used."""

_NOTHING = "-"
_VIDEO_TOLERANCE, _AUDIO_TOLERANCE = 0.10, 0.25
"""Share of bits that may differ; half of them do in unrelated files."""

_MIN_FRAMES = 2
_MIN_MOTION, _MOTION_FACTOR = 0.05, 4.0
"""Without audio the frames of a file must differ by that share of bits, and by so many times what
they differ from the other file's: all views of one still scene are alike."""

_SEGMENTS, _BANDS = 16, 9
_LOW_HZ, _HIGH_HZ = 200.0, 3600.0
_FRAME_SEC = 0.04
_INAUDIBLE, _FAINTEST = 1e-4, 1e-6
_MIN_HEARD = 8
"""Of 15 changes, this many must be in audio that is not silent."""

_VIDEO_BITS, _AUDIO_BITS = _SIDE * _SIDE, _BANDS - 1
_WORDS_PER_PIECE = 4
"""Two fingerprints are compared when half a frame, or so many changes of the audio, are equal."""

_COMMON = 500
"""A piece that is found in more files than that is not used."""

_LENGTH_TOLERANCE_SEC, _LENGTH_TOLERANCE = 0.1, 0.01


class Duplicates(NamedTuple):
    """Files that are the same.

    Attributes:
        kind: "bytes" or "content".
        paths: The files, sorted; at least two. Of those that share their bytes a group by content
            names only the first.
    """

    kind: str
    paths: tuple[str, ...]


def video_hash(frames: Iterable[NDArray[np.uint8] | None]) -> str:
    """Compute the fingerprint of frames.

    Args:
        frames: Each uint8 (H, W, 3) of at least 9 pixels a side, or None.

    Returns:
        One word of 16 hexadecimal digits per frame; "-" for a flat or missing one. "" if no
        frame has a fingerprint.
    """
    words = [_frame_word(frame) for frame in frames]
    return " ".join(words) if any(word != _NOTHING for word in words) else ""


def _frame_word(frame: NDArray[np.uint8] | None) -> str:
    if frame is None or min(frame.shape[:2]) < _SIDE + 1:
        return _NOTHING
    gray = frame.mean(axis=2)  # (H, W)
    if gray.std() < _FLAT:
        return _NOTHING
    squares = np.array(
        [
            [square.mean() for square in np.array_split(row, _SIDE + 1, axis=1)]
            for row in np.array_split(gray, _SIDE, axis=0)
        ]
    )  # (8, 9)
    return _to_hex(np.diff(squares, axis=1) > 0)


def audio_fingerprint(wave: NDArray[np.float32], rate_hz: int) -> str:
    """Compute the fingerprint of audio.

    Args:
        wave: float32 (n,).
        rate_hz: Samples per second.

    Returns:
        A word of two hexadecimal digits per change from one sixteenth to the next; "-" where there
        is silence. "" when most of it is silent, or too short.
    """
    size = round(_FRAME_SEC * rate_hz)
    if len(wave) < _SEGMENTS * size or np.abs(wave).max() < _INAUDIBLE:
        return ""
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1)
    bins = np.searchsorted(np.fft.rfftfreq(size, 1 / rate_hz), edges)
    energy = []
    for segment in np.array_split(wave, _SEGMENTS):
        frames = segment[: len(segment) // size * size].reshape(-1, size)
        power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))).mean(axis=0)
        energy.append(np.add.reduceat(power, bins[:-1]))
    bands = np.array(energy)  # (16, 9)
    total = bands.sum(axis=1)
    is_heard = total > max(_FAINTEST * total.max(), _INAUDIBLE**2)
    rises = np.diff(np.diff(np.log(bands + 1e-12), axis=1), axis=0) > 0  # (15, 8)
    words = [
        _to_hex(bits) if heard else _NOTHING
        for bits, heard in zip(rises, is_heard[1:] & is_heard[:-1], strict=True)
    ]
    return " ".join(words) if sum(word != _NOTHING for word in words) >= _MIN_HEARD else ""


def find_duplicates(reports: Iterable[MediaReport]) -> list[Duplicates]:
    """Find files that are the same.

    Args:
        reports: Of level "sample" or "full"; others have no fingerprints.

    Returns:
        Groups, those by bytes first. Groups by content are nearly certain, not proven: the files
        last equally long, look alike at five places, and audio alike where they have audio.
    """
    by_bytes: dict[tuple[int, str], list[MediaReport]] = defaultdict(list)
    for report in sorted(reports, key=lambda report: report.path):
        if report.file_hash:
            by_bytes[report.size_bytes, report.file_hash].append(report)
    groups = [
        Duplicates("bytes", tuple(report.path for report in same))
        for same in by_bytes.values()
        if len(same) > 1 and same[0].size_bytes
    ]
    firsts = [_Print(same[0]) for same in by_bytes.values() if same[0].is_usable]
    return groups + _groups_by_content(firsts)


class _Print:
    """The prints of a file as numbers."""

    def __init__(self, report: MediaReport) -> None:
        self.path, self.length_sec = report.path, report.duration_sec
        self.frames = _words(report.video_hash)
        self.audio = _words(report.audio_fingerprint)
        self.has_audio = report.has_audio

    def pieces(self) -> Iterator[tuple[str, int, int]]:
        """Yield parts by which likely partners are found."""
        for number, word in enumerate(self.frames):
            if word is not None:
                half = _VIDEO_BITS // 2
                yield "frame", 2 * number, word & ((1 << half) - 1)
                yield "frame", 2 * number + 1, word >> half
        if self.frames:
            return
        for number in range(0, len(self.audio) - _WORDS_PER_PIECE + 1, 2):
            words = self.audio[number : number + _WORDS_PER_PIECE]
            if None not in words:
                yield "audio", number, int("".join(f"{word:02x}" for word in words), 16)

    def is_same(self, other: _Print) -> bool:
        """Whether two files hold the same content."""
        tolerance = max(_LENGTH_TOLERANCE_SEC, _LENGTH_TOLERANCE * self.length_sec)
        if abs(self.length_sec - other.length_sec) > tolerance:
            return False
        if (self.has_audio, bool(self.frames)) != (other.has_audio, bool(other.frames)):
            return False
        looks_apart = _distance(self.frames, other.frames, _VIDEO_BITS, _MIN_FRAMES)
        if self.frames and looks_apart > _VIDEO_TOLERANCE:
            return False
        if self.audio and other.audio:
            audio_apart = _distance(self.audio, other.audio, _AUDIO_BITS, _MIN_HEARD)
            return audio_apart <= _AUDIO_TOLERANCE
        return not self.has_audio and self._moves_more_than(looks_apart)

    def _moves_more_than(self, distance: float) -> bool:
        known = [word for word in self.frames if word is not None]
        apart = [(a ^ b).bit_count() / _VIDEO_BITS for a, b in combinations(known, 2)]
        least = max(_MIN_MOTION, _MOTION_FACTOR * distance)
        return bool(apart) and sum(apart) / len(apart) >= least


def _words(text: str) -> list[int | None]:
    return [None if word == _NOTHING else int(word, 16) for word in text.split()]


def _distance(
    first: Sequence[int | None], second: Sequence[int | None], bits: int, least: int
) -> float:
    """Share of bits in which words differ; 1 when too few words can be compared."""
    pairs = zip(first, second, strict=False)
    known = [(a ^ b).bit_count() for a, b in pairs if a is not None and b is not None]
    return sum(known) / len(known) / bits if len(known) >= least else 1.0


def _groups_by_content(prints: Sequence[_Print]) -> list[Duplicates]:
    buckets: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for index, entry in enumerate(prints):
        for piece in entry.pieces():
            buckets[piece].append(index)
    leader = list(range(len(prints)))  # the first file that each was found to be the same as
    for bucket in buckets.values():
        for a, b in combinations(bucket, 2) if len(bucket) <= _COMMON else ():
            first, second = _leader(leader, a), _leader(leader, b)
            if first != second and prints[a].is_same(prints[b]):
                leader[max(first, second)] = min(first, second)
    groups: dict[int, list[str]] = defaultdict(list)
    for index, entry in enumerate(prints):
        groups[_leader(leader, index)].append(entry.path)
    return [Duplicates("content", tuple(paths)) for paths in groups.values() if len(paths) > 1]


def _leader(leader: list[int], index: int) -> int:
    while leader[index] != index:
        leader[index] = leader[leader[index]]
        index = leader[index]
    return index


def _to_hex(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits.reshape(-1)).tobytes().hex()
