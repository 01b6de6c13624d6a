"""Resumable HTTP download of one file, with retries and time limits."""

from __future__ import annotations

import http.client
import logging
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from slowfast.utils.io import read_json, write_json

__all__ = ["Limits", "TransferError", "http_get"]

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_PARTIAL, _RANGE_NOT_SATISFIABLE = 206, 416
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
        time.sleep(limits.pause_sec * 2 ** max(0, failures - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.state.json")


def _get_rest(url: str, part: Path, limits: Limits, deadline: float) -> None:
    """Request the missing bytes and read to the end of the file, or raise."""
    state = read_json(_state_path(part))
    start = _size(part) if state.get("validator") else 0
    if start and start == state["total"]:
        return
    request = urllib.request.Request(
        url, headers={"User-Agent": "slowfast-stica", "Accept-Encoding": "identity"}
    )
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", state["validator"])
    try:
        with urllib.request.urlopen(request, timeout=limits.stall_sec) as answer:
            _save(answer, part, start, limits, deadline)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"the server answered {error.code} {error.reason}"
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        elif error.code not in _TEMPORARY:
            raise TransferError(f"{reason}.") from error
        raise _CutError(reason) from error
    except _BROKEN as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise TransferError(f"its certificate is not trusted: {cause}.") from error
        raise _CutError(f"the connection failed ({cause})") from error
    except OSError as error:
        raise TransferError(f"cannot write {part}: {error.strerror}.") from error


def _save(
    answer: http.client.HTTPResponse, part: Path, start: int, limits: Limits, deadline: float
) -> None:
    """Append a response to the partial file, or overwrite it if the server sends the full file."""
    if answer.status != _PARTIAL:
        start = 0
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise _CutError("the server sent a different range than requested")
    if answer.headers.get_content_type() == "text/html":
        raise TransferError("the server answered with a web page, not with a file.")
    length = answer.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    _check_size(total or 0, limits)
    _check_disk((total or 0) - start, part)
    validator = answer.headers.get("ETag", "")
    if not validator or validator.startswith("W/"):  # weak validators do not work with ranges
        validator = answer.headers.get("Last-Modified", "")
    done, hidden = start, not sys.stderr.isatty()
    with (
        part.open("r+b" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, disable=hidden) as bar,
    ):
        write_json(_state_path(part), {"validator": validator, "total": total})
        file.seek(start)
        while chunk := answer.read1(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
            _check_size(done, limits)
            if time.monotonic() > deadline:
                raise _CutError("it takes too long")
    if total is not None and done < total:
        raise _CutError(f"the connection was cut at {done / 1e6:.1f} of {total / 1e6:.1f} MB")


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
