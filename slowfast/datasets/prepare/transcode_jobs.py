"""Re-encoding a folder: which copy goes where, in parallel, without ever touching an original."""

from __future__ import annotations

import errno
import functools
import os
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.config import UserError
from slowfast.datasets.annotations.files import AUDIO_SUFFIXES
from slowfast.datasets.decoding.file import Beat
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.prepare.encode import (
    encode_media,
    expected_provenance_tag,
    read_provenance_tag,
    remove_leftovers,
)
from slowfast.datasets.prepare.settings import EncodeSettings
from slowfast.datasets.prepare.workers import run_tasks
from slowfast.utils.io import write_csv
from slowfast.utils.media_libraries import READ_ERRORS

__all__ = [
    "TranscodeJob",
    "TranscodeOutcome",
    "check_folders",
    "encode_all",
    "plan_copies",
    "write_outcomes",
]

_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors of the output folder: every further file would fail in the same way."""

_LOST_SEC = 0.1
"""Accuracy of the end of a track in containers, in seconds."""

_FAULTS: tuple[type[Exception], ...] = (*READ_ERRORS, UnicodeError, ValueError)


class TranscodeJob(NamedTuple):
    """An original and its copy."""

    source: str
    target: str


class TranscodeOutcome(NamedTuple):
    """What came of one file.

    Attributes:
        plan: The original and its copy.
        status: "encoded", "skipped" (the copy is there already), "failed" or "fatal" (the folder
            cannot be written to).
        reason: Why it failed, or what was lost; "" when all is well.
        source_bytes: Size of the original.
        target_bytes: Size of the copy; 0 without one.
    """

    plan: TranscodeJob
    status: str
    reason: str = ""
    source_bytes: int = 0
    target_bytes: int = 0


def check_folders(folder: Path, out: Path) -> None:
    """Check that copies cannot be written among the originals.

    Raises:
        UserError: If one of the folders is, or is in, the other.
    """
    originals, copies = folder.resolve(), out.resolve()
    if copies == originals or copies.is_relative_to(originals):
        raise UserError(
            f"--out: {out} is, or is in, the folder of the originals ({folder}). Name a folder "
            "outside of it: originals are never touched."
        )
    if originals.is_relative_to(copies):
        raise UserError(
            f"--out: {out} contains the folder of the originals ({folder}). Name an empty folder "
            "next to it: originals are never touched."
        )


def plan_copies(folder: Path, files: Sequence[str], out: Path) -> list[TranscodeJob]:
    """Choose the path of each copy: the same folders and names, with suffix .mp4 (audio: .m4a).

    If two originals differ only in their suffix, their copies keep it: ``a.avi.mp4``.

    Raises:
        UserError: If a copy would be written among the originals, through a link in ``out``, or
            two copies to the same path.
    """
    names = [Path(os.path.relpath(file, folder.absolute())) for file in files]
    usual = [name.with_suffix(_suffix(name)) for name in names]
    counts = Counter(str(name).lower() for name in usual)  # some file systems ignore case
    targets = [
        name if counts[str(name).lower()] == 1 else original.with_name(original.name + name.suffix)
        for name, original in zip(usual, names, strict=True)
    ]
    twice = [name for name, count in Counter(str(t).lower() for t in targets).items() if count > 1]
    if twice:
        raise UserError(f"two originals would have one copy, {twice[0]}: rename one of them.")
    originals = folder.resolve()
    for parent in sorted({target.parent for target in targets}):
        if (out / parent).resolve().is_relative_to(originals):
            raise UserError(f"--out: {out / parent} is a link to the originals; remove it.")
    return [
        TranscodeJob(file, str(out.absolute() / target))
        for file, target in zip(files, targets, strict=True)
    ]


def _suffix(name: Path) -> str:
    return ".m4a" if name.suffix.lower() in AUDIO_SUFFIXES else ".mp4"


def encode_all(
    plans: Iterable[TranscodeJob],
    settings: EncodeSettings,
    *,
    num_processes: int,
    timeout_sec: float,
) -> Generator[TranscodeOutcome]:
    """Write the copies that are not there yet, in worker processes.

    Args:
        plans: What to do.
        settings: What the copies are like.
        num_processes: Worker processes.
        timeout_sec: A file without progress for so long is given up; 0: never.

    Yields:
        What came of each file, as they are done.

    Raises:
        UserError: If the folder cannot be written to; what is done stays.
    """
    function = functools.partial(_encode, settings=settings)
    for done in run_tasks(function, plans, num_processes=num_processes, timeout_sec=timeout_sec):
        result = done.value or TranscodeOutcome(done.task, "failed", done.reason)
        if result.status == "fatal":
            raise UserError(
                f"--out: cannot write {result.plan.target}: {result.reason}. When that is fixed, "
                "the same command resumes where this one stopped."
            )
        yield result


def _encode(plan: TranscodeJob, beat: Beat, *, settings: EncodeSettings) -> TranscodeOutcome:
    """Work on one file, in a worker process."""
    source, target = Path(plan.source), Path(plan.target)
    try:
        tag = expected_provenance_tag(source, settings)
        size = source.stat().st_size
        if target.exists() or target.is_symlink():
            found = _tag_or_nothing(target)
            if found == tag:
                return TranscodeOutcome(plan, "skipped", "", size, target.stat().st_size)
            if not found:
                reason = "a file of that name is there that this command did not write"
                return TranscodeOutcome(plan, "failed", f"{target}: {reason}", size)
        remove_leftovers(target)
        copy = encode_media(source, target, settings, beat)
    except MediaError as error:
        return TranscodeOutcome(plan, "failed", error.reason)
    except _FAULTS as error:
        code = getattr(error, "errno", None)
        text = getattr(error, "strerror", None) or str(error)
        return TranscodeOutcome(plan, "fatal" if code in _FATAL else "failed", text)
    lost = []
    if copy.num_damaged:
        lost.append(f"{copy.num_damaged} damaged frames left out")
    if copy.lost_audio_sec > _LOST_SEC:
        lost.append(f"{copy.lost_audio_sec:.1f} s of its audio could not be decoded")
    return TranscodeOutcome(plan, "encoded", "; ".join(lost), size, target.stat().st_size)


def _tag_or_nothing(target: Path) -> str:
    try:
        return read_provenance_tag(target)
    except MediaError:
        return ""


def write_outcomes(file: Path, folder: Path, outcomes: Iterable[TranscodeOutcome]) -> None:
    """Write what came of each file as a table.

    Args:
        file: The csv file.
        folder: Originals are named relative to it, copies relative to the table.
        outcomes: The rows.
    """
    header = ["source", "target", "status", "reason", "source_bytes", "target_bytes"]
    rows = (
        [
            os.path.relpath(outcome.plan.source, folder.absolute()),
            os.path.relpath(outcome.plan.target, file.absolute().parent),
            *outcome[1:],
        ]
        for outcome in sorted(outcomes)
    )
    write_csv(file, header, rows)
