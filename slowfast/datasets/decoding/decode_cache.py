"""On-disk cache of decoded frames and audio: each file is decoded once, completely.

It pays off for small datasets and few CPU cores, where decoding takes as long as training a small
network. ``DATA_LOADER.CACHE_DECODED`` turns it on. Frames are bit-identical with and without the
cache; so is the audio, except for the noise that AAC decoders may generate.

Legend: F frames of a file, N samples, H W height and width.
"""

from __future__ import annotations

import hashlib
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fvcore.common.config import CfgNode
from numpy.typing import NDArray

from slowfast.datasets.annotations.manifest import TO_END, VideoRecord
from slowfast.datasets.decoding.clip_reader import ClipReader, TrimmedReader, open_row
from slowfast.datasets.decoding.file import translate_av_errors
from slowfast.datasets.decoding.frame_list import is_listed
from slowfast.datasets.decoding.reader import MediaError, MediaReader, open_media
from slowfast.utils.io import Closing, atomic_path, cache_dir

__all__ = ["DecodedFile", "DecodedFiles"]

_SLACK_SEC = 5e-4  # the same tolerance as in MediaReader.read_video
_LONGEST_SEC = 60.0
_LARGEST_BYTES = 64 * 2**20
_MARGIN = 256  # samples cached before and after the audio stream: the resampler rings
_LOST_SAMPLES = 2048  # up to so many may be missing at the ends, as codecs drop them
_FORMAT = 3  # of the content; part of the name of a cached file


class DecodedFile(Closing):
    """A decoded file in memory, with the interface of ``MediaReader``.

    Args:
        path: The media file, for error messages.
        content: Arrays: ``video_extent_sec`` (2,), with ``frames`` uint8 (F, H, W, 3) and
            ``starts_sec`` (F,) and ``fps``; ``audio_extent_sec`` (2,), with ``audio`` float32 (N,)
            and its ``first_sample``; times in seconds of presentation time. The extent of a missing
            stream is empty.
        sample_rate_hz: Sample rate of the audio.
    """

    def __init__(self, path: str, content: dict[str, NDArray[Any]], sample_rate_hz: int) -> None:
        self.path, self._content, self._rate_hz = path, content, sample_rate_hz

    def close(self) -> None:
        """Do nothing; no file is open."""

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds of presentation time."""
        return self._extent("video_extent_sec", "video")

    @property
    def video_fps(self) -> float:
        """Average frame rate, in Hz; 0 if the container does not state it.

        Raises:
            MediaError: If there is no video.
        """
        self._extent("video_extent_sec", "video")
        return float(self._content["fps"])

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio, in seconds of presentation time."""
        return self._extent("audio_extent_sec", "audio")

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time; ``short_side`` is that of the cache."""
        self._extent("video_extent_sec", "video")
        starts: NDArray[np.float64] = self._content["starts_sec"]
        shown = np.searchsorted(starts, np.asarray(times_sec) + _SLACK_SEC, side="right") - 1
        frames: NDArray[np.uint8] = self._content["frames"][np.maximum(shown, 0)]
        return frames

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return a window of the audio.

        Args:
            start_sec: Start of the window, in seconds of presentation time; rounded to a sample.
            num_samples: N.
            sample_rate_hz: The sample rate at which the file was decoded.

        Returns:
            float32 (N,), zero outside the audio stream, and the fraction inside it.

        Raises:
            ValueError: If the file was decoded at another sample rate.
        """
        if sample_rate_hz != self._rate_hz:
            raise ValueError(
                f"sample_rate_hz: got {sample_rate_hz}; {self.path} is cached at {self._rate_hz}."
            )
        out = np.zeros(num_samples, np.float32)
        if "audio" not in self._content:
            return out, 0.0
        audio = self._content["audio"]
        first = math.floor(start_sec * sample_rate_hz + 0.5) - int(self._content["first_sample"])
        low, high = _overlap(first, num_samples, 0, len(audio))
        out[low - first : high - first] = audio[low:high]
        low, high = _overlap(first, num_samples, _MARGIN, len(audio) - _MARGIN)
        return out, (high - low) / num_samples

    def _extent(self, name: str, what: str) -> tuple[float, float]:
        extent = self._content[name]
        if not len(extent):
            raise MediaError(self.path, f"it has no {what} that can be decoded")
        return float(extent[0]), float(extent[1])


