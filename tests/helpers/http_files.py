"""A local HTTP server that behaves badly in every way that a download must survive."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Misbehavior(NamedTuple):
    """What is wrong with the server.

    ``cut_after``: bytes after which a connection is closed. ``statuses``: answers given first, one
    per request, before behaving. ``ignores_range``: always sends the whole file. ``corrupt``:
    number of answers whose first byte is wrong. ``etag``: validator, "" for none. ``range_shift``:
    how far off what was requested a range starts. ``silent_sec``: before each answer.
    """

    cut_after: int | None = None
    statuses: tuple[int, ...] = ()
    ignores_range: bool = False
    corrupt: int = 0
    etag: str = '"v1"'
    content_type: str = "application/octet-stream"
    says_length: bool = True
    range_shift: int = 0
    silent_sec: float = 0.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.close_connection = True
        owner: Server = self.server.owner
        how, number, wanted = owner.behavior, len(owner.requests), self.headers.get("Range")
        owner.requests.append((self.path, wanted))
        owner.stop.wait(how.silent_sec)
        if number < len(how.statuses):
            self._refuse(how.statuses[number])
            return
        start = 0
        if wanted and not how.ignores_range and self.headers.get("If-Range") == how.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(owner.content):
            self._refuse(416)
            return
        start += how.range_shift if start else 0
        self._send(owner.content, start, how, number < how.corrupt)

    def _refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content, start, how, is_corrupt):
        body = content[start:]
        if is_corrupt:
            body = bytes([body[0] ^ 255]) + body[1:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", how.content_type)
        if how.etag:
            self.send_header("ETag", how.etag)
        if how.says_length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        self.wfile.write(body[: how.cut_after])


class Server:
    """Serves one content at any path; ``requests`` lists (path, Range header) of each request."""

    def __init__(self, content: bytes, behavior: Misbehavior) -> None:
        self.content, self.behavior = content, behavior
        self.requests: list[tuple[str, str | None]] = []
        self.stop = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.owner = self
        self._http.handle_error = lambda *args: None  # a client that leaves is no news
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "model.pyth") -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{path}"

    def close(self) -> None:
        self.stop.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def serve(content: bytes, **behavior):
    """Serve a content for the length of a block."""
    server = Server(content, Misbehavior(**behavior))
    try:
        yield server
    finally:
        server.close()
