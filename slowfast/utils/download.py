"""Files from the network: downloaded once, checked, cached, and resumed where it broke off.

A file lies in ``$SLOWFAST_CACHE/downloads/HOST/PATH`` with a record beside it (``.json``) of its
SHA-256: the publisher's where the file's name carries one, else that of the first download, with
which every later use is compared. ``SLOWFAST_OFFLINE=1`` forbids the network.
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
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from iopath.common.file_io import file_lock

from slowfast.config import UserError
from slowfast.utils import distributed
from slowfast.utils.http_transfer import Limits, TransferError, http_get
from slowfast.utils.io import cache_dir, file_sha256, read_json, write_json

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
_DATE = re.compile(r"(19|20)[0-9]{6}")


def hash_in_name(url: str) -> str:
    """Find the publisher's hash in a file's name, as in ``r3d_18-b3b3357e.pth``.

    Args:
        url: An address or a name.

    Returns:
        The beginning of the file's SHA-256, at least 8 hexadecimal digits, or "". Eight digits that
        read as a date are none.
    """
    match = _HASH_IN_NAME.search(urlsplit(url).path)
    return match[1] if match and not _DATE.fullmatch(match[1]) else ""


def cached_path(url: str) -> Path:
    """Say where a file from the network is kept.

    Args:
        url: An address.

    Returns:
        A path below ``cache_dir()``, the same on every machine, so that a file may also be put
        there by hand.
    """
    parts = urlsplit(url)
    names = [quote(unquote(name), safe=" ()+,=@~") for name in parts.path.split("/")]
    kept = [name for name in names if name not in ("", ".", "..")] or ["index"]
    if parts.query:
        kept[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{kept[-1]}"
    return cache_dir().joinpath("downloads", parts.netloc.replace(":", "_"), *kept)


def fetch(url: str, *, sha256: str = "", limits: Limits | None = None) -> Path:
    """Give the local copy of a file, downloading it when there is none.

    Of several processes of a machine one downloads while the others wait for it.

    Args:
        url: http or https.
        sha256: The publisher's hash or its beginning; empty: taken from the name where it has one.
        limits: Of time and size; None: the usual ones.

    Returns:
        The file, whose content was compared with its hash just now.

    Raises:
        UserError: If the file cannot be had, or is not what was published or recorded.
    """
    target, expected = cached_path(url), sha256 or hash_in_name(url)
    damage = _find_damage(target, target, url, expected)
    if not damage:
        return target
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise UserError(
            f"{url} {damage}, and {OFFLINE_VARIABLE} forbids downloading. Download it on a machine "
            f"with a network and put it to {target}, or unset {OFFLINE_VARIABLE}."
        )
    asked = time.time()
    with _locked(target), _remembered_failure(target, asked):
        if _find_damage(target, target, url, expected):  # no other process was faster
            if target.is_file():
                logger.warning("%s %s: downloading it again", target, damage)
            _download(url, target, expected, limits or Limits())
    return target


def _download(url: str, target: Path, expected: str, limits: Limits) -> None:
    """Do what only one process may do at a time."""
    part = target.with_name(f"{target.name}.part")
    logger.info("downloading %s to %s", url, target.parent)
    for _ in range(2):
        try:
            http_get(url, part, limits)
        except TransferError as error:
            hint = f"Or download it elsewhere and put it to {target}."
            raise UserError(f"{url} could not be downloaded: {error} {hint}") from error
        damage = _find_damage(part, target, url, expected)
        if not damage:
            part.replace(target)
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
        What is wrong with it, to stand behind its name; "" when it is intact.
    """
    if not file.is_file():
        return "is not in the cache"
    known = read_json(_record_path(target))
    origin = "the publisher" if expected else "the first download"
    wanted = expected or known.get("sha256", "")
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
    """Let one process of the machine in; the system frees the lock of a process that dies."""
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
def _remembered_failure(target: Path, asked: float) -> Iterator[None]:
    """Pass a failure on to those who were waiting for it, instead of letting each try again."""
    note = target.with_name(f"{target.name}.failed.json")
    failure: dict[str, Any] = read_json(note)
    if failure.get("time", 0.0) >= asked:
        raise UserError(failure["message"])
    try:
        yield
    except UserError as error:
        write_json(note, {"time": time.time(), "message": str(error)})
        raise
    note.unlink(missing_ok=True)


def on_all_ranks(work: Callable[[], Path]) -> Path:
    """Do something on every rank and fail on every rank when it failed on one.

    Every rank must make this call. Nobody waits for a rank that has already given up: each reaches
    the one exchange below, whatever happened to it before.

    Args:
        work: Gives a local file; may raise.

    Returns:
        What it gave on this rank.

    Raises:
        UserError: If it failed on another rank only.
    """
    failure = None
    try:
        path = work()
    except Exception as error:  # raised again below, after the others have been told
        failure = error
    messages = distributed.gather_objects("" if failure is None else str(failure))
    if failure is not None:
        raise failure
    for message in filter(None, messages):
        raise UserError(f"another process could not get the file: {message}")
    return path
