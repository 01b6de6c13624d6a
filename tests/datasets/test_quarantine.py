"""The quarantine list: what is on it, what datasets leave out for it, and when they do not."""

import csv
import os
from pathlib import Path

import pytest
from helpers.data_files import data_cfg, names, touch, write

from slowfast.config import ConfigValueError
from slowfast.datasets.annotations.quarantine import (
    QUARANTINE,
    QuarantinedFile,
    file_stamp,
    read_quarantine,
    write_quarantine,
)
from slowfast.datasets.build import build_dataset
from slowfast.datasets.checks import check_quarantine
from slowfast.datasets.decoding.error_codes import problem
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.check import quarantine_unusable

KEY = "DATA.QUARANTINE_FILE_PATH"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of three files each."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    for name in ("cat/1", "cat/2", "cat/3", "dog/1", "dog/2", "dog/3"):
        touch(tmp_path / "videos" / "train" / f"{name}.mp4")
    return tmp_path / "videos"


def entry(path, code="not_media", reason="it is not a media file"):
    return QuarantinedFile(str(path), *file_stamp(path), code, reason)


def quarantine(folder, *paths, out="report", **settings):
    file = folder.parent / out / QUARANTINE
    write_quarantine(file, folder, [entry(path, **settings) for path in paths])
    return file


def kept(folder, *words, dataset="video_folder", split="train"):
    manifest = build_dataset(dataset, data_cfg(folder, *words), split).manifest
    return [(os.path.relpath(manifest.path(i), folder / "train"), manifest.label(i))
            for i in range(len(manifest))]  # fmt: skip


ALL = [(f"{name}/{n}.mp4", label) for label, name in enumerate(("cat", "dog")) for n in (1, 2, 3)]


# What is left out


