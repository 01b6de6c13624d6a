"""Manifests: three layouts, odd names, compact storage, clear errors."""

import os
import pickle

import pytest

from slowfast.config import UserError
from slowfast.datasets.manifest import Manifest, Row, find_layout, load_manifest


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def listed(manifest):
    return [(manifest.path(i), manifest.label(i)) for i in range(len(manifest))]


def test_csv_with_odd_names(root):
    lines = ["a b.mp4 3", "quote'and,comma.mp4 0", "ünï_日本.mp4 1", "", "only.mp4", "no label.mp4"]
    (root / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = load_manifest(root, "train", prefix="/videos")
    assert listed(manifest) == [
        ("/videos/a b.mp4", 3),
        ("/videos/quote'and,comma.mp4", 0),
        ("/videos/ünï_日本.mp4", 1),
        ("/videos/only.mp4", -1),
        ("/videos/no label.mp4", -1),
    ]
    assert not manifest.has_labels


def test_csv_quoted_separator_and_skipped_rows(root):
    (root / "train.csv").write_text('path,label\n"a, ""b"".mp4",2\nc.mp4,1\n', encoding="utf-8")
    manifest = load_manifest(root, "train", separator=",", skip_rows=1, prefix="/v")
    assert listed(manifest) == [('/v/a, "b".mp4', 2), ("/v/c.mp4", 1)]


def test_csv_paths_relative_to_the_data_folder(root):
    touch(root / "clips" / "x.mp4")
    (root / "test.csv").write_text("clips/x.mp4 0\n", encoding="utf-8")
    assert listed(load_manifest(root, "test")) == [(str(root / "clips" / "x.mp4"), 0)]


def test_csv_error_names_the_line(root):
    (root / "train.csv").write_text("a.mp4 0\nb.mp4 zero\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train.csv:2: expected 'path label' with an integer"):
        load_manifest(root, "train")


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


def test_memory_mapped_and_cheap(root, tmp_path):
    (root / "train.csv").write_text(
        "".join(f"/videos/{i:06d}.mp4 {i % 7}\n" for i in range(5000)), encoding="utf-8"
    )
    manifest = load_manifest(root, "train")
    assert len(manifest) == 5000
    assert manifest.path(4999) == "/videos/004999.mp4"
    assert type(manifest.labels).__name__ == "memmap"
    again = load_manifest(root, "train")
    assert again.digest() == manifest.digest()
    assert len(list((tmp_path / "cache" / "manifests").iterdir())) == 1


def test_an_unwritable_cache_is_no_obstacle(root, tmp_path, monkeypatch, caplog):
    touch(root / "train/a/1.mp4")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "file"))
    assert len(load_manifest(root, "train")) == 1
    assert "kept in memory" in caplog.text


def test_manifest_can_be_sent_to_a_worker():
    manifest = Manifest.from_rows([Row("a.mp4", 1), Row("b.mp4", 0)], ["x", "y"])
    assert listed(pickle.loads(pickle.dumps(manifest))) == [("a.mp4", 1), ("b.mp4", 0)]
