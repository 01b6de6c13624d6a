"""Downloads against a local server: cuts, lies, refusals, offline, several processes at once."""

import hashlib
import json
import multiprocessing
import time

import pytest
from helpers.http_files import serve

from slowfast.config import UserError
from slowfast.utils import download, http_transfer
from slowfast.utils.download import cached_path, fetch, hash_in_name
from slowfast.utils.http_transfer import Limits

CONTENT = bytes(range(256)) * 2000  # 512 kB
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(stall_sec=2.0, total_sec=20.0, attempts=3, pause_sec=0.001)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLOWFAST_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def names(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def record(path):
    return json.loads(path.with_name(f"{path.name}.json").read_text())


def test_a_file_is_fetched_once_and_its_hash_recorded(cache):
    with serve(CONTENT) as server:
        path = fetch(server.url("zoo/model.pyth"), limits=QUICK)
        assert fetch(server.url("zoo/model.pyth"), limits=QUICK) == path
        assert len(server.requests) == 1
        assert record(path)["url"] == server.url("zoo/model.pyth")
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    assert record(path)["sha256"] == SHA256
    assert record(path)["size"] == len(CONTENT)
    assert record(path)["origin"] == "the first download"
    assert names(path.parent) == ["model.pyth", "model.pyth.json"]


def test_a_cut_connection_is_resumed_where_it_broke():
    with serve(CONTENT, cut_after=200_000) as server:
        path = fetch(server.url(), limits=QUICK)
        ranges = [wanted for _, wanted in server.requests]
    assert path.read_bytes() == CONTENT
    assert ranges == [None, "bytes=200000-", "bytes=400000-"]


def test_an_interrupted_run_goes_on_in_the_next_one():
    with serve(CONTENT, cut_after=200_000) as server:
        with pytest.raises(UserError, match="could not be downloaded"):
            fetch(server.url(), limits=Limits(attempts=3, pause_sec=0.0, total_sec=-1.0))
        size = cached_path(server.url()).with_name("model.pyth.part").stat().st_size
        assert 0 < size <= 200_000
        server.behavior = server.behavior._replace(cut_after=None)
        path = fetch(server.url(), limits=QUICK)
        assert server.requests[-1][1] == f"bytes={size}-"
    assert path.read_bytes() == CONTENT


def test_a_part_of_another_version_is_thrown_away():
    with serve(bytes(len(CONTENT)), cut_after=200_000) as server:
        url = server.url()
        with pytest.raises(UserError):
            fetch(url, limits=Limits(attempts=1, total_sec=-1.0))
        server.content = CONTENT
        server.behavior = server.behavior._replace(cut_after=None, etag='"v2"')
        assert fetch(url, limits=QUICK).read_bytes() == CONTENT


def test_a_part_that_was_whole_already_is_kept():
    with serve(CONTENT, cut_after=200_000) as server:
        url = server.url()
        with pytest.raises(UserError):
            fetch(url, limits=Limits(attempts=1, total_sec=-1.0))
        cached_path(url).with_name("model.pyth.part").write_bytes(CONTENT)
        assert fetch(url, limits=QUICK).read_bytes() == CONTENT
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        ({"ignores_range": True}, r"cut at 0\.4 of 0\.5 MB \(after 3 failed attempts\)"),
        ({"range_shift": 7}, "failed attempts"),
        ({"etag": ""}, "failed attempts"),  # no validator: nothing is resumed
    ],
)
def test_a_server_that_cannot_resume_sends_the_whole_file_again(behavior, message):
    with serve(CONTENT, cut_after=400_000, **behavior) as server:
        with pytest.raises(UserError, match=message):
            fetch(server.url(), limits=QUICK)
        assert "etag" not in behavior or all(wanted is None for _, wanted in server.requests)
        server.behavior = server.behavior._replace(cut_after=None)
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "behavior", [{"says_length": False}, *({"statuses": (code,) * 2} for code in (429, 500, 503))]
)
def test_what_passes_is_waited_for(behavior):
    with serve(CONTENT, **behavior) as server:
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT


STALL = Limits(stall_sec=0.1, attempts=1)
SMALL = Limits(max_bytes=1000)