def test_files_on_the_list_are_left_out_and_labels_stay(folder, caplog):
    file = quarantine(folder, *(folder / "train" / "cat").iterdir())
    assert kept(folder) == ALL[3:]  # dog is still 1, although no cat is left
    [line] = [r.getMessage() for r in caplog.records if "slowfast check" in r.getMessage()]
    assert line.startswith("train split: skipping 3 files that slowfast check could not read")
    assert str(file) in line
    assert KEY in line
    with (folder.parent / "output" / "bad_media.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {Path(row["path"]).name for row in rows} == {"1.mp4", "2.mp4", "3.mp4"}
    assert {row["reason"] for row in rows} == {"in quarantine: it is not a media file"}


def test_without_a_list_nothing_changes(folder, caplog):
    assert kept(folder) == ALL
    quarantine(folder)
    assert kept(folder) == ALL
    assert "slowfast check" not in caplog.text


def test_they_do_not_count_for_the_limit(folder):
    quarantine(folder, *(folder / "train" / "cat").iterdir())
    assert len(kept(folder, "DATA.MAX_BAD_FRACTION", 0.0)) == 3


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_that_changed_is_tried_again(folder, change, caplog):
    bad = folder / "train" / "cat" / "2.mp4"
    quarantine(folder, bad, folder / "train" / "dog" / "1.mp4")
    if change == "size":
        stamp = bad.stat().st_mtime_ns
        bad.write_bytes(b"longer")
        os.utime(bad, ns=(stamp, stamp))
    else:
        os.utime(bad, ns=(1, 1))
    assert kept(folder) == [row for row in ALL if row[0] != "dog/1.mp4"]
    assert "trying 1 again, as they have changed" in caplog.text


def test_a_link_that_leads_nowhere_stays_out(folder):
    link = folder / "train" / "cat" / "2.mp4"
    link.unlink()
    link.symlink_to(folder / "nowhere.mp4")
    quarantine(folder, link)
    assert ("cat/2.mp4", 0) not in kept(folder)


def test_files_are_found_through_links_and_by_relative_paths(folder, monkeypatch):
    quarantine(folder, folder / "train" / "cat" / "1.mp4")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert kept(link) == ALL[1:]
    monkeypatch.chdir(folder.parent)
    assert kept(Path("videos"), "OUTPUT_DIR", folder.parent / "output") == ALL[1:]


def test_rows_of_a_csv_in_another_folder(folder):
    quarantine(folder, folder / "train" / "cat" / "1.mp4")
    lists = folder.parent / "lists"
    write(lists / "train.csv", "train/cat/1.mp4 0", "train/cat/2.mp4 0", "train/cat/1.mp4 1")
    cfg = data_cfg(lists, "DATA.PATH_PREFIX", folder)
    assert names(build_dataset("video_folder", cfg, "train").manifest) == [("2.mp4", 0)]


def test_the_last_check_of_a_file_counts(folder):
    cat = folder / "train" / "cat"
    quarantine(folder, cat / "1.mp4", folder / "train" / "dog" / "1.mp4")
    quarantine(cat, cat / "2.mp4", out="later")
    assert kept(folder) == [row for row in ALL if row[0] not in ("cat/2.mp4", "dog/1.mp4")]


def test_a_deleted_list_is_forgotten(folder):
    quarantine(folder, folder / "train" / "cat" / "1.mp4").unlink()
    assert kept(folder) == ALL


def test_a_video_without_video_is_of_use_for_audio(folder):
    quarantine(folder, folder / "train" / "cat" / "1.mp4", code="no_video")
    assert kept(folder) == ALL[1:]
    assert kept(folder, dataset="audio_folder") == ALL


def test_nothing_left_is_a_mistake(folder):
    quarantine(folder, *(folder / "train").rglob("*.mp4"))
    with pytest.raises(ConfigValueError, match="all 6 files of the train split") as caught:
        kept(folder)
    assert caught.value.problem.key == KEY


# Naming a list


def test_a_named_list_and_none(folder):
    quarantine(folder, folder / "train" / "cat" / "1.mp4")
    own = write(folder.parent / "own.csv", "path", "train/dog/3.mp4")
    assert kept(folder, KEY, own) == ALL[:-1]
    assert kept(folder, KEY, "") == ALL


def test_mistakes_in_a_named_list(folder):
    cfg = data_cfg(folder, KEY, folder / "none.csv")
    [found] = check_quarantine(cfg)
    assert found.key == KEY
    assert "no such file" in found.message
    assert check_quarantine(data_cfg(folder)) == check_quarantine(data_cfg(folder, KEY, "")) == []
    with pytest.raises(ConfigValueError, match="cannot read"):
        kept(folder, KEY, folder / "none.csv")
    with pytest.raises(ConfigValueError, match="has the columns file; expected path"):
        kept(folder, KEY, write(folder / "bad.csv", "file", "x"))
    with pytest.raises(ConfigValueError, match="line 2: size_bytes is 'big'"):
        kept(folder, KEY, write(folder / "bad2.csv", "path,size_bytes", "x,big"))


# Writing it


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.mp4", b"line\nbreak.mp4", b"back\\x41slash.mp4", b"\x1b[31m.mp4", b"=1+1.mp4",
     "ünï,\"'.mp4".encode()],
)  # fmt: skip
def test_any_name_comes_back_and_the_file_is_plain_text(folder, name):
    bad = folder / "train" / "cat" / os.fsdecode(name)
    bad.touch()
    file = quarantine(folder, bad, reason="=cmd|' /C calc'!A0")
    text = file.read_bytes().decode("utf-8")  # raises where it is not
    assert not any(ord(letter) < 32 for letter in text.replace("\r\n", ""))
    assert "'=cmd" in text
    [back] = read_quarantine(file)
    assert back.path == str(bad)
    assert kept(folder) == ALL


def test_unusable_files_are_on_it_and_videos_without_video(tmp_path, folder):
    reports = [
        MediaReport(path="/x/bad.mp4", level="sample", problems=(problem("empty"),), size_bytes=3),
        MediaReport(path="/x/quiet.mp4", level="sample", problems=(problem("silent"),)),
        MediaReport(path="/x/music.mp4", level="sample", problems=(problem("no_video"),)),
        MediaReport(path="/x/music.mp3", level="sample", problems=(problem("no_video"),)),
    ]
    assert quarantine_unusable(tmp_path / QUARANTINE, folder, reports) == 2
    first, second = read_quarantine(tmp_path / QUARANTINE)
    assert first == ("/x/bad.mp4", 3, 0, "empty", "file is empty")
    assert (second.path, second.code) == ("/x/music.mp4", "no_video")


def test_a_cache_folder_that_cannot_be_written_is_no_error(folder, monkeypatch, caplog):
    monkeypatch.setenv("SLOWFAST_CACHE", "/dev/null/cache")
    file = quarantine(folder, folder / "train" / "cat" / "1.mp4")
    assert f"runs will not find {file}" in caplog.text
    assert kept(folder) == ALL
    assert kept(folder, KEY, file) == ALL[1:]
