"""The download of each row of the zoo, from a local server in place of the publishers'.

Rows with a published hash (torchvision's file names have one) accept that file only. The other
publishers give none: what is checked for their rows is the length of the reply, that it is no web
page, and on each later use the SHA-256 of the first download.
"""

import hashlib
import json
from functools import partial
from urllib.parse import urlsplit

import pytest
import stica  # noqa: F401
from helpers.http_files import Misbehavior, serve

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError
from slowfast.models.zoo.rows import ZOO_REGISTRY, resolve
from slowfast.utils import download, http_transfer
from slowfast.utils.http_transfer import Limits

ROWS = [row for row in (entry() for _, entry in ZOO_REGISTRY) if not row.is_packaged]
CONTENT = bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def publishers():
    with serve(CONTENT) as server:
        yield server


@pytest.fixture
def server(publishers, tmp_path, monkeypatch):
    """A server for https://HOST/PATH at /HOST/PATH, an empty cache, and no pauses."""
    publishers.requests.clear()
    publishers.content, publishers.behavior = CONTENT, Misbehavior()
    open_url = http_transfer.open_url

    def open_here(url, headers, **limits):
        parts = urlsplit(url)
        assert parts.scheme == "https"
        return open_url(publishers.url(f"{parts.netloc}{parts.path}"), headers, **limits)

    monkeypatch.setattr(http_transfer, "open_url", open_here)
    monkeypatch.setattr(download, "Limits", partial(Limits, attempts=2, pause_sec=0.0))
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    monkeypatch.delenv("SLOWFAST_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return publishers


def expect(row, monkeypatch):
    """Make the served file the published one: its hash cannot be made to begin as published."""
    if row.published_hash:
        known = {SHA256: row.published_hash + SHA256[len(row.published_hash) :]}
        real = download.file_sha256
        monkeypatch.setattr(download, "file_sha256", lambda path: known.get(real(path), real(path)))


def test_both_kinds_of_rows_are_tested():
    assert {bool(row.published_hash) for row in ROWS} == {True, False}
    assert len(ROWS) > 80


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_downloaded_and_verified(row, server, tmp_path, monkeypatch):
    parts = urlsplit(row.url)
    expect(row, monkeypatch)
    server.behavior = Misbehavior(cut_after=1500)  # of 2048 bytes: the rest is asked for
    path = resolve(f"zoo://{row.name}")
    assert server.requests == [
        (f"/{parts.netloc}{parts.path}", None),
        (f"/{parts.netloc}{parts.path}", "bytes=1500-"),
    ]
    assert path == tmp_path / "downloads" / parts.netloc / parts.path[1:]
    assert path.read_bytes() == CONTENT
    record = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    assert record["url"] == row.url
    assert record["origin"] == ("the publisher" if row.published_hash else "the first download")
    assert record["sha256"].startswith(row.published_hash or SHA256)
    assert resolve(f"zoo://{row.name}") == path
    assert len(server.requests) == 2

    server.content, server.behavior = CONTENT[::-1], Misbehavior(etag='"v2"')
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"that of {record['origin']} with .*downloaded twice"):
        resolve(f"zoo://{row.name}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.published_hash], ids=lambda r: r.name)
def test_a_file_without_the_published_hash_is_refused(row, server):
    with pytest.raises(UserError, match=f"that of the publisher with {row.published_hash}"):
        resolve(f"zoo://{row.name}")
    assert len(server.requests) == 2
    assert not download.cached_path(row.url).exists()


@pytest.mark.parametrize("has_hash", [True, False])
def test_a_reply_that_is_cut_or_no_file_is_refused(has_hash, server, monkeypatch):
    row = next(row for row in ROWS if bool(row.published_hash) is has_hash)
    expect(row, monkeypatch)
    for behavior, message in (
        (Misbehavior(cut_after=700, ignores_range=True), r"cut at 0\.0 of 0\.0 MB"),
        (Misbehavior(content_type="text/html"), "answered with a web page"),
        (Misbehavior(statuses=(404,) * 9), "server answered 404"),
    ):
        server.requests.clear()
        server.behavior = behavior
        with pytest.raises(UserError, match=message):
            resolve(f"zoo://{row.name}")
        assert not download.cached_path(row.url).exists()
