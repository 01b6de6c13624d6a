"""The page of a check: what it shows, hostile names, many files, and in a browser."""

import dataclasses
import os
import re
import shutil
import sys

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media
from helpers.worker_targets import run_here

from slowfast.cli.check_data import main
from slowfast.datasets.annotations.quarantine import QUARANTINE, write_quarantine
from slowfast.datasets.inspect.folder import inspect_folder
from slowfast.datasets.prepare import check as prepare_check
from slowfast.datasets.prepare.check import read_reports
from slowfast.datasets.prepare.thumbnails import (
    ThumbnailFile,
    encode_thumbnail,
    read_thumbnails,
)
from slowfast.visualization import check_page
from slowfast.visualization.check_page import write_check_page

pytest.importorskip("jinja2", reason="needs Jinja2: pip install 'slowfast-stica[report]'")

HOSTILE = (
    b"<img src=x onerror=alert(1)>.mp4", b"caf\xe9.mp4", b"new\nline.mp4", b"=cmd.mp4",
    b"javascript:alert(2).mp4", b"a%20b#c?d.mp4", "\u202etxt.mp4".encode(),
)  # fmt: skip


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Report folder of a check: two classes, a file of each common problem, hostile names."""
    root = tmp_path_factory.mktemp("check")
    videos = root / "videos"
    for name in ("cat", "dog"):
        (videos / name).mkdir(parents=True)
    clip = Video(size=(128, 96), ticks=range(45))
    write_media(videos / "cat" / "good.mp4", clip, Audio(seconds=1.5))
    write_media(videos / "cat" / "mute.mp4", clip._replace(ticks=range(40)))
    silent = Audio(samples=np.zeros((2, 66150), np.float32))
    write_media(videos / "dog" / "silent.mp4", clip, silent)
    write_media(videos / "dog" / "late.mkv", clip, Audio(seconds=1.5, start_sec=0.4))
    varying = [*range(0, 30, 2), *range(30, 60)]
    write_media(videos / "dog" / "vfr.mp4", clip._replace(ticks=varying), Audio(seconds=2.0))
    data = (videos / "cat" / "good.mp4").read_bytes()
    (videos / "dog" / "cut.mp4").write_bytes(data[: len(data) // 3])
    (videos / "dog" / "bad.mp4").write_bytes(b"no media")
    (videos / "notes.txt").touch()
    for name in HOSTILE:
        shutil.copy(videos / "cat" / "good.mp4", os.path.join(os.fsencode(videos / "dog"), name))  # noqa: PTH118
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_check, "run_tasks", run_here)
        patch.setenv("SLOWFAST_CACHE", str(root / "cache"))
        assert main([str(videos), "--out", str(root / "out")]) == 0
    return root / "out"


@pytest.fixture(scope="module")
def html(checked):
    return (checked / "check.html").read_text(encoding="utf-8")


def row_of(html, name):
    """The row of a file in the table of files."""
    table = html[html.index('id="files-table"') :]
    return next(row for row in table.split("<tr")[1:] if f">{name}</a>" in row)


def test_files_with_their_problems(html):
    bad = row_of(html, "dog/bad.mp4")
    assert "unusable" in bad
    assert 'class="error">not_media</b> it is not a media file' in bad
    assert "Get the file again" in bad
    assert "<img" not in bad
    good = row_of(html, "cat/good.mp4")
    for part in ("ok", "1.5 s", "128 x 96", ">30<", "h264", "aac 44100 Hz x2", "image/webp"):
        assert part in good, part
    assert 'href="../videos/cat/good.mp4"' in good
    assert "no_audio" in row_of(html, "cat/mute.mp4")
    silent = row_of(html, "dog/silent.mp4")
    assert 'class="warning">silent</b>' in silent
    assert "100.0 %" in silent
    late = row_of(html, "dog/late.mkv")
    assert "offset" in late
    assert "+0.4" in late
    vfr = row_of(html, "dog/vfr.mp4")
    assert "variable_rate" in vfr
    assert " variable" in vfr


def test_those_with_problems_come_first(html):
    table = html[html.index('id="files-table"') :]
    status = re.findall(r">\s*(unusable|warning|ok)</td>", table)
    assert status == sorted(status, key=("unusable", "warning", "ok").index)
    assert status[:3] == ["unusable", "unusable", "warning"]
    assert len(status) == 7 + len(HOSTILE)


def test_what_it_says_about_the_folder(html):
    for part in (
        "a plain folder, without splits and labels",
        "2 folders look like classes",
        "slowfast prepare index ",
        "slowfast train --cfg CONFIG.yaml ",
        "<code>DATA.TRAIN_CROP_SIZE</code>",
        "2 files are in quarantine",
        "Histogram of Duration",
        " files: 96 pixels",
        "the same bytes",
        ".txt (1)",
        'data-filter="not_media"',
    ):
        assert part in html, part


def test_names_are_text(html):
    assert "<img src=x" not in html
    assert "dog/&lt;img src=x onerror=alert(1)&gt;.mp4" in html
    assert "new\\nline.mp4" in html
    assert "\\u202etxt.mp4" in html
    assert "dog/caf\\xe9.mp4" in html
    assert 'href="../videos/dog/caf%E9.mp4"' in html
    assert 'href="../videos/dog/a%2520b%23c%3Fd.mp4"' in html
    assert 'href="javascript' not in html


def test_ten_thousand_files_fit(checked, tmp_path, monkeypatch):
    """The page keeps its bounds: files, and bytes of thumbnails; here with smaller ones."""
    monkeypatch.setattr(check_page, "MAX_FILES", 200)
    monkeypatch.setattr(check_page, "_THUMBNAIL_BYTES", 30_000)
    known = read_reports(checked / "report.jsonl")
    reports = [
        dataclasses.replace(known[i % len(known)], path=f"/videos/{i:05d}.mp4", file_hash=str(i))
        for i in range(300)
    ]
    write_quarantine(tmp_path / QUARANTINE, tmp_path, [])
    image = encode_thumbnail(np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8))
    page = write_check_page(
        tmp_path / "check.html",
        inspect_folder(tmp_path, reports, {}),
        {report.path: image for report in reports},
        tmp_path / QUARANTINE,
    )
    text = page.read_text()
    table = text[text.index('id="files-table"') :]
    assert table.count("<tr") == 201
    assert sum(map(len, re.findall(r"data:image/webp;base64,([^\"]+)", text))) <= 30_000
    assert "100 more files are in report.csv" in text
    assert "files have no thumbnail" in text
    bad = [report for report in reports if not report.is_usable]
    assert table.count("unusable") == len(bad) > 0


def test_without_jinja2_the_rest_is_written(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "bad.mp4").write_bytes(b"no media")
    monkeypatch.setattr(prepare_check, "run_tasks", run_here)
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    sys.modules["slowfast.visualization.pages.render"]._environment.cache_clear()
    assert main([str(folder), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "No page: a page needs Jinja2: pip install 'slowfast-stica[report]'" in text
    assert (tmp_path / "out" / "report.csv").exists()
    assert not (tmp_path / "out" / "check.html").exists()


# Thumbnails


def test_thumbnails_are_small_and_kept(tmp_path, monkeypatch):
    frame = np.random.default_rng(0).integers(0, 255, (270, 480, 3), np.uint8)
    image = encode_thumbnail(frame)
    assert image[8:12] == b"WEBP"
    assert len(image) < 4000
    assert len(encode_thumbnail(np.zeros((1, 4000, 3), np.uint8))) < 500
    file = tmp_path / "thumbnails.jsonl"
    with ThumbnailFile(file, ()) as thumbnails:
        thumbnails.add("/a\udce9", image)
        thumbnails.add("/b", image[:50])
        thumbnails.add("/none", b"")
    with file.open("a") as lines:
        lines.write('["/cut", "AAAA')  # killed while it wrote
    assert read_thumbnails(file) == {"/a\udce9": image, "/b": image[:50]}
    monkeypatch.setattr("slowfast.datasets.prepare.thumbnails.MAX_THUMBNAILS", 2)
    with ThumbnailFile(file, ("/b",)) as thumbnails:
        thumbnails.add("/c", image)
        thumbnails.add("/d", image)
    assert list(read_thumbnails(file)) == ["/b", "/c"]


def test_each_video_has_one(checked):
    images = read_thumbnails(checked / "thumbnails.jsonl")
    with_video = {r.path for r in read_reports(checked / "report.jsonl") if r.video is not None}
    assert images.keys() == with_video
    assert all(len(image) > 50 for image in images.values())


# In a browser


@pytest.mark.browser
def test_in_a_browser(checked, open_page):
    opened = open_page(checked / "check.html")
    opened.check()
    names = opened.column("#files-table table", 0)
    assert any("<img src=x onerror=alert(1)>.mp4" in name for name in names)
    assert opened.filter("#files-table", "not_media") == 2
    assert opened.filter("#files-table", "") == len(names)
    opened.page.locator('a[data-filter="silent"]').click()
    assert [name.strip() for name in opened.column("#files-table table", 0)] == ["dog/silent.mp4"]
    opened.filter("#files-table", "")
    opened.sort("#files-table", "audio offset")
    opened.sort("#files-table", "audio offset")
    assert "dog/late.mkv" in opened.column("#files-table table", 0)[0]
    images = opened.page.locator("#files-table img")
    images.first.scroll_into_view_if_needed()
    opened.page.wait_for_function("document.querySelector('#files-table img').naturalWidth > 0")
    opened.page.locator(".copy").first.click()
    assert "Copied" in opened.page.locator(".copy").first.inner_text()
    assert opened.errors == opened.dialogs == opened.requests == []
