"""The problems of media files, shared by loader, checker and tools.

Each problem has a code, a severity, a reason and a remedy. The loader records the reason in
``bad_media.csv``; the checker (``inspect``) reports all four.
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
"""Unusable; usable with care; good to know. The most severe first."""


class ProblemKind(NamedTuple):
    """A kind of problem.

    Attributes:
        severity: One of SEVERITIES.
        title: Short description, for a table of counts.
        remedy: What to do about it; "" if there is nothing to do.
    """

    severity: str
    title: str
    remedy: str


class MediaProblem(NamedTuple):
    """A problem of a file.

    Attributes:
        code: Key of PROBLEMS.
        severity: One of SEVERITIES.
        reason: What is wrong with this file, in one line.
        remedy: What to do about it; "" if there is nothing to do.
    """

    code: str
    severity: str
    reason: str
    remedy: str


_GET_AGAIN = "Get the file again, or leave it out."
_ENCODE = "Re-encode it (prepare_data.py encode)."
_REQUIRE_AUDIO = "Leave it out with slowfast prepare all --require-audio."
_NOTHING = ""
JOIN = (
    "It was joined from several recordings, and only the first is read. Re-encode it to one "
    "timeline: ffmpeg -i FILE OUT.mp4"
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
    "playlist": ProblemKind("error", "playlist of other files", "List those files instead."),
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
    "no_audio": ProblemKind("warning", "no audio track", _REQUIRE_AUDIO),
    "silent": ProblemKind("warning", "silent throughout", _REQUIRE_AUDIO),
    "faint": ProblemKind("warning", "very quiet throughout", "Listen to it: is that the audio?"),
    "audio_covers_little": ProblemKind(
        "warning",
        "audio during less than half of the video",
        "Clips elsewhere count as without audio; leave it out if there are many.",
    ),
    "no_video": ProblemKind("note", "audio only", _NOTHING),
    "mostly_silent": ProblemKind("note", "silent for more than half of the time", _NOTHING),
    "blank": ProblemKind("note", "blank video (one color)", "Check it by eye."),
    "offset": ProblemKind(
        "note", "video and audio start at different times", "Nothing: timestamps are used."
    ),
    "ends_apart": ProblemKind("note", "video and audio end at different times", _NOTHING),
    "short": ProblemKind("note", "shorter than a second", "Leave it out with --min-sec."),
    "variable_rate": ProblemKind(
        "note", "variable frame rate", "Nothing: frames are read by their timestamps."
    ),
    "low_rate": ProblemKind("note", "few frames per second", "Nothing: frames are repeated."),
    "sparse_keyframes": ProblemKind("note", "keyframes far apart: slow to read", _ENCODE),
    "no_timestamps": ProblemKind(
        "note", "container without timestamps", "Nothing: frames get times from their order."
    ),
    "several_tracks": ProblemKind("note", "several tracks of a kind", _NOTHING),
    "small": ProblemKind("note", "small frames", "Nothing: crops are upscaled."),
}
"""By code."""


def problem(code: str, detail: str = "") -> MediaProblem:
    """Build a problem of a file.

    Args:
        code: Key of PROBLEMS.
        detail: What is wrong with this file; "": the title of the kind.

    Returns:
        The problem.

    Raises:
        KeyError: If the code does not exist.
    """
    kind = PROBLEMS[code]
    return MediaProblem(code, kind.severity, detail or kind.title, kind.remedy)


def worker_crash_message(exit_code: int | None) -> str:
    """Return the reason for a file that killed the process that decoded it.

    Args:
        exit_code: Exit code of the process; negative: the signal.

    Returns:
        One line.
    """
    return f"its worker process died (exit code {exit_code})"


def timeout_message(limit_sec: float, setting: str) -> str:
    """Return the reason for a file whose decoding took too long.

    Args:
        limit_sec: The time limit, in seconds.
        setting: The config key or option of the limit.

    Returns:
        One line.
    """
    return f"not decoded within {setting} ({limit_sec:g} s)"
