"""Layouts of a data folder: csv files, class folders, a plain folder; odd names, clear errors."""

import os

import pytest
from helpers.data_files import listed, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.annotations.csv_rows import CsvFormat
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, media_files
from slowfast.datasets.annotations.layouts import find_layout, load_manifest

pytestmark = pytest.mark.usefixtures("_cache")


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


def test_a_split_without_class_folders_has_no_labels(root):
    """Kinetics' test split is published without labels, as a plain folder."""
    for name in ("train/b/1.mp4", "train/a/2.mp4", "val/b/3.mp4", "test/4.mp4", "test/5.mp4"):
        touch(root / name)
    assert [label for _, label in listed(load_manifest(root, "train"))] == [0, 1]
    assert listed(load_manifest(root, "val")) == [(str(root / "val/b/3.mp4"), 1)]
    test = load_manifest(root, "test")
    assert listed(test) == [(str(root / f"test/{number}.mp4"), -1) for number in (4, 5)]
    assert test.class_names == ["a", "b"]


def test_test_falls_back_to_val_but_val_does_not(root):
    for name in ("train/a/1.mp4", "val/a/2.mp4"):
        touch(root / name)
    assert len(load_manifest(root, "test")) == 1
    for there, asked in (("train", "val"), ("val", "train")):
        touch(root / there / there / "a" / "1.mp4")
        with pytest.raises(UserError, match=rf"has no {asked} split \(found: {there}\)"):
            load_manifest(root / there, asked)


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


def test_names_that_are_not_unicode_survive(root):
    name = os.fsdecode(b"caf\xe9.mp4")
    touch(root / "train" / "a" / name)
    assert load_manifest(root, "train").path(0).endswith(name)


def test_missing_and_empty_folders(root):
    with pytest.raises(UserError, match="no such folder"):
        load_manifest(root / "none", "train")
    touch(root / "readme.txt")
    with pytest.raises(
        UserError, match=r"train split .* is empty. Files with these suffixes are read"
    ):
        load_manifest(root, "train")
    assert find_layout(root).kind == "folder"


def test_a_split_of_a_plain_folder_that_got_no_file_names_the_key(root):
    touch(root / "a.mp4")
    with pytest.raises(UserError, match=r"All 1 files are in the other .*FOLDER_TEST_FRACTION"):
        load_manifest(root, "test", test_fraction=0.0)


def test_hidden_and_empty_folders_are_no_classes(root, caplog):
    for name in ("jump/1.mp4", "run/2.mp4", ".ipynb_checkpoints/1-checkpoint.mp4"):
        touch(root / "train" / name)
    (root / "train" / "empty_class").mkdir()
    touch(root / "test" / "run" / "._3.mp4")
    touch(root / "test" / "run" / "3.mp4")
    train, test = load_manifest(root, "train"), load_manifest(root, "test")
    assert train.class_names == test.class_names == ["jump", "run"]
    assert names(train) == [("1.mp4", 0), ("2.mp4", 1)]
    assert names(test) == [("3.mp4", 1)]
    assert "1 folders without media files are not used as classes: empty_class" in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("TRAIN", "validation", "val"),
        ("training", "Validation", "test"),  # testing falls back to val
        ("videos_train", "videos_val", "val"),
        ("train_set", "Evaluation-Set", "val"),
        ("TrainSet", "testset", "test"),
    ],
)
def test_split_folders_of_other_names(root, train, test, split):
    for name in (f"{train}/jump/1.mp4", f"{train}/run/2.mp4", f"{test}/run/3.mp4"):
        touch(root / name)
    assert names(load_manifest(root, "train")) == [("1.mp4", 0), ("2.mp4", 1)]
    assert names(load_manifest(root, split)) == [("3.mp4", 1)]


def test_csv_files_of_other_names(root):
    write(root / "Train.csv", "/v/1.mp4 0")
    write(root / "validate.csv", "/v/2.mp4 1")
    assert listed(load_manifest(root, "train")) == [("/v/1.mp4", 0)]
    assert listed(load_manifest(root, "test")) == [("/v/2.mp4", 1)]
    write(root / "val.csv", "/v/3.mp4 1")
    with pytest.raises(UserError, match=r"several val splits: val, validate"):
        load_manifest(root, "train")


