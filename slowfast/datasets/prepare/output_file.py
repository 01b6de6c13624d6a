"""The file that a re-encoded copy is written to: whole or not there, and marked.

A copy is written under a temporary name, locked while that lasts, and renamed. In its comment it
carries what it was made from and how, so that a later run knows what is done.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.media.file import MediaLocation, open_container, translate_av_errors
from slowfast.utils.io import atomic_path

__all__ = [
    "PRESETS",
    "EncodeSettings",
    "expected_provenance_tag",
    "read_provenance_tag",
    "remove_leftovers",
    "write_target",
]

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
"""x264's, the quickest first: slower ones give smaller files."""

_MARK = "slowfast prepare_data"
_VERSION = 1


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


def read_provenance_tag(file: Path) -> str:
    """Read what a copy was made from and how.

    Args:
        file: A media file.

    Returns:
        Its mark; "" for a file that ``encode_media`` did not write.

    Raises:
        MediaError: If it cannot be opened.
    """
    with open_container(MediaLocation(file)) as container:
        comment = str(container.metadata.get("comment", ""))
    return comment if comment.startswith(_MARK) else ""


def expected_provenance_tag(source: Path, settings: EncodeSettings) -> str:
    """Return the mark of a copy that is up to date.

    Args:
        source: The original.
        settings: What the copy is like.

    Returns:
        The mark.

    Raises:
        MediaError: If the original cannot be looked up.
    """
    with translate_av_errors(source):
        status = source.stat()
    how = " ".join(f"{name}={value}" for name, value in settings._asdict().items())
    return f"{_MARK} {_VERSION}: {how} source={status.st_size}:{status.st_mtime_ns}"


@contextmanager
def write_target(target: Path) -> Iterator[Path]:
    """Give a temporary path that replaces a copy when the block ends well.

    It is locked: that ends with the process, however that ends, and tells what is left over.

    Args:
        target: The copy; its folder is created.

    Yields:
        A path in the same folder. After an exception the old copy is untouched.
    """
    with atomic_path(target) as temporary, temporary.open("ab") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        yield temporary


def remove_leftovers(target: Path) -> None:
    """Remove what runs that were killed have left of a copy; not what another is writing just now.

    Args:
        target: The copy.
    """
    name = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in target.name)
    for file in target.parent.glob(f".{name}.*.tmp"):
        with suppress(OSError), file.open("rb") as claim:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
