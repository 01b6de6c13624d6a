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
    """Settings of the re-encoded copies.

    Attributes:
        short_side: Short side of the frames, in pixels, even; smaller frames keep their size.
        gop: Largest distance between keyframes, in frames.
        crf: x264's constant rate factor, 0 to 51; higher means smaller files of lower quality.
        preset: One of PRESETS.
        audio_rate_hz: Sample rate of the audio.
        audio_kbps: Bit rate of the audio, in kilobits per second.
    """

    short_side: int = 160
    gop: int = 30
    crf: int = 23
    preset: str = "veryfast"
    audio_rate_hz: int = 24000
    audio_kbps: int = 64


class IndexSettings(NamedTuple):
    """Settings of the selection and the split of files.

    Attributes:
        val_fraction: Fraction of the files for validation, in [0, 1).
        test_fraction: Fraction of the files for testing, in [0, 1).
        seed: Seed of the split.
        require_audio: Leave out files without audio, and silent ones.
        min_sec: Leave out shorter files.
        drop_duplicates: Keep only the first of several equal files.
        no_labels: Do not use folder names as classes.
        relative: Write paths relative to the folder, for DATA.PATH_PREFIX.
    """

    val_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0
    require_audio: bool = False
    min_sec: float = 0.0
    drop_duplicates: bool = False
    no_labels: bool = False
    relative: bool = False
