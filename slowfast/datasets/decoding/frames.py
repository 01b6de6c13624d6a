"""A folder of extracted frames (``img_00001.jpg``, ...) as a video, with an audio file next to it.

Legend: T frames, H W height and width.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.annotations.files import AUDIO_SUFFIXES, FRAME_NAME, is_ignored
from slowfast.datasets.decoding.file import MediaError, translate_av_errors
from slowfast.datasets.decoding.reader import MediaReader, open_media
from slowfast.datasets.decoding.still_image import read_image
from slowfast.utils.io import Closing

__all__ = ["FrameFolder"]

_SLACK_SEC = 5e-4  # the same tolerance as in MediaReader.read_video


class FrameFolder(Closing):
    """Numbered images as a video, with the interface of ``MediaReader``.

    Frame n is displayed from (n - first) / fps on; if a number is missing, the frame before it is
    repeated. Audio is a file in the folder, or one next to it with the same name; video and audio
    start together.

    Args:
        path: The folder.
        fps: Frame rate, in Hz.

    Attributes:
        path: The folder.

    Raises:
        MediaError: If the folder has no numbered images, or those of several videos.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        names, numbers = _find_frames(str(path))
        self._start(str(path), names, fps, numbers, _find_audio(Path(path)))

    def _start(
        self,
        path: str,
        names: list[str],
        fps: float,
        numbers: NDArray[np.int64] | None = None,
        audio_path: Path | None = None,
    ) -> None:
        """Set the frames: their files, absolute or in the folder, and their ascending numbers."""
        self.path, self._fps, self._names = path, fps, names
        self._numbers = np.arange(len(names)) if numbers is None else numbers
        self._audio_path = audio_path
        self._audio: MediaReader | None = None

    def close(self) -> None:
        """Close the audio file, if it was opened."""
        if self._audio is not None:
            self._audio.close()

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds."""
        return 0.0, float(self._numbers[-1] + 1) / self._fps

    @property
    def video_fps(self) -> float:
        """Frame rate, in Hz."""
        return self._fps

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio, in seconds."""
        audio = self._open_audio()
        if audio is None:
            raise MediaError(self.path, "it has no audio that can be decoded")
        return audio.audio_extent_sec

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time.

        Args:
            times_sec: (T,), ascending, in seconds.
            short_side: Short side that frames are downscaled to, in pixels; smaller frames keep
                their size. None: full size.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            MediaError: If an image cannot be read, or has another size than the first.
        """
        distinct, slots = np.unique(self._shown(times_sec), return_inverse=True)
        frames = [self._read_frame(int(index), short_side) for index in distinct]
        if len({frame.shape for frame in frames}) > 1:
            raise MediaError(self.path, "its frames are of several sizes")
        return np.stack(frames)[slots]

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return a window of the audio; zeros and 0 if there is no audio."""
        audio = self._open_audio()
        if audio is None:
            return np.zeros(num_samples, np.float32), 0.0
        return audio.read_audio(start_sec, num_samples, sample_rate_hz)

    def _shown(self, times_sec: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the index of the frame displayed at each time."""
        ticks = np.floor((np.asarray(times_sec, np.float64) + _SLACK_SEC) * self._fps)
        return np.maximum(np.searchsorted(self._numbers, ticks, side="right") - 1, 0)

    def _open_audio(self) -> MediaReader | None:
        if self._audio is None and self._audio_path is not None:
            self._audio = open_media(self._audio_path)
        return self._audio

    def _read_frame(self, index: int, short_side: int | None) -> NDArray[np.uint8]:
        file = Path(self.path, self._names[index])
        image = read_image(file, short_side)
        if image is None:
            raise MediaError(self.path, f"its frame {file.name} cannot be decoded")
        return image


def _find_frames(folder: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the frames by their number, and the numbers, counted from the first."""
    series: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    with translate_av_errors(folder):
        for name in (file.name for file in Path(folder).iterdir()):
            match = None if is_ignored(name) else FRAME_NAME.fullmatch(name)
            if match:
                series[match[1], match[3].lower()].append((int(match[2]), name))
    flowless = {key: frames for key, frames in series.items() if "flow" not in key[0].lower()}
    if not flowless:
        raise MediaError(folder, "it is a folder without numbered images", "not_a_file")
    if len(flowless) > 1:
        names = ", ".join(sorted(min(frames)[1] for frames in flowless.values())[:3])
        raise MediaError(
            folder, f"it is a folder with frames of several series: {names}", "not_a_file"
        )
    frames = sorted(*flowless.values())
    numbers = np.array([number for number, _ in frames])
    return [name for _, name in frames], numbers - numbers[0]


def _find_audio(folder: Path) -> Path | None:
    """Return the audio file in a folder, or the one next to it with the same name."""
    inside = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in AUDIO_SUFFIXES]
    outside = [folder.with_name(folder.name + suffix) for suffix in sorted(AUDIO_SUFFIXES)]
    return next((f for f in (*inside, *outside) if f.is_file() and not is_ignored(f.name)), None)
