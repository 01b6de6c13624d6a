"""An index of WebDataset's tars: rows that are read in place, labels, splits, damage."""

import io
import json
import tarfile

import pytest
from helpers.data_files import touch

from slowfast.config import UserError
from slowfast.datasets.annotations import tars
from slowfast.datasets.annotations.csv_rows import CsvFormat
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES
from slowfast.datasets.annotations.layouts import find_layout, load_manifest

pytestmark = pytest.mark.usefixtures("_cache")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    return folder


def write_tar(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def contents(manifest):
    """Return tar, bytes and label of each row."""
    found = []
    for index in range(len(manifest)):
        row = manifest.row(index)
        with open(row.path, "rb") as file:  # noqa: PTH123
            file.seek(row.offset)
            found.append((row.path.rsplit("/", 1)[-1], file.read(row.size), row.label))
    return found


def sample(key, number):
    return [(f"{key}.mp4", f"video {key}".encode()), (f"{key}.cls", str(number).encode())]


def test_rows_are_slices_with_labels(root):
    write_tar(
        root / "train-000.tar",
        [*sample("a/0", 3), ("a/1.json", b'{"label": 5}'), ("a/1.mp4", b"1")],
    )
    long = "x" * 150  # a name of several headers
    write_tar(root / "train-001.tar", [("._a.mp4", b"no"), (f"{long}.mp4", b"22"), ("n.txt", b"t")])
    write_tar(
        root / "val-000.tar", [("c.wav", b"audio"), ("c.video.MP4", b"333"), ("c.cls", b"7\n")]
    )
    train, val = load_manifest(root, "train"), load_manifest(root, "test")
    assert contents(train) == [
        ("train-000.tar", b"video a/0", 3),
        ("train-000.tar", b"1", 5),
        ("train-001.tar", b"22", -1),
    ]
    assert contents(val) == [("val-000.tar", b"333", 7)]
    assert len(load_manifest(root, "val", suffixes=MEDIA_SUFFIXES)) == 2
    assert find_layout(root).kind == "tars"


def test_folders_of_splits_and_names_of_classes(root):
    write_tar(root / "Train" / "0.tar", [("a.mp4", b"1"), ("a.cls", b"jump")])
    write_tar(root / "validation" / "0.tar", [("b.mp4", b"2"), ("b.cls", b"run")])
    with pytest.raises(UserError, match=r"0.tar:a.cls: column label: got 'jump'.*classes.txt"):
        load_manifest(root, "train")
    (root / "classes.txt").write_text("run\njump\n")
    assert contents(load_manifest(root, "train")) == [("0.tar", b"1", 1)]
    assert load_manifest(root, "val").class_names == ["run", "jump"]


def test_tars_without_splits_are_split_by_a_hash(root):
    for shard in range(4):
        write_tar(
            root / f"{shard:03}.tar", [m for n in range(50) for m in sample(f"{shard}{n}", n)]
        )
    train = contents(load_manifest(root, "train", test_fraction=0.2))
    test = contents(load_manifest(root, "test", test_fraction=0.2))
    assert len({content for _, content, _ in train + test}) == len(train + test) == 200
    assert 20 < len(test) < 65
    write_tar(root / "train-9.tar", sample("x", 1))
    with pytest.raises(UserError, match=r"000.tar contains no split"):
        load_manifest(root, "train")


def test_the_index_is_kept_until_a_tar_changes(root, monkeypatch):
    write_tar(root / "train-0.tar", sample("a", 1))
    first = contents(load_manifest(root, "train"))
    calls = []
    read = tars._read_tar
    monkeypatch.setattr(tars, "_read_tar", lambda *args: calls.append(args) or read(*args))
    assert contents(load_manifest(root, "train")) == first
    assert not calls
    write_tar(root / "train-0.tar", [*sample("a", 1), *sample("b", 2)])
    assert len(load_manifest(root, "train")) == 2
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["compressed", "cut", "text"])
def test_what_is_no_tar_is_named(root, damage):
    file = write_tar(
        root / "train-0.tar", sample("a", 1), "w:gz" if damage == "compressed" else "w"
    )
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:700])
    if damage == "text":
        file.write_text("nothing of the kind" * 60)
    with pytest.raises(UserError, match=r"train-0.tar: cannot be read as a tar: .*uncompressed"):
        load_manifest(root, "train")


def test_wrong_labels_and_empty_tars(root):
    write_tar(root / "train-0.tar", [("a.json", b"{"), ("a.mp4", b"1")])
    with pytest.raises(UserError, match=r"train-0.tar:a.json: not valid json"):
        load_manifest(root, "train")
    write_tar(root / "train-0.tar", [("a.jpg", b"1"), ("a.json", json.dumps([1]).encode())])
    with pytest.raises(UserError, match=r"the train split, tars of .*, is empty"):
        load_manifest(root, "train")


def test_folders_of_videos_with_a_tar_next_to_them_stay_folders(root):
    touch(root / "train" / "jump" / "1.mp4")
    touch(root / "test" / "jump" / "2.mp4")
    write_tar(root / "backup.tar", [("x.mp4", b"1")])
    assert find_layout(root).kind == "class_folders"


def test_samples_with_lists_of_classes(root):
    members = [
        ("a.mp4", b"1"),
        ("a.cls", b"1,3"),
        ("b.mp4", b"2"),
        ("b.json", b'{"label": [0, 2]}'),
    ]
    write_tar(root / "train-000.tar", [*members, ("c.mp4", b"3"), ("c.json", b'{"labels": []}')])
    manifest = load_manifest(root, "train", CsvFormat(multi_label=True))
    assert [manifest.row(i).labels for i in range(3)] == [(1, 3), (0, 2), ()]
    with pytest.raises(UserError, match=r"a.cls: got the labels '1,3'; .* DATA.MULTI_LABEL True"):
        load_manifest(root, "train")
