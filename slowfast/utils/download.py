"""Downloads files once, verifies and caches them, and resumes interrupted downloads.

A file is stored as ``$SLOWFAST_CACHE/downloads/HOST/PATH`` with a record next to it (``.json``)
of its SHA-256: the publisher's hash if the file name has one, else that of the first download.
Every later use compares the file with it. ``SLOWFAST_OFFLINE=1`` forbids downloads.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from iopath.common.file_io import file_lock

from slowfast.config import UserError
from slowfast.utils import distributed
from slowfast.utils.http_transfer import Limits, TransferError, http_get
from slowfast.utils.io import cache_dir, file_sha256, read_record, write_json

__all__ = [
    "OFFLINE_VARIABLE",
    "cached_path",
    "fetch",
    "hash_in_name",
    "on_all_ranks",
]

logger = logging.getLogger(__name__)

OFFLINE_VARIABLE = "SLOWFAST_OFFLINE"
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z0-9.]+$")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"(19|20)[0-9]{6}")


def hash_in_name(url: str) -> str:
    """Find the publisher's hash in a file's name, as in ``r3d_18-b3b3357e.pth``.

    Returns:
        The beginning of the file's SHA-256, at least 8 hexadecimal digits, or "". Eight digits that
        form a date do not count as a hash.
    """
    match = _HASH_IN_NAME.search(urlsplit(url).path)
    return match[1] if match and not _DATE.fullmatch(match[1]) else ""


def cached_path(url: str) -> Path:
    """Return where a downloaded file is cached.

    Returns:
        A path below ``cache_dir()``, the same on every machine, so that a file can also be placed
        there by hand.
    """
    split = urlsplit(url)
    names = [quote(unquote(name), safe=" ()+,=@~") for name in split.path.split("/")]
    kept = [name for name in names if name not in ("", ".", "..")] or ["index"]
    if split.query:
        kept[-1] = f"{hashlib.sha256(split.query.encode()).hexdigest()[:8]}-{kept[-1]}"
    return cache_dir().joinpath("downloads", split.netloc.replace(":", "_"), *kept)


def fetch(url: str, *, sha256: str = "", limits: Limits | None = None) -> Path:
    """Return the local copy of a file, and download it if there is none.

    If several processes of a machine call this, one downloads and the others wait for it.

    Args:
        url: http or https.
        sha256: The publisher's hash or its beginning; empty: taken from the name where it has one.
        limits: Time and size limits; None: the defaults.

    Returns:
        The file, verified against its hash.

    Raises:
        UserError: If the file cannot be downloaded, or differs from the published or recorded hash.
    """
    target, expected = cached_path(url), sha256 or hash_in_name(url)
    damage = _find_damage(target, target, url, expected)
    if not damage:
        return target
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise UserError(
            f"{url} {damage}, and {OFFLINE_VARIABLE} forbids downloading. Download it on a machine "
            f"with a network and place it at {target}, or unset {OFFLINE_VARIABLE}."
        )
    started = time.time()
    with _locked(target), _remembered_failure(target, started):
        if _find_damage(target, target, url, expected):  # no other process was faster
            if target.is_file():
                logger.warning("%s %s: downloading it again", target, damage)
            _download(url, target, expected, limits or Limits())
    return target


def _download(url: str, target: Path, expected: str, limits: Limits) -> None:
    """Download and verify a file. The caller holds the lock."""
    part = target.with_name(f"{target.name}.part")
    logger.info("downloading %s to %s", url, target.parent)
    for _ in range(2):
        try:
            http_get(url, part, limits)
        except TransferError as error:
            hint = f"Or download it elsewhere and place it at {target}."
            raise UserError(f"{url} could not be downloaded: {error} {hint}") from error
        damage = _find_damage(part, target, url, expected)
        if not damage:
            try:
                part.replace(target)
            except OSError as error:
                raise UserError(f"{url}: {target} is in the way: {error.strerror}.") from error
            logger.info("downloaded %s (%.1f MB)", target, target.stat().st_size / 1e6)
            return
        part.unlink()
        logger.warning("%s %s", url, damage)
    raise UserError(
        f"{url} {damage}. It was downloaded twice. If the publisher has replaced the file and you "
        f"trust the new one, delete {_record_path(target)}."
    )


def _find_damage(file: Path, target: Path, url: str, expected: str) -> str:
    """Compare a file with the publisher's hash, else with its record; write the record if new.

    Returns:
        What is wrong with the file, as a predicate ("is damaged: ..."); "" if it is intact.
    """
    if not file.is_file():
        return "is not in the cache"
    known = read_record(_record_path(target), sha256=str)
    origin = "the publisher" if expected else "the first download"
    recorded = known.get("sha256", "")
    wanted = expected or (recorded if _SHA256.fullmatch(recorded) else "")
    got = file_sha256(file)
    if not got.startswith(wanted.lower()):
        shown = max(12, len(expected))
        return (
            f"is damaged: its SHA-256 begins with {got[:shown]}, that of {origin} with "
            f"{wanted[:shown]}"
        )
    if known.get("sha256") != got:
        record = {"url": url, "sha256": got, "size": file.stat().st_size, "origin": origin}
        write_json(_record_path(target), record)
    return ""


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold a lock file of this machine; the system releases it if the process dies."""
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(str(target)))
        except OSError as error:
            raise UserError(
                f"SLOWFAST_CACHE: cannot write to {target.parent}: {error.strerror}."
            ) from error
        yield


@contextmanager
def _remembered_failure(target: Path, started: float) -> Iterator[None]:
    """Pass a failure on to the waiting processes, so that they do not all try again."""
    note = target.with_name(f"{target.name}.failed.json")
    failure = read_record(note, time=(int, float), message=str)
    if failure and failure["time"] >= started:
        raise UserError(failure["message"])
    try:
        yield
    except UserError as error:
        write_json(note, {"time": time.time(), "message": str(error)})
        raise
    note.unlink(missing_ok=True)


def on_all_ranks(work: Callable[[], Path]) -> Path:
    """Run a function on every rank and fail on every rank if it failed on any.

    Every rank must call this. No rank waits for one that has already failed: each reaches
    the collective below, with or without an error.

    Args:
        work: Returns a local file; may raise.

    Returns:
        Its result on this rank.

    Raises:
        UserError: If it failed on another rank only.
    """
    failure = None
    try:
        path = work()
    except Exception as error:  # re-raised below, after the other ranks know
        failure = error
    messages = distributed.gather_objects("" if failure is None else str(failure))
    if failure is not None:
        raise failure
    for message in filter(None, messages):
        raise UserError(f"another process could not load the file: {message}")
    return path
