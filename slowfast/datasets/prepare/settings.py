"""What the commands of ``prepare_data`` can be told, and what holds when they are not told."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PRESETS", "CheckSettings", "EncodeSettings", "IndexSettings"]

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
"""x264's, the quickest first: slower ones give smaller files."""


class CheckSettings(NamedTuple):
    """How files are checked.

    Attributes:
        level: One of ``inspect.LEVELS``.
        num_processes: Worker processes; 0: one per core.
        timeout_sec: A file without progress for so long is given up; 0: never.
        again: Look at every file again.
    """

    level: str = "sample"
    num_processes: int = 0
    timeout_sec: float = 60.0
    again: bool = False


class EncodeSettings(NamedTuple):
    """What the copies are like.

    Attributes:
        short_side: Of the picture, in pixels, even; smaller pictures keep their size.
        gop: Frames from one keyframe to the next, at most.
        crf: x264's constant rate factor, 0 to 51; higher is smaller and worse.
        preset: One of PRESETS.
        audio_rate_hz: Sample rate of the audio.
        audio_kbps: Bit rate of the audio, in kilobits per second.
    """

    short_side: int = 160
    gop: int = 30
    crf: int = 23
    preset: str = "fast"
    audio_rate_hz: int = 24000
    audio_kbps: int = 64


class IndexSettings(NamedTuple):
    """Which files go where.

    Attributes:
        val_fraction: Share of the files for validation, in [0, 1).
        test_fraction: Share of the files for testing, in [0, 1).
        seed: Which of them.
        require_sound: Leave out files without audio, and silent ones.
        min_sec: Leave out shorter files.
        drop_duplicates: Keep only the first of files that are the same.
        no_labels: Do not take the names of folders for classes.
        relative: Write paths relative to the folder, for DATA.PATH_PREFIX.
    """

    val_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0
    require_sound: bool = False
    min_sec: float = 0.0
    drop_duplicates: bool = False
    no_labels: bool = False
    relative: bool = False
