"""FFmpeg's command line, which decodes a window and throws it away: no scaling, no RGB."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import harness

from decode.window import Window

OPTIONS = ("-nostdin", "-v", "error", "-threads", "1", "-filter_threads", "1")


def is_installed() -> bool:
    """Say whether there is an ``ffmpeg``."""
    return shutil.which("ffmpeg") is not None


def time_limit(path: Path, window: Window) -> tuple[float, float]:
    """Decode video and audio of a window to null.

    Returns:
        CPU milliseconds with and without the decoding; the latter opens the file and ends.
    """
    seek = ("-ss", f"{window.start_sec:.6f}", "-i", str(path))
    length = f"{window.num_frames / window.fps:.6f}"
    decode = [*OPTIONS, *seek, "-t", length, "-map", "0", "-f", "null", "-"]
    start = [*OPTIONS, *seek, "-t", "0", "-map", "0", "-c", "copy", "-f", "null", "-"]
    return _cpu_ms(decode), _cpu_ms(start)


def _cpu_ms(arguments: list[str]) -> float:
    return harness.measure(lambda: subprocess.run(["ffmpeg", *arguments], check=True))[0]