@pytest.mark.parametrize(
    ("behavior", "limits", "message"),
    [
        *(
            (
                {"statuses": (code,) * 9},
                QUICK,
                rf"server answered {code} .*place it at .*model\.pyth",
            )
            for code in (401, 403, 404, 410)
        ),
        ({"content_type": "text/html; charset=utf-8"}, QUICK, "answered with a web page"),
        ({"silent_sec": 5.0}, STALL, "timed out"),
        ({}, SMALL, r"more than 0\.0 GB"),
        ({"says_length": False}, SMALL, r"more than 0\.0 GB"),
    ],
)
def test_what_does_not_pass_is_said_at_once(behavior, limits, message):
    with serve(CONTENT, **behavior) as server:
        with pytest.raises(UserError, match=message):
            fetch(server.url(), limits=limits)
        assert len(server.requests) == 1
        assert not cached_path(server.url()).exists()


def test_nobody_at_the_address():
    with serve(CONTENT) as server:
        url = server.url()
    with pytest.raises(UserError, match=r"connection failed .*after 3 failed attempts"):
        fetch(url, limits=QUICK)


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(http_transfer.shutil, "disk_usage", lambda folder: usage)
    with (
        serve(CONTENT) as server,
        pytest.raises(UserError, match=r"needs 0\.0 GB.*SLOWFAST_CACHE"),
    ):
        fetch(server.url(), limits=QUICK)
    assert not cached_path(server.url()).with_name("model.pyth.part").exists()


def test_the_hash_in_a_name():
    assert hash_in_name("https://x/r3d_18-b3b3357e.pth") == "b3b3357e"
    assert hash_in_name("https://x/a-0123456789abcdef.pth.tar?raw=1") == "0123456789abcdef"
    for name in (
        "MViTv2_S_16x4_k400_f302660347.pyth",
        "model-20210301.pth",
        "a-b.pth",
        "a-abc.pth",
    ):
        assert hash_in_name(f"https://x/{name}") == ""


def test_the_publishers_hash_is_checked():
    name = f"model-{SHA256[:8]}.pth"
    with serve(CONTENT) as server:
        path = fetch(server.url(name), limits=QUICK)
        assert record(path)["origin"] == "the publisher"
        with pytest.raises(UserError, match=r"that of the publisher with 12345678.* twice"):
            fetch(server.url("model-12345678.pth"), limits=QUICK)
        with pytest.raises(UserError, match="that of the publisher with abcd"):
            fetch(server.url("other.pth"), sha256="abcd" * 16, limits=QUICK)
    assert not cached_path(server.url("model-12345678.pth")).exists()


def test_bytes_corrupted_once_on_the_way_are_fetched_again():
    with serve(CONTENT, corrupt=1) as server:
        path = fetch(server.url(f"model-{SHA256[:8]}.pth"), limits=QUICK)
        assert len(server.requests) == 2
    assert path.read_bytes() == CONTENT


def test_a_file_damaged_in_the_cache_is_fetched_again(caplog):
    with serve(CONTENT) as server:
        path = fetch(server.url(), limits=QUICK)
        path.write_bytes(CONTENT[:-1] + b"?")
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT
    assert "downloading it again" in caplog.text


def test_a_file_replaced_by_its_publisher_is_not_taken_silently():
    with serve(CONTENT) as server:
        path = fetch(server.url(), limits=QUICK)
        server.content = CONTENT[::-1]
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT  # the cache's
        path.unlink()
        with pytest.raises(UserError, match=r"of the first download .* delete .*model\.pyth\.json"):
            fetch(server.url(), limits=QUICK)
        path.with_name("model.pyth.json").unlink()
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT[::-1]


def test_offline(monkeypatch):
    with serve(CONTENT) as server:
        url = server.url()
        monkeypatch.setenv("SLOWFAST_OFFLINE", "1")
        with pytest.raises(UserError, match=r"not in the cache, and SLOWFAST_OFFLINE.*place it at"):
            fetch(url, limits=QUICK)
        monkeypatch.setenv("SLOWFAST_OFFLINE", "0")
        path = fetch(url, limits=QUICK)
        monkeypatch.setenv("SLOWFAST_OFFLINE", "1")
        assert fetch(url, limits=QUICK) == path
        assert len(server.requests) == 1
    path.write_bytes(b"half")
    with pytest.raises(UserError, match=r"damaged: .*, and SLOWFAST_OFFLINE"):
        fetch(url, limits=QUICK)
    assert path.read_bytes() == b"half"


