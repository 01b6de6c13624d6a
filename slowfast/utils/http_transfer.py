"""Resumable HTTP download of one file, with retries and time limits."""

from __future__ import annotations

import contextlib
import http.client
import logging
import shutil
import ssl
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast.utils.http_connection import HttpReply, OutOfTimeError, ReplyError, open_url
from slowfast.utils.io import printable, read_record, write_json
from slowfast.utils.progress import ProgressMeter

__all__ = ["Limits", "TransferError", "http_get"]

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_RANGE_NOT_SATISFIABLE = 416
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_BROKEN = (
    *(urllib.error.URLError, http.client.HTTPException),
    *(ssl.SSLError, ConnectionError, TimeoutError),
)


@dataclass(frozen=True)
class Limits:
    """Limits of size, time and retries.

    Attributes:
        max_bytes: Largest file size. The largest checkpoint of the zoos is about 5 GB, including
            its optimizer state.
        stall_sec: Longest time without data from the server, in seconds.
        total_sec: Longest time of one call, in seconds. Shorter than the 30-minute timeout of
            collectives. The next call resumes.
        attempts: Consecutive connections without new data before giving up.
        pause_sec: Before the second attempt, in seconds; doubled before each further one.
    """

    max_bytes: int = 16 << 30
    stall_sec: float = 60.0
    total_sec: float = 1500.0
    attempts: int = 5
    pause_sec: float = 1.0


class TransferError(Exception):
    """The file cannot be downloaded; the message is a sentence."""


class _CutError(Exception):
    """The connection ended early; a retry may help."""


def http_get(url: str, part: Path, limits: Limits) -> None:
    """Download into a partial file, resuming from what is there.

    Args:
        url: http or https.
        part: The partial file. ``.state.json`` next to it holds the server's version (ETag or
            date) of the file: partial data of another version is discarded.
        limits: Limits of size, time and retries.

    Raises:
        TransferError: If the file cannot be downloaded.
    """
    deadline = time.monotonic() + limits.total_sec
    best, failures = _size(part), 0
    while True:
        try:
            _get_rest(url, part, limits, deadline)
            _state_path(part).unlink(missing_ok=True)
            return
        except _CutError as error:
            reason = str(error)
        size = _size(part)
        failures = 0 if size > best else failures + 1
        best = max(best, size)
        if failures >= limits.attempts:
            raise TransferError(f"{reason} (after {failures} failed attempts).")
        if time.monotonic() > deadline:
            raise TransferError(
                f"not done after {limits.total_sec:.0f} s, {size / 1e6:.1f} MB are here; the next "
                "call resumes from there."
            )
        logger.info("%s: %s; %.1f MB are here, trying again", url, reason, size / 1e6)
        pause_sec = limits.pause_sec * 2 ** max(0, failures - 1)
        time.sleep(max(0.0, min(pause_sec, deadline - time.monotonic())))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.state.json")


def _read_state(part: Path) -> tuple[str, int | None]:
    """Return validator and size of the version that a partial file is of; "": not known."""
    state = read_record(_state_path(part), validator=str)
    total = state.get("total")
    return state.get("validator", ""), total if isinstance(total, int) else None


def _get_rest(url: str, part: Path, limits: Limits, deadline: float) -> None:
    """Request the missing bytes and read to the end of the file, or raise."""
    validator, total = _read_state(part)
    start = _size(part) if validator else 0
    if start and start == total:
        return
    headers = {"User-Agent": "slowfast-stica", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with (
        _explained(part),
        open_url(url, headers, stall_sec=limits.stall_sec, deadline=deadline) as reply,
    ):
        if reply.start not in (0, start) or (reply.start and _differs(reply, part)):
            part.unlink(missing_ok=True)
            raise _CutError("the server sent a different range than requested")
        _save(reply, part, limits, deadline)


@contextlib.contextmanager
def _explained(part: Path) -> Iterator[None]:
    """Turn what a download may raise into a TransferError, or a _CutError if a retry may help."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        reason = printable(" ".join(str(error.reason).split()))[:200]
        reason = f"the server answered {error.code} {reason}".strip()
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        elif error.code not in _TEMPORARY:
            raise TransferError(f"{reason}.") from error
        raise _CutError(reason) from error
    except ReplyError as error:
        part.unlink(missing_ok=True)
        reason = printable(str(error))[:300]
        raise TransferError(f"the server's reply is refused: {reason}.") from error
    except OutOfTimeError as error:
        raise _CutError("it takes too long") from error
    except _BROKEN as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise TransferError(f"its certificate is not trusted: {cause}.") from error
        reason = printable(str(cause) or type(cause).__name__)[:200]
        raise _CutError(f"the connection failed ({reason})") from error
    except OSError as error:
        raise TransferError(f"cannot write {part}: {error.strerror}.") from error


def _differs(reply: HttpReply, part: Path) -> bool:
    """Return whether a part that the server sends is of another version than the partial file."""
    validator, total = _read_state(part)
    return (reply.validator or validator) != validator or reply.total != (total or reply.total)


def _save(reply: HttpReply, part: Path, limits: Limits, deadline: float) -> None:
    """Append a reply to the partial file, or overwrite it if the server sends the full file."""
    total, done = reply.total, reply.start
    _check_size(total or 0, limits)
    _check_disk((total or 0) - done, part)
    with (
        part.open("r+b" if done else "wb") as file,
        ProgressMeter(f"downloading {part.stem}", total, done=done, unit="B") as meter,
    ):
        write_json(_state_path(part), {"validator": reply.validator, "total": total})
        file.seek(done)
        file.truncate()
        while chunk := reply.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            meter.update(len(chunk))
            _check_size(done, limits)
            if time.monotonic() > deadline:
                raise OutOfTimeError
    if total is not None and done < total:
        raise _CutError(f"the connection was cut at {done / 1e6:.1f} of {total / 1e6:.1f} MB")
    if total is not None and done > total:
        raise ReplyError(f"it sends {done} bytes, and says {total}")
    if not done:
        raise ReplyError("the file is empty")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise TransferError(f"it has more than {limits.max_bytes / 1e9:.1f} GB.")


def _check_disk(size: int, part: Path) -> None:
    free = shutil.disk_usage(part.parent).free
    if size > free:
        raise TransferError(
            f"it needs {size / 1e9:.1f} GB, but {part.parent} has {free / 1e9:.1f} GB left "
            "(SLOWFAST_CACHE sets another folder)."
        )