def test_splits_below_another_folder_are_refused(root):
    for name in ("kinetics/train/jump/1.mp4", "kinetics/val/jump/2.mp4"):
        touch(root / name)
    with pytest.raises(UserError, match=r"they would be mixed: .*Expected: folders"):
        load_manifest(root, "train")


def test_audio_next_to_video_is_no_video(root):
    for name in ("a.mp4", "a.wav", "b.mp4", "b.WAV", "c.m4a"):
        touch(root / "train" / "x" / name)
    assert names(load_manifest(root, "train")) == [("a.mp4", 0), ("b.mp4", 0)]
    assert len(load_manifest(root, "train", suffixes=MEDIA_SUFFIXES)) == 5


def test_audio_alone_is_told_to_a_task_that_needs_video(root):
    touch(root / "train" / "x" / "a.wav")
    with pytest.raises(UserError, match=r"It has 1 audio-only files: .* audio_folder"):
        load_manifest(root, "train")


def test_tables_that_the_project_writes_are_no_lists(root):
    """``prepare encode`` leaves encode.csv in the folder of the copies, ``check`` its tables."""
    for name in ("train/jump/1.mp4", "test/run/2.mp4"):
        touch(root / name)
    before = find_layout(root)
    write(root / "encode.csv", "source,target,status", "a b.avi,a b.mp4,encoded")
    write(root / "report.csv", "path,usable,split", "1.mp4,1,train")
    write(root / "quarantine.csv", "path,size_bytes", "1.mp4,0")
    assert find_layout(root) == before
    assert [name for name, _ in names(load_manifest(root, "train"))] == ["1.mp4"]


def test_the_log_tells_what_was_understood(root, caplog):
    caplog.set_level("INFO")
    for name in ("train/jump/1.mp4", "train/run/2.mp4", "test/run/3.mp4", "extra/run/4.mp4"):
        touch(root / name)
    touch(root / "train" / "stray.mp4")
    touch(root / "loose.mp4")
    touch(root / ".hidden.mp4")
    load_manifest(root, "train")
    assert "train split: 2 files of 2 classes" in caplog.text
    assert "splits: train (train), test (test); not read: extra, loose.mp4" in caplog.text
    assert "files that are in no class folder" in caplog.text
    caplog.clear()
    write(root / "train.csv", "/v/1.mp4,0", "/v/2.mp4,4", "/v/3.mp4")
    load_manifest(root, "train", CsvFormat(separator=","))
    assert "train split: 3 files, 1 of them without label, of 2 classes" in caplog.text
    assert "csv, columns: path, label; separator: ," in caplog.text


def test_one_csv_with_a_column_of_splits(root):
    lines = ["path,label,split", "/v/1.mp4,0,train", "/v/2.mp4,1,validate", "/v/3.mp4,1,Test"]
    write(root / "annotations.csv", *lines)
    assert set(find_layout(root).sources) == {"train", "val", "test"}
    for split, number in (("train", 1), ("val", 2), ("test", 3)):
        assert [p for p, _ in listed(load_manifest(root, split))] == [f"/v/{number}.mp4"]


def test_a_column_of_splits_is_never_ignored(root):
    lines = ["path,label,split", "/v/1.mp4,0,train", "/v/2.mp4,1,test"]
    write(root / "train.csv", *lines)
    write(root / "test.csv", *lines)
    assert listed(load_manifest(root, "train")) == [("/v/1.mp4", 0)]
    assert listed(load_manifest(root, "test")) == [("/v/2.mp4", 1)]
    write(root / "test.csv", *lines, "/v/3.mp4,0,holdout")
    with pytest.raises(UserError, match=r"test.csv:4: column split: got 'holdout'; expected train"):
        load_manifest(root, "test")


def test_names_of_classes_from_a_list(root):
    write(root / "classes.txt", "air drumming", "jump")
    write(root / "train.csv", "/v/a b.mp4 air drumming", "/v/2.mp4 jump", "/v/3.mp4 1")
    manifest = load_manifest(root, "train")
    assert manifest.class_names == ["air drumming", "jump"]
    assert listed(manifest) == [("/v/a b.mp4", 0), ("/v/2.mp4", 1), ("/v/3.mp4", 1)]