def test_a_file_put_into_the_cache_by_hand_is_recorded(monkeypatch):
    monkeypatch.setenv("SLOWFAST_OFFLINE", "1")
    url = f"https://example.org/zoo/model-{SHA256[:10]}.pth"
    path = cached_path(url)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(url) == path
    assert record(path)["sha256"] == SHA256
    path.with_name(f"{path.name}.json").unlink()
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="damaged"):
        fetch(url)
    assert path.read_bytes() == b"something else"


def test_addresses_cannot_leave_the_cache(cache):
    for url in ("https://x/../../etc/passwd", "https://x/%2e%2e/%2e%2e/a", "https://x/a%2fb//c"):
        assert (cache / "downloads" / "x") in cached_path(url).parents
        assert ".." not in cached_path(url).parts
    assert cached_path("https://x/a?v=1") != cached_path("https://x/a?v=2")


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="SLOWFAST_CACHE: cannot write"):
        fetch("http://127.0.0.1:9/x.pyth", limits=QUICK)


def _fetch_in_a_process(url, results, together):
    together.wait(timeout=30)
    try:
        results.put(fetch(url, limits=QUICK).read_bytes() == CONTENT)
    except UserError as error:
        results.put(str(error))


def _fetch_in_processes(url, count=3):
    context = multiprocessing.get_context("fork")
    results, together = context.Queue(), context.Barrier(count)  # a busy machine starts them late
    words = (url, results, together)
    processes = [context.Process(target=_fetch_in_a_process, args=words) for _ in range(count)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    return answers


def test_of_several_processes_one_downloads():
    with serve(CONTENT, cut_after=300_000, silent_sec=0.1) as server:
        assert _fetch_in_processes(server.url()) == [True] * 3
        assert len(server.requests) == 2  # both of one process: whole and rest


def test_a_failure_is_told_to_those_who_waited_for_it():
    with serve(CONTENT, statuses=(404,) * 9, silent_sec=1.0) as server:
        answers = _fetch_in_processes(server.url())
        assert len(server.requests) == 1
    assert all("404" in answer for answer in answers)


def test_a_killed_process_does_not_keep_the_others_waiting():
    with serve(CONTENT, silent_sec=30.0) as server:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=fetch, args=(server.url(),))
        process.start()
        while not server.requests:
            time.sleep(0.01)
        process.kill()
        process.join()
        server.behavior = server.behavior._replace(silent_sec=0.0)
        start = time.monotonic()
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT
        assert time.monotonic() - start < 5


def test_one_process_alone_needs_no_group(tmp_path):
    assert download.on_all_ranks(lambda: tmp_path) == tmp_path

    def fail():
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        download.on_all_ranks(fail)


DAMAGES = [
    *(b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"[" * 9999),
    *(b'{"sha256": 5}', b'{"sha256": "ab"}'),
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("side", ["json", "failed.json", "part.state.json"])
def test_damaged_side_files_are_made_again(caplog, damage, side):
    with serve(CONTENT) as server:
        path = fetch(server.url(), limits=QUICK)
        file = path.with_name(f"{path.name}.{side}")
        file.write_bytes(damage)
        if side != "json":
            path.unlink()
            path.with_name(f"{path.name}.part").write_bytes(b"x")
        assert fetch(server.url(), limits=QUICK).read_bytes() == CONTENT
    assert record(path)["sha256"] == SHA256
    assert damage == DAMAGES[-1] or f"{file} is damaged and ignored: it " in caplog.text
    assert names(path.parent) == ["model.pyth", "model.pyth.json"]


def test_a_folder_in_the_place_of_a_file_is_one_message():
    with serve(CONTENT) as server:
        cached_path(server.url()).mkdir(parents=True)
        with pytest.raises(UserError, match="is in the way"):
            fetch(server.url(), limits=QUICK)
