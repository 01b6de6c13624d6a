"""What is a media file, a class folder and a split, and what is not."""

import os
from pathlib import Path

import pytest
from helpers.data_files import touch

from slowfast.config import UserError
from slowfast.datasets.annotations.files import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    class_folders,
    find_splits,
    media_files,
    split_of,
    subfolders,
    unsplit,
    walk_files,
)


def names(paths):
    return [Path(path).name for path in paths]


def test_files_are_found_by_the_suffixes_asked_for(tmp_path):
    for name in ("b.WAV", "a.ogg", "c.mp4", "d.txt", "e", "mp4", "f.jpg", "g.png"):
        touch(tmp_path / name)
    for name in ("a.h264", "b.hevc", "c.mjpeg", "d.264"):  # raw streams
        touch(tmp_path / "raw" / name)
    assert names(media_files(tmp_path)) == [
        *("a.ogg", "b.WAV", "c.mp4", "a.h264", "b.hevc", "c.mjpeg", "d.264")
    ]
    assert len(list(media_files(tmp_path / "raw", VIDEO_SUFFIXES))) == 4
    assert names(media_files(tmp_path, AUDIO_SUFFIXES)) == ["a.ogg", "b.WAV"]


def test_what_systems_and_editors_leave_is_ignored(tmp_path):
    for name in (
        *(".ipynb_checkpoints/a.mp4", "._b.mp4", ".trash/x/c.mp4", "__MACOSX/d.mp4"),
        *("@eaDir/e.mp4", "lost+found/f.mp4", "class/.hidden.mp4", "class/good.mp4"),
    ):
        touch(tmp_path / name)
    assert names(media_files(tmp_path)) == ["good.mp4"]
    assert [files for _, files in walk_files(tmp_path)] == [[], ["good.mp4"]]
    assert names(media_files(tmp_path / ".trash")) == ["c.mp4"]  # unless the user names it


def test_classes_are_folders_with_media(tmp_path):
    for name in ("run/1.mp4", "jump/deep/2.mkv", "talk/3.wav", "notes/readme.txt", ".git/4.mp4"):
        touch(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert class_folders(tmp_path, VIDEO_SUFFIXES) == (["jump", "run"], ["empty", "notes", "talk"])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Train", "train"), ("TRAINING", "train"), ("val", "val")),
        *(("valid", "val"), ("validate", "val"), ("Validation", "val"), ("test", "test")),
        *(("Testing", "test"), ("jump", None), ("train_256", None), ("", None)),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["Train", "Test", "extra"], {"train": "Train", "test": "Test"}),
        (["training", "validation"], {"train": "training", "val": "validation"}),
        (["videos_train", "videos_val"], {"train": "videos_train", "val": "videos_val"}),
        (["train_256", "val_256", "x"], {"train": "train_256", "val": "val_256"}),
        (["riding_train", "dog"], {}),  # a class that is called so
        (["train", "riding_test"], {"train": "train"}),
        (["train_test", "val_test"], {}),
        (["jump", "run"], {}),
    ],
)
def test_splits_among_names(there, found):
    assert find_splits(there, Path("root")) == found


@pytest.mark.parametrize(
    "there", [["train", "Train"], ["train", "training"], ["train_256", "train_320", "val_256"]]
)
def test_two_names_of_one_split(there):
    with pytest.raises(UserError, match=r"root has several train splits: [tT]\w+, t\w+\. Keep one"):
        find_splits(there, Path("root"))


def test_splits_further_down_are_never_mixed():
    paths = ["/d/k400/train/a/1.mp4", "/d/k400/train/a/2.mp4", "/d/k400/val/a/3.mp4"]
    with pytest.raises(UserError, match=r"would be mixed: /d/k400/train, /d/k400/val\. Expected"):
        list(unsplit(paths, "/d"))
    with pytest.raises(UserError, match=r"mixed: /d/jump/Testing, /d/jump/training"):
        list(unsplit(["/d/jump/Testing/1.mp4", "/d/jump/training/2.mp4"], "/d"))
    assert list(unsplit(paths[:2], "/d")) == paths[:2]


def test_a_link_to_itself_is_no_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert subfolders(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, caplog):
    touch(tmp_path / "a" / "1.mp4")
    touch(tmp_path / "locked" / "2.mp4")
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(media_files(tmp_path)) == ["1.mp4"]
    assert f"the files below {tmp_path / 'locked'} are left out: Permission denied" in caplog.text