class DecodedFiles(NamedTuple):
    """The cache of decoded files.

    Files that are long, damaged, or large when decoded are not cached but decoded on each access.

    Attributes:
        folder: The folder of the cache.
        short_side: Short side that frames are resized to, in pixels; None: full size.
        sample_rate_hz: Sample rate that the audio is resampled to.
        with_video: Cache the frames.
        with_audio: Cache the audio.
        frame_folder_fps: DATA.FRAME_FOLDER_FPS; frame folders and frame lists are not cached.
        path_prefix: DATA.PATH_PREFIX, for frame lists.
    """

    folder: Path
    short_side: int | None
    sample_rate_hz: int
    with_video: bool = True
    with_audio: bool = True
    frame_folder_fps: float = 30.0
    path_prefix: str = ""

    @classmethod
    def from_cfg(
        cls, cfg: CfgNode, *, with_video: bool = True, short_side: int | None = None
    ) -> DecodedFiles | None:
        """Read the settings from DATA_LOADER, DATA and AUDIO; None if the cache is off."""
        if not cfg.DATA_LOADER.CACHE_DECODED:
            return None
        return cls(
            cache_dir() / "decoded",
            short_side,
            cfg.AUDIO.SAMPLE_RATE,
            with_video=with_video,
            with_audio=cfg.AUDIO.ENABLE,
            frame_folder_fps=float(cfg.DATA.FRAME_FOLDER_FPS),
            path_prefix=cfg.DATA.PATH_PREFIX,
        )

    def open(self, row: VideoRecord) -> ClipReader:
        """Open the media file of a manifest's row, as ``open_row`` does.

        Returns:
            A reader of the row's window; the caller closes it.

        Raises:
            MediaError: If the file is missing, damaged or has no stream that can be decoded.
        """
        if is_listed(row) or Path(row.path).is_dir():
            return open_row(row, self.frame_folder_fps, self.path_prefix)
        cached = self._place(row)
        content = _load(cached)
        if content is None:
            content = self._decode(row)
            if content is None:
                return open_row(row)
            _store(cached, content)
        decoded = DecodedFile(row.path, content, self.sample_rate_hz)
        return TrimmedReader(decoded, row.start_sec, row.end_sec) if row.has_window else decoded

    def _place(self, row: VideoRecord) -> Path:
        """Return the path of a row's cached file; it depends on the media file's size and time."""
        with translate_av_errors(row.path):
            stat = Path(row.path).stat()
        what = (row.path, row.offset, row.size, stat.st_size, stat.st_mtime_ns, *self[1:5])
        name = hashlib.sha256(repr((_FORMAT, *what)).encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:34]}.npz"

    def _decode(self, row: VideoRecord) -> dict[str, NDArray[Any]] | None:
        """Decode a file completely; None if it should not be cached."""
        size = None if row.size == TO_END else row.size
        content: dict[str, NDArray[Any]] = {}
        with open_media(row.path, offset=row.offset, size=size) as reader:
            for kind, wanted in (("video", self.with_video), ("audio", self.with_audio)):
                extent = _extent(reader, kind) if wanted else ()
                if extent and extent[1] - extent[0] > _LONGEST_SEC:
                    return None
                content[f"{kind}_extent_sec"] = np.array(extent)
            if len(content["video_extent_sec"]):
                frames = self._frames(reader)
                if not frames or reader.num_damaged_frames:
                    return None
                content["fps"] = np.array(reader.video_fps)
                content["starts_sec"] = np.array([start for start, _ in frames])
                content["frames"] = np.stack([frame for _, frame in frames])
            first, last = (content["audio_extent_sec"] * self.sample_rate_hz).tolist() or (0, 0)
            if last > first:
                start = math.floor(first + 0.5) - _MARGIN
                length = math.ceil(last) + _MARGIN - start
                audio, share = reader.read_audio(
                    start / self.sample_rate_hz, length, self.sample_rate_hz
                )
                if share < (length - 2 * _MARGIN - _LOST_SAMPLES) / length:
                    return None
                content |= {"audio": audio, "first_sample": np.array(start)}
        return content

    def _frames(self, reader: MediaReader) -> list[tuple[float, NDArray[np.uint8]]]:
        """Decode all frames; empty if they are too large to be cached."""
        frames, room = [], _LARGEST_BYTES
        for start, frame in reader.iter_video(short_side=self.short_side):
            room -= frame.nbytes
            if room < 0:
                return []
            frames.append((start, frame))
        return frames


def _overlap(first: int, length: int, begin: int, end: int) -> tuple[int, int]:
    """Intersect [first, first + length) with [begin, end); (first, first) if they are disjoint."""
    low, high = max(first, begin), min(first + length, end)
    return (low, high) if low < high else (first, first)


def _extent(reader: MediaReader, kind: str) -> tuple[float, ...]:
    try:
        extent: tuple[float, float] = getattr(reader, f"{kind}_extent_sec")
    except MediaError:
        return ()
    return extent


def _store(path: Path, content: dict[str, Any]) -> None:
    """Write a decoded file; if that fails, the file is decoded again the next time."""
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **content)
    except OSError as error:
        warnings.warn(
            f"DATA_LOADER.CACHE_DECODED: cannot write to {path.parents[1]}: {error.strerror}; "
            "files are decoded each time.",
            stacklevel=2,
        )


def _load(path: Path) -> dict[str, NDArray[Any]] | None:
    """Read a decoded file; None if it does not exist or cannot be read."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
