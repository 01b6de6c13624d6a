"""Opens http and https URLs with a limit for everything that a server can send.

``urllib.request`` limits the time of each read and the length of each line. A server that sends a
byte of a header now and then, or headers, redirects and chunk sizes without end, would hold it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["HttpReply", "OutOfTimeError", "ReplyError", "open_url"]

_MAX_LINES_BYTES = 32 << 20
"""Of status lines, headers, chunk sizes and trailers: enough for 16 GB in chunks of 8 kB."""
_LEAST_SEC = 1.0
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class ReplyError(Exception):
    """A reply that breaks the rules of HTTP, or asks for what is refused; a retry is of no use."""


class OutOfTimeError(Exception):
    """The deadline has passed."""


class _Limited:
    """The file of a socket, with a limit for what is read in lines."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, _MAX_LINES_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise ReplyError(f"it sends more than {_MAX_LINES_BYTES >> 20} MB of headers")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp: Any = _Limited(self.fp)


class _Guard:
    """Shuts the connections down at the deadline: also one that is read in a blocking call."""

    def __init__(self, deadline: float) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(_LEAST_SEC, deadline - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()

    def connect(self, *args: Any, **kwargs: Any) -> socket.socket:
        """Connect a socket that the guard knows; it keeps a duplicate, as TLS replaces it."""
        created = socket.create_connection(*args, **kwargs)
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(created.fileno())))
        if self.is_over:
            self._end()
        return created

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            for duplicate in self._sockets:
                with contextlib.suppress(OSError):
                    duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            for duplicate in self._sockets:
                duplicate.close()
            self._sockets.clear()


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens guarded connections."""

    def __init__(self, guard: _Guard) -> None:
        urllib.request.HTTPSHandler.__init__(self)
        self._guard = guard

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(partial(self._connection, http.client.HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(partial(self._connection, http.client.HTTPSConnection), request)

    def _connection(self, kind: Any, host: str, **options: Any) -> Any:
        connection = kind(host, **options)
        connection.response_class = _Response
        connection._create_connection = self._guard.connect
        return connection


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, but not from https to http; reads no body of them."""

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise ReplyError(f"it redirects from {req.type} to {scheme}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class HttpReply:
    """A reply whose headers are read and make sense.

    Args:
        response: Of the standard library.
        guard: Of its connection.

    Attributes:
        start: Position of the first byte of the body in the file.
        total: Size of the file, in bytes; None: the server does not tell.
        validator: ETag or date of this version of the file; "": none that works with ranges.

    Raises:
        ReplyError: If the headers contradict themselves.
    """

    def __init__(self, response: Any, guard: _Guard) -> None:
        self._response, self._guard = response, guard
        headers = response.headers
        if response.status not in (200, 203, 206):
            raise ReplyError(f"it answered {response.status} without the file")
        if headers.get_content_type() == "text/html":
            raise ReplyError("it answered with a web page, not with a file")
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise ReplyError(f"it sends the file encoded as {encoding[:40]!r}, unasked")
        length = None if response.chunked else _length(headers.get_all("Content-Length", []))
        self.start, self.total = 0, length
        if response.status == 206:
            match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
            if match is None:
                raise ReplyError("it answered 206 without saying which part it sends")
            self.start, end = int(match[1]), int(match[2]) + 1
            if length not in (None, end - self.start):
                raise ReplyError(f"it sends {length} bytes as bytes {match[1]} to {match[2]}")
            self.total = end if match[3] == "*" else int(match[3])
        validator = headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # weak ones do not work with ranges
            validator = headers.get("Last-Modified", "")
        self.validator = validator if validator.isascii() and validator.isprintable() else ""

    def read(self, size: int) -> bytes:
        """Read at most so many bytes; b"": the end.

        Raises:
            OutOfTimeError: If the deadline has passed.
            ReplyError: If the size of a chunk is negative.
        """
        chunk: bytes = self._response.read1(size)
        left = self._response.chunk_left
        if isinstance(left, int) and left < 0:
            raise ReplyError(f"it sends a chunk of {left} bytes")
        if not chunk and self._guard.is_over:
            raise OutOfTimeError
        return chunk


def _length(values: list[str]) -> int | None:
    """Return the value of Content-Length; None: there is none."""
    if not values:
        return None
    value = values[0].strip()
    if len(set(values)) > 1 or not (value.isascii() and value.isdigit() and len(value) < 19):
        raise ReplyError(f"its Content-Length is {', '.join(values)[:60]!r}")
    return int(value)


@contextlib.contextmanager
def open_url(
    url: str, headers: dict[str, str], *, stall_sec: float, deadline: float
) -> Iterator[HttpReply]:
    """Request a file.

    Args:
        url: http or https; other than ASCII characters are quoted.
        headers: Further headers of the request.
        stall_sec: Longest time without a byte, in seconds.
        deadline: End of everything (``time.monotonic``), but at least a second from now.

    Yields:
        The reply, to read it.

    Raises:
        ReplyError: If the reply breaks the rules of HTTP, also while it is read.
        OutOfTimeError: If the deadline has passed, also while it is read.
        urllib.error.HTTPError: If the server answers with an error.
        OSError, http.client.HTTPException: If the connection fails, also while it is read.
    """
    guard = _Guard(deadline)
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Handler(guard)),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()),
        _Redirects(),
    ):
        opener.add_handler(handler)
    try:
        request = urllib.request.Request(quote(url, safe=_SAFE), headers=headers)
        with contextlib.closing(opener.open(request, timeout=stall_sec)) as response:
            yield HttpReply(response, guard)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if guard.is_over:
            raise OutOfTimeError from error
        raise
    except (ValueError, LookupError, OverflowError) as error:  # of URLs, ports and encodings
        raise ReplyError(f"a URL or header of it is malformed: {error}") from error
    finally:
        guard.close()
