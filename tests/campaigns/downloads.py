"""Replies that break HTTP, lie, or never end: each is one message in time, or the right file.

    python tests/campaigns/downloads.py [--count N]

A trial is a case of ``CASES``: a local server that replies to each connection with given bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import resource
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign

from slowfast.config import UserError
from slowfast.utils.download import cached_path, fetch
from slowfast.utils.http_transfer import Limits

CONTENT = bytes(range(256)) * 400  # 100 kB
END = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LIMITS = Limits(max_bytes=1 << 20, stall_sec=0.6, total_sec=2.0, attempts=2, pause_sec=0.01)
LATEST_SEC = 8.0
"""A download may be tried twice, and each call may take a second more to end."""
MOST_MB = 100.0
ENDLESS, RESET = "endless", "reset"
Piece = bytes | float | str
Reply = Iterable[Piece]


@dataclass(frozen=True)
class Request:
    """A request: its number, its path and the first byte it wants."""

    number: int
    path: str
    start: int


@dataclass(frozen=True)
class Case:
    """What the server sends.

    Attributes:
        name: For the record.
        reply: (request) -> bytes, seconds to wait, and RESET.
        ends: "file": the right file must arrive; "message": it must be refused; "any".
        is_named: Whether the URL has the hash of the file.
    """

    name: str
    reply: Callable[[Request], Reply]
    ends: str = "message"
    is_named: bool = False


def head(status: str = "200 OK", **headers: Any) -> bytes:
    """A status line and headers; ``_`` in names is ``-``."""
    fields = {"Content_Length": len(CONTENT), "Connection": "close", **headers}
    lines = [f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items() if v is not None]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode("latin1")


def chunked(data: bytes, size: int = 30_000) -> bytes:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def always(*pieces: Piece) -> Callable[[Request], Reply]:
    return lambda request: pieces


def slowly(data: bytes, sec: float = 0.05) -> Reply:
    for byte in data:
        yield bytes([byte])
        yield sec


def forever(*pieces: Piece) -> Callable[[Request], Reply]:
    return lambda request: itertools.cycle(pieces)


def after(*first: Piece, then: tuple[Piece, ...], sec: float = 0.0) -> Callable[[Request], Reply]:
    return lambda request: itertools.chain(first, itertools.cycle((*then, sec)))


def redirect(location: str, code: int = 302, body: tuple[Piece, ...] = ()) -> Any:
    def reply(request: Request) -> Reply:
        return itertools.chain(
            [head(f"{code} Found", Content_Length=None, Location=location)], itertools.cycle(body)
        )

    return reply


def resuming(second: Callable[[Request], Reply], tag: str = '"v1"') -> Callable[[Request], Reply]:
    """Cut the first reply in the middle; ``second`` answers the others."""

    def reply(request: Request) -> Reply:
        if request.number == 0:
            return [head(ETag=tag), CONTENT[:50_000]]
        return second(request)

    return reply


def ranged(start: int, end: int, total: Any = END, tag: str = '"v1"', **headers: Any) -> Any:
    fields = {"Content_Range": f"bytes {start}-{end - 1}/{total}", "ETag": tag, **headers}
    fields.setdefault("Content_Length", end - start)
    return always(head("206 Partial Content", **fields), CONTENT[start:end])


def moved(request: Request) -> Reply:
    if request.path.startswith("/there"):
        return [head(), CONTENT]
    return [head("301 Moved", Content_Length=0, Location="/there/model.pyth")]


LONG = "x" * 70_000
CHUNKED = {"Content_Length": None, "Transfer_Encoding": "chunked"}
CASES = (
    # What is right, in unusual forms.
    Case("plain", always(head(), CONTENT), "file"),
    Case("no length", always(head(Content_Length=None), CONTENT), "file"),
    Case("chunked", always(head(**CHUNKED), chunked(CONTENT), b"0\r\n\r\n"), "file"),
    Case(
        "chunk extensions",
        always(head(**CHUNKED), chunked(CONTENT).replace(b"7530\r", b"7530;a=b\r"), b"0\r\n\r\n"),
        "file",
    ),
    Case(
        "chunked and a length",
        always(head(Transfer_Encoding="chunked", Content_Length=7), chunked(CONTENT), b"0\r\n\r\n"),
        "file",
    ),
    Case("trailers", always(head(**CHUNKED), chunked(CONTENT), b"0\r\nA: b\r\n\r\n"), "file"),
    Case("100 first", always(b"HTTP/1.1 100 Continue\r\n\r\n", head(), CONTENT), "file"),
    Case("moved", moved, "file"),
    Case("203", always(head("203 Other"), CONTENT), "file"),
    Case("more than the length", always(head(), CONTENT, CONTENT), "file"),
    Case("non-ASCII headers", always(head(Server="\xe4\xf6\xfc", ETag="\xe9"), CONTENT), "file"),
    Case("206 of all, unasked", ranged(0, END), "file"),
    Case("resumed", resuming(lambda r: ranged(r.start, END)(r)), "file"),
    Case("resumed without total", resuming(lambda r: ranged(r.start, END, "*")(r)), "file"),
    Case("resumed from the start", resuming(always(head(ETag='"v1"'), CONTENT)), "file"),
    Case("another version", resuming(lambda r: [head(ETag='"v2"'), CONTENT]), "file"),
    Case("206 in two parts", lambda r: ranged(r.start, min(END, r.start + 60_000))(r), "file"),
    # Headers.
    Case("closed at once", always(b"")),
    Case("reset at once", always(RESET)),
    Case("silent", always(30.0)),
    Case("half a status line", always(b"HTTP/1.")),
    Case("garbage", always(bytes(range(256)) * 40)),
    Case("HTTP/0.9", always(CONTENT)),
    Case("another protocol", always(b"SSH-2.0-OpenSSH_9.6\r\n", 30.0)),
    Case("status of letters", always(b"HTTP/1.1 abc OK\r\n\r\n")),
    Case("status 99", always(head("99 Low"), CONTENT)),
    Case("status 1000", always(head("1000 High"), CONTENT)),
    Case("long status line", always(b"HTTP/1.1 200 " + LONG.encode() + b"\r\n\r\n")),
    Case("long header", always(head(X=LONG), CONTENT)),
    Case("many headers", always(head(**{f"X{n}": n for n in range(200)}), CONTENT)),
    Case("slow headers", lambda r: slowly(head(X="y" * 2000))),
    Case("headers without end", after(b"HTTP/1.1 200 OK\r\n", then=(b"X: y\r\n",), sec=0.01)),
    Case("100 without end", forever(b"HTTP/1.1 100 Continue\r\n\r\n")),
    Case("100 without end, slow", forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05)),
    Case("reset in the headers", always(head()[:30], RESET)),
    Case("control characters", always(head("404 \x1b[31mred\x07"))),
    Case("injected lines", always(head("404 Not\x0bFound\x0c"))),
    # Lengths.
    Case("length of letters", always(head(Content_Length="abc"), CONTENT)),
    Case("negative length", always(head(Content_Length=-5), CONTENT)),
    Case("two lengths", always(head(Content_length=5), CONTENT)),
    Case("length of 5000 digits", always(head(Content_Length="9" * 5000), CONTENT)),
    Case("length of exabytes", always(head(Content_Length=10**18), CONTENT)),
    Case("length of other digits", always(head(Content_Length="\xb2"), CONTENT)),
    Case("shorter than the length", always(head(), CONTENT[:1000])),
    Case("empty", always(head(Content_Length=0))),
    Case("empty without length", always(head(Content_Length=None))),
    Case("cut without length", always(head(Content_Length=None), CONTENT[:1000]), is_named=True),
    Case("more than the limit", after(head(Content_Length=None), then=(bytes(10_000),))),
    Case("slow without end", after(head(Content_Length=None), then=(b"x",), sec=0.05)),
    # Bodies.
    Case("reset in the body", always(head(), CONTENT[:5000], RESET)),
    Case("stalls in the body", always(head(), CONTENT[:5000], 30.0)),
    Case("wrong bytes", always(head(), bytes(END)), is_named=True),
    Case(
        "gzip", always(head(Content_Encoding="gzip", Content_Length=None), gzip.compress(CONTENT))
    ),
    Case(
        "gzip bomb",
        always(head(Content_Encoding="gzip", Content_Length=None), gzip.compress(bytes(1 << 26))),
    ),
    Case("unknown encoding", always(head(Content_Encoding="\x1b[2Jbr"), CONTENT)),
    Case("a web page", always(head(Content_Type="text/html"), b"<html>sign in</html>")),
    Case("chunk size of letters", always(head(**CHUNKED), b"xyz\r\n", CONTENT)),
    Case("negative chunk", always(head(**CHUNKED), b"-5\r\n", CONTENT)),
    Case("huge chunk", always(head(**CHUNKED), b"fffffffffffffff\r\n", CONTENT)),
    Case("chunks are cut", always(head(**CHUNKED), chunked(CONTENT)[:50_000])),
    Case("no last chunk", always(head(**CHUNKED), chunked(CONTENT)), "any"),
    Case("long chunk extension", always(head(**CHUNKED), b"5;" + LONG.encode() + b"\r\nabcde\r\n")),
    Case(
        "trailers without end",
        after(head(**CHUNKED), chunked(CONTENT), b"0\r\n", then=(b"A: b\r\n",)),
        "any",
    ),
    Case("one-byte chunks", after(head(**CHUNKED), then=(b"1;" + b"x" * 60_000 + b"\r\na\r\n",))),
    # Statuses and redirects.
    *(
        Case(f"status {code}", always(head(f"{code} No", Content_Length=0)))
        for code in (204, 205, 304, 400, 401, 403, 404, 407, 410, 429, 451, 500, 503)
    ),
    Case(
        "error with endless body", after(head("404 No", Content_Length=None), then=(bytes(10_000),))
    ),
    Case("redirect to itself", redirect("/model.pyth")),
    Case("redirects without end", lambda r: redirect(f"/{r.number}")(r)),
    Case("redirect to a file", redirect("file:///etc/hostname")),
    Case("redirect to ftp", redirect("ftp://127.0.0.1/x")),
    Case("redirect to data", redirect("data:text/plain,x")),
    Case("redirect to nothing", redirect("")),
    Case("redirect without location", always(head("302 Found", Content_Length=0))),
    Case("redirect to a bad host", redirect("http://[::1/x")),
    Case("redirect to a bad port", redirect("http://127.0.0.1:99999/x")),
    Case("redirect to an empty label", redirect("http://a..b/x")),
    Case("redirect with endless body", redirect("/model.pyth", 302, (bytes(10_000),))),
    Case("300", always(head("300 Choices", Content_Length=0))),
    # Resuming.
    Case("another range", resuming(lambda r: ranged(7, END)(r))),
    Case("206 without range", resuming(always(head("206 Partial", ETag='"v1"'), CONTENT))),
    Case(
        "range of letters",
        resuming(always(head("206 Partial", Content_Range="bytes a-b/c"), CONTENT)),
    ),
    Case(
        "range before its start",
        resuming(
            lambda r: [head("206 Partial", Content_Range=f"bytes {r.start}-5/{END}"), CONTENT]
        ),
    ),
    Case("range of another size", resuming(lambda r: ranged(r.start, END, 2 * END)(r))),
    Case(
        "range of another version", resuming(lambda r: ranged(r.start, END, tag='"v2"')(r)), "file"
    ),
    Case("416", resuming(always(head("416 Range", Content_Length=0)))),
    # Not HTTP at all.
    Case("TLS expected", always(b"\x15\x03\x01\x00\x02\x02\x28")),
)


class Server:
    """Sends the replies of a case, each connection in a thread."""

    def __init__(self, case: Case) -> None:
        self._case, self.count = case, itertools.count()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._send(connection)
        except OSError:  # the client has left
            return

    def _send(self, connection: socket.socket) -> None:
        text = b""
        while b"\r\n\r\n" not in text:
            received = connection.recv(65536)
            if not received:
                return
            text += received
        lines = text.decode("latin1").split("\r\n")
        wanted = [line.partition("=")[2] for line in lines if line.startswith("Range: bytes=")]
        start = int(wanted[0].rstrip("-")) if wanted else 0
        for piece in self._case.reply(Request(next(self.count), lines[0].split()[1], start)):
            if piece == RESET:
                linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            if isinstance(piece, float):
                if self._ended.wait(piece):
                    return
            elif isinstance(piece, bytes):
                connection.sendall(piece)


def prepare(folder: Path, seed: int) -> Path:
    os.environ["SLOWFAST_CACHE"] = str(folder / "cache")
    for name in ("SLOWFAST_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)
    return folder


def trial(folder: Path, number: int) -> Trial:
    case = CASES[number]
    shutil.rmtree(folder / "cache", ignore_errors=True)
    server = Server(case)
    name = f"model-{SHA256[:8]}.pyth" if case.is_named else "model.pyth"
    url, problem, ending = f"http://127.0.0.1:{server.port}/{name}", "", "file"
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    result = Trial(inputs=1, facts={"case": case.name})
    try:
        path = fetch(url, limits=LIMITS)
        if path.read_bytes() != CONTENT:
            result.silent, problem = 1, f"{path.stat().st_size} wrong bytes"
    except UserError as error:
        ending = "message"
        if not str(error).isprintable() or len(str(error)) > 1000:
            result.uncaught, problem = 1, f"not one printable line: {str(error)!r}"
        if cached_path(url).exists():
            result.silent, problem = 1, "refused, but in the cache"
    except Exception as error:
        ending = "traceback"
        result.uncaught, problem = 1, f"{type(error).__name__}: {error}"
    finally:
        seconds = time.monotonic() - start
        server.close()
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    if seconds > LATEST_SEC or grown_mb > MOST_MB:
        result.uncaught, problem = 1, f"{seconds:.1f} s, {grown_mb:.0f} MB"
    elif not problem and case.ends not in ("any", ending):
        result.silent, problem = 1, f"expected a {case.ends}, got a {ending}"
    result.why = f"{case.name}: {problem}" if problem else ""
    result.facts |= {"ends": ending, "seconds": round(seconds, 2)}
    return result


def conclude(facts: list[dict[str, Any]]) -> str:
    """How the cases ended."""
    files = sum(row["ends"] == "file" for row in facts)
    longest = max(row["seconds"] for row in facts)
    return (
        f"{files} ended with the right file, {len(facts) - files} with one message; the longest "
        f"took {longest:.1f} s with a limit of {LIMITS.total_sec:g} s for each of two calls"
    )


CAMPAIGN = Campaign(
    "downloads",
    "a server whose replies break HTTP, lie about size, range and version, are cut, never end, or "
    "redirect elsewhere: the right file or one message within the time limit, nothing else in the "
    "cache",
    sample=len(CASES),
    full=len(CASES),
    prepare=prepare,
    trial=trial,
    load="a local server",
    conclude=conclude,
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
