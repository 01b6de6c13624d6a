"""What can be wrong with a media file, in words: one vocabulary for loader, checker and tools.

Each problem has a code, a severity, a reason in plain language and a remedy. The loader records the
reason in ``bad_media.csv``; the checker (``inspect``) reports all four.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "PROBLEMS",
    "SEVERITIES",
    "MediaProblem",
    "ProblemKind",
    "problem",
    "timeout_message",
    "worker_crash_message",
]

SEVERITIES = ("error", "warning", "note")
"""Unusable; usable with care; good to know. The gravest first."""


class ProblemKind(NamedTuple):
    """One entry of the vocabulary.

    Attributes:
        severity: One of SEVERITIES.
        title: What is wrong, for a table of counts.
        remedy: What to do about it; "" when there is nothing to do.
    """

    severity: str
    title: str
    remedy: str


class MediaProblem(NamedTuple):
    """Something wrong with a file.

    Attributes:
        code: Key of PROBLEMS.
        severity: One of SEVERITIES.
        reason: What is wrong with this file, in one line.
        remedy: What to do about it; "" when there is nothing to do.
    """

    code: str
    severity: str
    reason: str
    remedy: str


_GET_AGAIN = "Get the file again, or leave it out."
_ENCODE = "Re-encode it (prepare_data.py encode)."
_NOTHING = ""
JOIN = (
    "It was joined from several recordings, and only the first is read. Re-encode it to one timeline: "
    "ffmpeg -i FILE OUT.mp4"
)
"""What to do about a file whose time starts again."""

PROBLEMS: dict[str, ProblemKind] = {
    "missing": ProblemKind("error", "file is missing", "Fix the link or the list that names it."),
    "forbidden": ProblemKind("error", "file may not be read", "Fix its permissions (chmod +r)."),
    "not_a_file": ProblemKind("error", "not a file", "Remove it, or fix the list that names it."),
    "empty": ProblemKind("error", "file is empty", _GET_AGAIN),
    "not_media": ProblemKind("error", "not a media file, or damaged beyond reading", _GET_AGAIN),
    "still_image": ProblemKind("error", "still image", "Leave it out: it has no time."),
    "raw_stream": ProblemKind(
        "error", "raw stream without timestamps", "Put it into a container: ffmpeg -i FILE OUT.mp4"
    ),
    "no_tracks": ProblemKind("error", "neither video nor audio that can be decoded", _GET_AGAIN),
    "undecodable": ProblemKind("error", "hardly any of it can be decoded", _GET_AGAIN),
    "unreadable": ProblemKind("error", "cannot be read", _GET_AGAIN),
    "hangs": ProblemKind(
        "error",
        "decoding takes too long",
        "Raise the time limit if the disk is slow; else leave it out.",
    ),
    "crashes": ProblemKind(
        "error",
        "kills the process that decodes it",
        "Leave it out. Exit code -9 often means that memory ran out: use fewer processes.",
    ),
    "damaged": ProblemKind(
        "warning", "damaged in part", _GET_AGAIN + " Or re-encode what is left."
    ),
    "truncated": ProblemKind("warning", "cut short", _GET_AGAIN + " Or re-encode what is left."),
    "restarts": ProblemKind("warning", "time jumps back inside the file", JOIN),
    "no_sound": ProblemKind("warning", "no audio track", "Leave it out with --require-sound."),
    "silent": ProblemKind("warning", "silent throughout", "Leave it out with --require-sound."),
    "faint": ProblemKind("warning", "very quiet throughout", "Listen to it: is that the audio?"),
    "sound_covers_little": ProblemKind(
        "warning",
        "audio during less than half of the video",
        "Clips elsewhere count as without audio; leave it out if there are many.",
    ),
    "no_video": ProblemKind("note", "audio only", _NOTHING),
    "mostly_silent": ProblemKind("note", "silent for more than half of the time", _NOTHING),
    "blank": ProblemKind("note", "blank video (one color)", "Check it by eye."),
    "offset": ProblemKind(
        "note", "video and audio start at different times", "Nothing: timestamps are honored."
    ),
    "ends_apart": ProblemKind("note", "video and audio end at different times", _NOTHING),
    "short": ProblemKind("note", "shorter than a second", "Leave it out with --min-sec."),
    "variable_rate": ProblemKind(
        "note", "variable frame rate", "Nothing: frames are taken by their timestamps."
    ),
    "low_rate": ProblemKind("note", "few frames per second", "Nothing: frames are repeated."),
    "sparse_keyframes": ProblemKind("note", "keyframes far apart: slow to read", _ENCODE),
    "no_timestamps": ProblemKind(
        "note", "container without timestamps", "Nothing: frames are dated by their order."
    ),
    "several_tracks": ProblemKind("note", "several tracks of a kind", _NOTHING),
    "small": ProblemKind("note", "small frames", "Nothing: crops are upscaled."),
}
"""By code."""


def problem(code: str, detail: str = "") -> MediaProblem:
    """Name a problem of a file.

    Args:
        code: Key of PROBLEMS.
        detail: What is wrong with this very file; "": the title says it.

    Returns:
        The problem.

    Raises:
        KeyError: If there is no such code.
    """
    kind = PROBLEMS[code]
    return MediaProblem(code, kind.severity, detail or kind.title, kind.remedy)


def worker_crash_message(exit_code: int | None) -> str:
    """Say that a file has killed the process that decoded it.

    Args:
        exit_code: Of the process; negative: the signal.

    Returns:
        One line.
    """
    return f"its worker process died (exit code {exit_code})"


def timeout_message(limit_sec: float, setting: str) -> str:
    """Say that a file was given up because it took too long.

    Args:
        limit_sec: The limit.
        setting: The key or option that sets it.

    Returns:
        One line.
    """
    return f"not decoded within {setting} ({limit_sec:g} s)"
