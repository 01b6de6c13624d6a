"""Checking a folder: what is inspected, what is remembered, and what is told."""

import csv
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media
from helpers.worker_targets import run_here

from slowfast.config import UserError
from slowfast.datasets.decoding.error_codes import problem
from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.inspect.duplicates import find_duplicates
from slowfast.datasets.prepare import check as prepare_check
from slowfast.datasets.prepare.check import (
    REPORT,
    check_folder,
    count_others,
    find_media,
    read_reports,
    write_table,
)
from slowfast.datasets.prepare.settings import CheckSettings
from slowfast.datasets.prepare.summary import summarize
from slowfast.datasets.prepare.workers import TaskResult

SETTINGS = CheckSettings(num_processes=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_media(path, Video(size=(128, 96), ticks=range(40)), Audio())


@pytest.fixture
def folder(tmp_path, clip):
    """Two good files and a bad one, in folders."""
    root = tmp_path / "videos"
    for name in ("a/one.mp4", "b/two.MP4"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(clip, root / name)
    (root / "b" / "bad.mkv").write_bytes(b"no media")
    (root / "notes.txt").touch()
    return root


@pytest.fixture
def inspected(monkeypatch):
    """Run tasks in this process; the list tells which files were inspected."""
    seen = []

    def run(function, tasks, **_):
        seen.extend(Path(task).name for task in tasks)
        yield from run_here(function, tasks)

    monkeypatch.setattr(prepare_check, "run_tasks", run)
    return seen


def check(folder, out, **settings):
    return check_folder(folder, out, SETTINGS._replace(**settings))


# Finding files


def test_media_are_found_by_suffix_in_order(folder):
    names = [os.path.relpath(path, folder) for path in find_media(folder)]
    assert names == ["a/one.mp4", "b/bad.mkv", "b/two.MP4"]
    assert count_others(folder) == {".txt": 1}


def test_mistakes_about_the_folder(tmp_path, folder):
    with pytest.raises(UserError, match="no such folder"):
        find_media(tmp_path / "none")
    with pytest.raises(UserError, match="is a file; name the folder"):
        find_media(folder / "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no media files; it is empty.*\.mp4"):
        find_media(tmp_path / "empty")
    for name in ("a.txt", "b.txt", "frame_1.jpg"):
        (tmp_path / "empty" / name).touch()
    with pytest.raises(UserError, match=r"holds 3 other files: \.txt \(2\).*extracted frames"):
        find_media(tmp_path / "empty")


def test_a_single_file(tmp_path, folder, inspected, caplog):
    [good] = check(folder / "a" / "one.mp4", tmp_path / "out")
    assert good.is_usable
    assert count_others(folder / "a" / "one.mp4") == {}
    assert caplog.text == ""
    assert good.name_in(folder / "a" / "one.mp4") == "one.mp4"
    [bad] = check(folder / "notes.txt", tmp_path / "other")  # named, whatever its suffix
    assert bad.codes == {"empty"}


# Remembering


def test_a_report_per_file_also_of_bad_ones(tmp_path, folder):
    reports = check(folder, tmp_path / "out")  # in real processes
    assert [report.path for report in reports] == find_media(folder)
    assert [report.is_usable for report in reports] == [True, False, True]
    assert reports[0] == inspect_media(reports[0].path)
    assert read_reports(tmp_path / "out" / REPORT) == reports


def test_only_what_is_new_or_changed_is_inspected_again(tmp_path, folder, inspected, clip):
    out = tmp_path / "out"
    first = check(folder, out)
    assert inspected == ["one.mp4", "bad.mkv", "two.MP4"]
    inspected.clear()
    assert check(folder, out) == first
    assert inspected == []
    shutil.copy(clip, folder / "new.mp4")
    (folder / "b" / "bad.mkv").write_bytes(b"still no media")
    os.utime(folder / "a" / "one.mp4", ns=(time.time_ns(), time.time_ns()))
    (folder / "b" / "two.MP4").unlink()
    again = check(folder, out)
    assert sorted(inspected) == ["bad.mkv", "new.mp4", "one.mp4"]
    assert [report.path for report in again] == find_media(folder)
    assert read_reports(out / REPORT) == again


def test_a_closer_look_is_a_new_one(tmp_path, folder, inspected):
    check(folder, tmp_path, level="headers")
    inspected.clear()
    reports = check(folder, tmp_path, level="sample")
    assert len(inspected) == 3
    inspected.clear()
    assert check(folder, tmp_path, level="headers") == reports
    assert inspected == []
    check(folder, tmp_path, again=True)
    assert len(inspected) == 3


def test_a_run_that_was_killed_goes_on(tmp_path, folder, inspected):
    out = tmp_path / "out"
    check(folder, out)
    lines = (out / REPORT).read_text().splitlines(keepends=True)
    (out / REPORT).write_text(lines[0] + lines[1][: len(lines[1]) // 2])
    inspected.clear()
    reports = check(folder, out)
    assert inspected == ["bad.mkv", "two.MP4"]
    assert read_reports(out / REPORT) == reports


def test_what_is_done_is_written_at_once(tmp_path, folder, monkeypatch):
    def interrupted(function, tasks, **_):
        yield TaskResult(tasks[0], function(tasks[0], lambda: None))
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_check, "run_tasks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(folder, tmp_path / "out")
    assert [r.path for r in read_reports(tmp_path / "out" / REPORT)] == find_media(folder)[:1]


def test_files_that_hang_or_kill_are_errors_and_tried_again(tmp_path, folder, monkeypatch):
    asked, code_of = [], {"mp4": "crashes", "mkv": "raises", "MP4": "hangs"}

    def failing(function, tasks, **_):
        for task in tasks:
            asked.append(task)
            yield TaskResult(task, None, code_of[task[-3:]], "it failed")

    monkeypatch.setattr(prepare_check, "run_tasks", failing)
    reports = check(folder, tmp_path / "out")
    assert [report.codes for report in reports] == [{"crashes"}, {"unreadable"}, {"hangs"}]
    assert reports[0].problems[0].reason == "it failed"
    assert reports[0].size_bytes > 0
    assert len(asked) == 3
    check(folder, tmp_path / "out")
    assert len(asked) == 5


def test_the_report_of_another_folder_is_left_alone(tmp_path, folder, inspected, clip):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(clip, other)
    check(other, tmp_path / "out")
    before = (tmp_path / "out" / REPORT).read_bytes()
    with pytest.raises(UserError, match="holds the report of another folder"):
        check(folder, tmp_path / "out")
    assert (tmp_path / "out" / REPORT).read_bytes() == before


def test_names_may_be_any_bytes(tmp_path, clip, inspected):
    folder = tmp_path / "videos"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(clip, folder / name)
    reports = check(folder, tmp_path / "out")
    assert reports[0].path.endswith(name)
    assert read_reports(tmp_path / "out" / REPORT) == reports
    write_table(tmp_path / "report.csv", folder, reports)
    assert b"caf\xe9.mp4" in (tmp_path / "report.csv").read_bytes()


def test_names_are_text_in_a_spreadsheet(tmp_path, clip, inspected):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("=cmd.mp4", "new\nline\x1b[31m.mp4"):
        shutil.copy(clip, folder / name)
    write_table(tmp_path / "report.csv", folder, check(folder, tmp_path / "out"))
    with (tmp_path / "report.csv").open(newline="") as lines:
        assert [row["path"] for row in csv.DictReader(lines)] == [
            "'=cmd.mp4", r"new\nline\x1b[31m.mp4",
        ]  # fmt: skip


# Telling


def test_the_table(tmp_path, folder, inspected):
    write_table(tmp_path / "report.csv", folder, check(folder, tmp_path / "out"))
    with (tmp_path / "report.csv").open(newline="") as lines:
        rows = {row["path"]: row for row in csv.DictReader(lines)}
    assert list(rows) == ["a/one.mp4", "b/bad.mkv", "b/two.MP4"]
    good, bad = rows["a/one.mp4"], rows["b/bad.mkv"]
    assert (good["usable"], good["width"], good["height"], good["frames"]) == (
        "1", "128", "96", "40",
    )  # fmt: skip
    assert (good["video_codec"], good["audio_codec"], good["channels"]) == ("h264", "aac", "2")
    assert float(good["audio_offset_sec"]) == pytest.approx(0, abs=0.01)
    assert (bad["usable"], bad["width"], bad["silent_share"]) == ("0", "", "")
    assert "not a media file" in bad["errors"]
    assert "audio ends" in good["notes"]


def test_the_summary(tmp_path, folder, inspected):
    silent = Audio(samples=np.zeros((2, 44100), np.float32))
    write_media(folder / "silent.mp4", Video(size=(64, 48), ticks=range(30)), silent)
    reports = check(folder, tmp_path / "out")
    text = summarize(folder, reports, find_duplicates(reports), count_others(folder))
    assert f"{folder}: 4 media files" in text
    assert "usable      3, of these 1 with a warning" in text
    assert "unusable    1" in text
    assert "not media   1 other file: .txt (1)" in text
    assert "1  not a media file, or damaged beyond reading: b/bad.mkv" in text
    assert "1  silent throughout: silent.mp4" in text
    assert "1 of 3 audio tracks throughout" in text
    assert "1  group of files with the same bytes, 2 files:" in text
    assert "a/one.mp4, b/two.MP4" in text
    assert "shortest 1.00 s, median 1.33 s, longest 1.33 s" in text
    assert "frames      128x96 (2), 64x48 (1)" in text
    assert "every 20 frames" in text


def test_a_summary_of_bad_files_only(tmp_path):
    bad = prepare_check.MediaReport(path="/x/a.mp4", level="sample", problems=(problem("empty"),))
    text = summarize(tmp_path, [bad] * 5, [], {})
    assert "5  file is empty" in text
    assert "and 2 more" in text
    assert "Usable" not in text
