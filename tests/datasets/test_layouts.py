"""Layouts of a data folder: csv files, class folders, a plain folder; odd names, clear errors."""

import os
from pathlib import Path

import pytest
from helpers.data_files import listed, touch, write

from slowfast.config import UserError
from slowfast.datasets.layouts import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    find_layout,
    load_manifest,
    media_files,
)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_csv_files_come_before_folders(root):
    touch(root / "train" / "a" / "1.mp4")
    write(root / "train.csv", "/videos/x.mp4 4")
    assert find_layout(root).kind == "csv"
    assert listed(load_manifest(root, "train")) == [("/videos/x.mp4", 4)]


def test_class_folders_share_labels_over_splits(root):
    for name in ("train/b/1.mp4", "train/a/2.MP4", "train/a/notes.txt", "test/c/3.mkv"):
        touch(root / name)
    train, test = load_manifest(root, "train"), load_manifest(root, "test")
    assert train.class_names == test.class_names == ["a", "b", "c"]
    assert listed(train) == [(str(root / "train/a/2.MP4"), 0), (str(root / "train/b/1.mp4"), 1)]
    assert listed(test) == [(str(root / "test/c/3.mkv"), 2)]


def test_test_falls_back_to_val_but_val_does_not(root):
    for name in ("train/a/1.mp4", "val/a/2.mp4"):
        touch(root / name)
    assert len(load_manifest(root, "test")) == 1
    (root / "val" / "a" / "2.mp4").unlink()
    (root / "val" / "a").rmdir()
    (root / "val").rmdir()
    with pytest.raises(UserError, match=r"has no val split \(found: train\)"):
        load_manifest(root, "val")


def test_plain_folder_is_split_by_hash(root):
    for number in range(300):
        touch(root / f"sub{number % 3}" / f"{number}.mp4")
    train = load_manifest(root, "train", test_fraction=0.2)
    test = load_manifest(root, "test", test_fraction=0.2)
    paths = [p for p, _ in listed(train) + listed(test)]
    assert len(set(paths)) == 300
    assert 35 < len(test) < 85
    assert set(train.labels.tolist()) == {-1}
    touch(root / "later.mp4")  # a new file moves no other to the other split
    again = {p for p, _ in listed(load_manifest(root, "test", test_fraction=0.2))}
    assert again - {str(root / "later.mp4")} == {p for p, _ in listed(test)}


def test_dangling_links_are_listed(root):
    touch(root / "train/a/1.mp4").with_name("gone.mp4").symlink_to("nowhere.mp4")
    assert len(load_manifest(root, "train")) == 2


def test_links_to_folders_are_followed_but_not_in_circles(root):
    touch(root / "elsewhere" / "1.mp4")
    folder = touch(root / "videos" / "2.mp4").parent
    (folder / "linked").symlink_to(root / "elsewhere")
    (folder / "circle").symlink_to(root)
    assert [os.path.relpath(path, folder) for path in media_files(folder)] == [
        "2.mp4",
        "linked/1.mp4",
    ]


def test_files_are_found_by_the_suffixes_asked_for(root):
    for name in ("b.WAV", "a.ogg", "c.mp4", "d.txt"):
        touch(root / name)
    assert [Path(path).name for path in media_files(root)] == ["a.ogg", "b.WAV", "c.mp4"]
    assert [Path(path).name for path in media_files(root, AUDIO_SUFFIXES)] == [
        "a.ogg",
        "b.WAV",
    ]


def test_names_that_are_not_unicode_survive(root):
    name = os.fsdecode(b"caf\xe9.mp4")
    touch(root / "train" / "a" / name)
    assert load_manifest(root, "train").path(0).endswith(name)


def test_missing_and_empty_folders(root):
    with pytest.raises(UserError, match="no such folder"):
        load_manifest(root / "none", "train")
    touch(root / "readme.txt")
    with pytest.raises(
        UserError, match=r"train split .* is empty. Files are found by their suffix"
    ):
        load_manifest(root, "train")
    assert find_layout(root).kind == "folder"


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("TRAIN", "Validation", "val"),
        ("train", "validation", "test"),  # the only other split there is
        ("training", "valid", "val"),
    ],
)
def test_splits_have_any_usual_name_and_are_never_mixed(root, train, other, split):
    for name in (f"{train}/a/1.mp4", f"{train}/b/2.mp4", f"{other}/a/3.mp4"):
        touch(root / name)
    assert find_layout(root).kind == "class_folders"
    assert listed(load_manifest(root, "train")) == [
        (str(root / train / "a/1.mp4"), 0),
        (str(root / train / "b/2.mp4"), 1),
    ]
    assert listed(load_manifest(root, split)) == [(str(root / other / "a/3.mp4"), 0)]


def test_a_split_that_is_missing_or_there_twice_is_an_error(root):
    touch(root / "validation/a/1.mp4")
    with pytest.raises(UserError, match=r"has no train split \(found: val\)"):
        load_manifest(root, "train")
    touch(root / "val/a/1.mp4")
    with pytest.raises(UserError, match=r"both name the val split"):
        load_manifest(root, "val")


def test_hidden_and_empty_folders_are_no_classes(root, caplog):
    for name in ("jump/1.mp4", "run/2.mp4", ".ipynb_checkpoints/1.mp4", "run/.thumbs/3.mp4"):
        touch(root / "train" / name)
    touch(root / "train/run/._2.mp4")
    (root / "train/empty_class").mkdir()
    touch(root / "train/notes/readme.txt")
    with caplog.at_level("INFO"):
        manifest = load_manifest(root, "train")
    assert manifest.class_names == ["jump", "run"]
    assert [Path(path).name for path, _ in listed(manifest)] == ["1.mp4", "2.mp4"]
    assert "without media files: empty_class, notes" in caplog.text
    assert "train split: 2 files, 2 classes" in caplog.text


def test_audio_beside_its_video_is_not_listed_for_video(root):
    for name in ("train/a/1.mp4", "train/a/1.wav", "train/b/2.wav"):
        touch(root / name)
    manifest = load_manifest(root, "train", suffixes=VIDEO_SUFFIXES)
    assert listed(manifest) == [(str(root / "train/a/1.mp4"), 0)]
    assert manifest.class_names == ["a"]
