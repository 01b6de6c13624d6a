"""Whether a reader returns the frames and the audio that were asked for.

The reference decodes the file from its start and counts frames. A reader passes if each of its
frames is nearer to the reference's frame of the same number than to the ones before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from decode.window import Window

OFFSETS = (-1, 0, 1)
MAX_LAG = 1200  # samples: 50 ms
MAX_LAG_MS = 1000 / 30


class Reference:
    """The frames and the audio of windows, from one decoding of the file from its start.

    Args:
        path: The file.
        windows: Those that will be compared.
    """

    def __init__(self, path: Path, windows: Sequence[Window]) -> None:
        size = windows[0]
        wanted = {
            number + offset
            for window in windows
            for number in range(window.first, window.first + window.num_frames)
            for offset in OFFSETS
        }
        self._frames: dict[int, NDArray[np.int16]] = {}
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    rgb = frame.to_ndarray(
                        format="rgb24", width=size.width, height=size.height, interpolation="AREA"
                    )
                    self._frames[number] = rgb.astype(np.int16)
                if number > max(wanted):
                    break
        self._audio = _decode_audio(path, size.sample_rate_hz)

    def compare(self, window: Window, frames: Any, audio: Any) -> dict[str, Any]:
        """Compare what a reader returned.

        Args:
            window: What was asked for.
            frames: uint8 (T, H, W, 3).
            audio: float32 (N,).

        Returns:
            ``offset_0``, ``offset_-1``, ``offset_1``: mean absolute difference in gray levels;
            ``frames_right``, ``audio_lag_ms`` and ``audio_correlation``; ``problem``: empty if it
            passes.
        """
        expected = (window.num_frames, window.height, window.width, 3)
        if frames.shape != expected:
            return {"problem": f"frames of shape {frames.shape}, not {expected}"}
        distances = {o: self._distances(window, frames, o) for o in OFFSETS}
        nearest = [min(OFFSETS, key=lambda o: distances[o][n]) for n in range(len(frames))]
        lag, correlation = self._lag(window, audio)
        right = nearest.count(0)
        facts = {f"offset_{o}": round(float(np.mean(distances[o])), 2) for o in OFFSETS}
        facts |= {
            "frames_right": right,
            "audio_lag_ms": round(1000 * lag / window.sample_rate_hz, 2),
            "audio_correlation": round(correlation, 3),
        }
        problem = ""
        if right < len(frames):
            problem = f"{len(frames) - right} of {len(frames)} frames are others"
        elif abs(facts["audio_lag_ms"]) > MAX_LAG_MS or correlation < 0.9:
            problem = f"audio of another time (lag {facts['audio_lag_ms']} ms)"
        return facts | {"problem": problem}

    def _distances(self, window: Window, frames: Any, offset: int) -> list[float]:
        """Return the mean absolute difference per frame; infinite where there is no such frame."""
        pairs = [(f, self._frames.get(window.first + n + offset)) for n, f in enumerate(frames)]
        return [np.inf if r is None else float(np.abs(f - r).mean()) for f, r in pairs]

    def _lag(self, window: Window, audio: Any) -> tuple[int, float]:
        """Return by how many samples the audio is late, and how alike it is then."""
        start = round(window.start_sec * window.sample_rate_hz)
        padded = np.pad(self._audio, MAX_LAG)
        best = (0, -1.0)
        for lag in sorted(range(-MAX_LAG, MAX_LAG + 1), key=abs):
            section = padded[start + MAX_LAG - lag :][: len(audio)]
            norm = np.linalg.norm(section) * np.linalg.norm(audio[: len(section)])
            score = float(section @ audio[: len(section)] / norm) if norm else 0.0
            if score > best[1] + 1e-6:
                best = lag, score
        return best


def _decode_audio(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    resampler = av.AudioResampler("fltp", "mono", sample_rate_hz)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        start_sec = frames[0].time
        parts = [p.to_ndarray()[0] for frame in frames for p in resampler.resample(frame)]
    wave = np.concatenate(parts)
    shift = round(start_sec * sample_rate_hz)  # samples before 0 s are not presented
    return np.pad(wave, (shift, 0)) if shift > 0 else wave[-shift:]
