"""Compare random windows of real files with a plain decode from the start.

    python tests/campaigns/compare_seek.py FOLDER [FOLDER ...] [--windows 20] [--max-frames 3000]

For each video below the folders: FFmpeg decodes it once from its beginning, through PyAV and none
of our code; then our reader, now a fresh one, now one that has read before, shows random windows.
A line for each file that differs, is refused or is damaged, then the counts; exit status 1 if any
differs. Audio is compared in the same way: windows of half a second.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zlib
from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference.plain_decode import decode_audio

from slowfast.datasets.annotations.files import VIDEO_SUFFIXES, media_files
from slowfast.datasets.decoding.reader import MediaError, open_media
from slowfast.datasets.inspect.checker import inspect_media

SIDE = 16
LENGTH = 8
RATE, WINDOW = 16000, 8000
EXTENT_SEC, LIKENESS, SILENCE = 0.15, 0.9, 1e-3
OF_CONVERSION, OF_ROUNDING = 12.0, 1.0
"""Mean difference of two thumbnails, in levels of 255: between our conversion to RGB (square
pixels, the file's matrix) and swscale's plain one; between two readings of ours."""


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Reduce an image (H, W, 3) to (SIDE, SIDE, 3), whatever its shape."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def decode_from_start(path: Path, limit: int) -> tuple[np.ndarray, bool]:
    """Decode a file in order: thumbnails (N, SIDE, SIDE, 3), and whether all of it went well."""
    images, is_whole = [], True
    with av.open(str(path), metadata_errors="replace") as media:
        stream = next(
            s for s in media.streams.video if not s.disposition & Disposition.attached_pic
        )
        packets = media.demux(stream)
        while len(images) < limit:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.FFmpegError:
                is_whole = False
                continue
            if packet is None:
                break
            for frame in frames:
                is_whole &= not frame.is_corrupt
                image = frame.to_ndarray(format="rgb24")
                images.append(thumbnail(np.rot90(image, round(frame.rotation / 90))))
    return np.stack(images), is_whole


def compare_audio(path: Path, windows: int) -> tuple[str, str]:
    """Compare random windows of the audio with the whole track, decoded from the start."""
    try:
        _, whole = decode_audio(path, RATE)
        with open_media(path) as reader:
            start, end = reader.audio_extent_sec
    except (av.FFmpegError, IndexError, ValueError, OSError, MediaError) as error:
        return "unreadable", f"audio: {error}"
    if abs(end - start - len(whole) / RATE) > EXTENT_SEC:
        return "differs", f"audio lasts {end - start:.2f} s, expected {len(whole) / RATE:.2f}"
    if len(whole) < 2 * WINDOW:
        return "same", ""
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    with open_media(path) as reader:
        for place in rng.integers(0, len(whole) - WINDOW, windows):
            got, _ = reader.read_audio(start + place / RATE, WINDOW, RATE)
            expected = whole[place : place + WINDOW]
            power = float(np.sqrt((got**2).sum() * (expected**2).sum()))
            likeness = float((got * expected).sum()) / power if power > SILENCE else 1.0
            if likeness < LIKENESS:
                return "differs", f"audio from {place / RATE:.2f} s on: correlation {likeness:.2f}"
    return "same", ""


def compare(path: Path, windows: int, limit: int) -> tuple[str, str]:
    """Return a verdict ("same", "differs", "joined", "refused", "damaged", ...) and a reason."""
    try:
        expected, is_whole = decode_from_start(path, limit)
    except (av.FFmpegError, StopIteration, ValueError, OSError) as error:
        return "unreadable", f"FFmpeg itself: {error or 'no video'}"
    try:
        with open_media(path) as reader:
            read = [(t, thumbnail(p)) for t, p in itertools.islice(reader.iter_video(), limit)]
            is_whole &= reader.num_damaged_frames == 0
    except MediaError as error:
        return "refused", f"{error.reason} (FFmpeg decodes {len(expected)} frames)"
    if not is_whole:
        return "damaged", f"{len(read)} frames, {len(expected)} with errors in them"
    if len(read) < len(expected) and "restarts" in inspect_media(path).codes:
        return "joined", f"{len(read)} of {len(expected)} frames; prepare_data.py check says so"
    if len(read) != len(expected):
        return "differs", f"{len(read)} frames, expected {len(expected)}"
    times, frames = np.array([t for t, _ in read]), np.stack([p for _, p in read])
    if (np.diff(times) <= 0).any():
        return "differs", f"time stands still at frame {int(np.diff(times).argmin()) + 1}"
    error = difference(frames, expected)
    if error.max() > OF_CONVERSION:
        return "differs", f"frame {int(error.argmax())} is {error.max():.0f} levels off"
    try:
        return compare_windows(path, times, frames, windows)
    except MediaError as error:
        return "differs", error.reason


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the mean difference (N,) of N thumbnails each."""
    return np.abs(one.astype(int) - other).mean(axis=(1, 2, 3))


def compare_windows(
    path: Path, times: np.ndarray, frames: np.ndarray, windows: int
) -> tuple[str, str]:
    """Compare random windows with what reading from the start gave."""
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    last = np.diff(times)[-1:] if len(times) > 1 else [0.0]
    instants = times + np.append(np.diff(times), last) / 2
    with open_media(path) as kept:
        for number in range(windows):
            first = int(rng.integers(0, max(1, len(times) - LENGTH)))
            chosen = slice(first, first + LENGTH)
            with open_media(path) as fresh:
                for reader in (fresh, kept) if number % 2 else (kept,):
                    got = np.stack([thumbnail(p) for p in reader.read_video(instants[chosen])])
                    error = difference(got, frames[chosen]).max()
                    if error > OF_ROUNDING:
                        what = "fresh" if reader is fresh else "kept"
                        place = f"frames {first} to {first + LENGTH - 1} of a {what} reader"
                        return "differs", f"{place} are {error:.0f} levels off"
    return "same", ""


def has_audio(path: Path) -> bool:
    """Whether FFmpeg finds an audio track."""
    try:
        with av.open(str(path), metadata_errors="replace") as media:
            return bool(media.streams.audio)
    except (av.FFmpegError, OSError):
        return False


def main() -> int:
    """Compare all files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--windows", type=int, default=20, help="of each file (default: 20)")
    parser.add_argument("--max-frames", type=int, default=3000, help="of each file (default: 3000)")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for folder in options.folders:
        for path in map(Path, media_files(folder)):
            found = []
            if path.suffix.lower() in VIDEO_SUFFIXES:
                found.append(compare(path, options.windows, options.max_frames))
            if has_audio(path):
                found.append(compare_audio(path, options.windows))
            for verdict, reason in found:
                counts[verdict] += 1
                if reason:
                    print(f"{verdict}: {path}: {reason}", flush=True)
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no files"
    )
    return int(counts["differs"] > 0)


if __name__ == "__main__":
    sys.exit(main())
