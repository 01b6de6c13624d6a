"""One HTTP transfer into a partial file: cut connections, resuming, and when to give up."""

from __future__ import annotations

import http.client
import logging
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from slowfast.utils.io import read_json, write_json

__all__ = ["Limits", "TransferError", "transfer"]

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True)
class Limits:
    """When to give up.

    Attributes:
        max_bytes: Largest file. The largest checkpoint of the zoos is about 5 GB, with the state of
            its optimizer.
        stall_sec: Longest silence of the server, in seconds.
        total_sec: Longest time of one call, in seconds. Less than the half hour after which
            processes that wait at a collective give up. The next call goes on from there.
        attempts: Connections in a row that bring nothing new.
        pause_sec: Before the second attempt, in seconds; each further one waits twice as long.
    """

    max_bytes: int = 16 << 30
    stall_sec: float = 60.0
    total_sec: float = 1500.0
    attempts: int = 5
    pause_sec: float = 1.0


class TransferError(Exception):
    """The file cannot be had; the message is a sentence."""


class _CutError(Exception):
    """The connection ended early; trying again may help."""


def transfer(url: str, part: Path, limits: Limits) -> None:
    """Download into a partial file, going on from what is there.

    Args:
        url: http or https.
        part: The partial file. Beside it, ``.state.json`` holds what the server said of the
            version it is a part of: a part of another version is thrown away.
        limits: When to give up.

    Raises:
        TransferError: If the file cannot be had.
    """
    deadline = time.monotonic() + limits.total_sec
    best, failures = _size(part), 0
    while True:
        try:
            _Connection(url, part, limits, deadline).run()
            _state_path(part).unlink(missing_ok=True)
            return
        except _CutError as error:
            reason = str(error)
        size = _size(part)
        failures = 0 if size > best else failures + 1
        best = max(best, size)
        if failures >= limits.attempts:
            raise TransferError(f"{reason} (after {failures} attempts in vain).")
        if time.monotonic() > deadline:
            raise TransferError(
                f"not done after {limits.total_sec:.0f} s, {size / 1e6:.1f} MB are here; the next "
                "call goes on from there."
            )
        logger.info("%s: %s; %.1f MB are here, trying again", url, reason, size / 1e6)
        time.sleep(limits.pause_sec * 2 ** max(0, failures - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.state.json")


class _Connection:
    """One request and the reading of its answer."""

    def __init__(self, url: str, part: Path, limits: Limits, deadline: float) -> None:
        self.url, self.part, self.limits, self.deadline = url, part, limits, deadline
        self.state = read_json(_state_path(part))

    def run(self) -> None:
        """Read to the end of the file, or raise."""
        start = _size(self.part) if self.state.get("validator") else 0
        headers = {"User-Agent": "slowfast-stica", "Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self.state["validator"]}
        request = urllib.request.Request(self.url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.limits.stall_sec) as answer:
                self._read(answer, start)
        except urllib.error.HTTPError as error:
            self._judge(error, start)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise TransferError(f"its certificate is not trusted: {error.reason}.") from error
            raise _CutError(f"no connection ({error.reason})") from error
        except TimeoutError as error:
            raise _CutError(f"nothing came for {self.limits.stall_sec:g} s") from error
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            raise _CutError(f"the connection broke ({error!r})") from error
        except OSError as error:
            raise TransferError(f"cannot write {self.part}: {error.strerror}.") from error

    def _judge(self, error: urllib.error.HTTPError, start: int) -> None:
        """Tell refusals that may pass from those that will not."""
        code, words = error.code, f"the server answered {error.code} {error.reason}"
        error.close()
        if code == _RANGE_NOT_SATISFIABLE and start:
            if start == self.state.get("total"):
                return  # the part was whole already
            self.part.unlink()
            raise _CutError("the partial file does not fit") from error
        if code in _PASSING:
            raise _CutError(words) from error
        raise TransferError(f"{words}.") from error

    def _read(self, answer: http.client.HTTPResponse, start: int) -> None:
        start, total = self._place(answer, start)
        if answer.headers.get_content_type() == "text/html":
            raise TransferError("the server answered with a web page, not with a file.")
        self._check_size(total, start)
        validator = answer.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # weak ones are no use for ranges
            validator = answer.headers.get("Last-Modified", "")
        self.part.parent.mkdir(parents=True, exist_ok=True)
        with self.part.open("r+b" if start else "wb") as file:
            write_json(_state_path(self.part), {"validator": validator, "total": total})
            file.seek(start)
            file.truncate()
            done = self._copy(answer, file, start, total)
        if total is not None and done < total:
            raise _CutError(f"the connection was cut at {done / 1e6:.1f} of {total / 1e6:.1f} MB")

    def _place(self, answer: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
        """Find out where the answer begins and how long the whole file is."""
        if answer.status == _PARTIAL:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != start:
                self.part.unlink(missing_ok=True)
                raise _CutError("the server sent another range than was asked for")
            return start, int(match[2])
        if answer.status != _OK:
            raise TransferError(f"the server answered {answer.status}.")
        length = answer.headers.get("Content-Length")
        return 0, int(length) if length is not None else None

    def _check_size(self, total: int | None, start: int) -> None:
        if total is None:
            return
        if total > self.limits.max_bytes:
            raise TransferError(
                f"it has {total / 1e9:.1f} GB, more than {self.limits.max_bytes / 1e9:.1f} GB."
            )
        folder = next(p for p in self.part.parents if p.exists())
        free = shutil.disk_usage(folder).free
        if total - start > free:
            raise TransferError(
                f"it needs {(total - start) / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB "
                "left (SLOWFAST_CACHE names another place)."
            )

    def _copy(
        self, answer: http.client.HTTPResponse, file: IO[bytes], start: int, total: int | None
    ) -> int:
        """Copy until the end, a limit or a cut; return the size reached."""
        done = start
        hidden = not sys.stderr.isatty()
        with tqdm(total=total, initial=start, unit="B", unit_scale=True, disable=hidden) as bar:
            while chunk := answer.read1(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
                if done > self.limits.max_bytes:
                    raise TransferError(f"it is longer than {self.limits.max_bytes / 1e9:.1f} GB.")
                if time.monotonic() > self.deadline:
                    raise _CutError("it takes too long")
        return done
