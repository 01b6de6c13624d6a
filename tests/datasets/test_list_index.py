"""The index of a long csv: equal to reading it, cheap, and never trusted when it is damaged."""

import json
import os
import time
import tracemalloc

import numpy as np
import pytest

from slowfast.datasets.annotations import layouts, list_index
from slowfast.datasets.annotations.csv_rows import CsvFormat, read_csv
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import Manifest

PLAIN = [f"videos/clip_{i}.mp4 {i % 7}" for i in range(50)]
NAMED = [f"videos/a clip {i}.mp4 {('run', 'jump high')[i % 2]}" for i in range(50)]
TABLE = [
    "path,label,start_sec,end_sec,offset,size,split,pose",
    *(
        f"/v/clip_{i}.mp4,{i % 3},{i},{'' if i % 4 else i + 2.5},{i},{i + 9},"
        f"{('train', 'val')[i % 5 == 0]},{i} {i / 2}"
        for i in range(50)
    ),
]
LISTS = [
    "path,label",
    *(f"/v/{i}.mp4,{('[]', '1', chr(34) + '2,3' + chr(34))[i % 3]}" for i in range(9)),
]
MIXED = [f"clip_{i}.mp4{f' {i}' if i % 2 else ''}" for i in range(20)]

CASES = {
    "plain": ("train.csv", PLAIN, CsvFormat()),
    "prefix": ("train.csv", PLAIN, CsvFormat(prefix="/data")),
    "class names": ("train.csv", NAMED, CsvFormat()),
    "unlabeled": ("train.csv", MIXED, CsvFormat()),
    "not UTF-8": ("train.csv", [*PLAIN, "videos/\udcff.mp4 3"], CsvFormat()),
    "table of splits": ("all.csv", TABLE, CsvFormat(fields=("pose",))),
    "lists of classes": ("train.csv", LISTS, CsvFormat(multi_label=True)),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(list_index, "_MIN_BYTES", 1)
    return tmp_path / "cache"


def write(root, name, lines):
    """Write a csv as if some time ago; ``_SETTLED_SEC`` looks at the change of the inode, too."""
    root.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    (root / name).write_bytes(text.encode(errors="surrogateescape"))
    if "jump high" in text:
        (root / "classes.txt").write_text("run\njump high\n", encoding="utf-8")
    return root


@pytest.fixture
def settled(monkeypatch):
    monkeypatch.setattr(list_index, "_SETTLED_SEC", -1.0)


def refuse(*args):
    raise AssertionError("the list was read")


def content(manifest):
    rows = [manifest.row(i) for i in range(len(manifest))]
    fields = [{k: v.tolist() for k, v in row.fields.items()} for row in rows]
    plain = [row._replace(fields={}) for row in rows]
    summary = manifest.summary._replace(digest="")
    return plain, fields, manifest.class_names, manifest.digest(), summary


@pytest.mark.parametrize("case", CASES)
def test_equal_to_reading_the_list(tmp_path, monkeypatch, settled, case):
    name, lines, form = CASES[case]
    root = write(tmp_path / "data", name, lines)
    labels = {"run": 0, "jump high": 1} if case == "class names" else {}
    rows = read_csv(root / name, root, form._replace(labels=labels), "train")
    wanted = content(Manifest.from_rows(rows, list(labels)))
    assert content(load_manifest(root, "train", form)) == wanted
    monkeypatch.setattr(layouts, "read_csv", refuse)
    monkeypatch.setattr(layouts, "splits_in", refuse)
    assert content(load_manifest(root, "train", form)) == wanted


def test_another_setting_split_or_folder_is_another_list(tmp_path, settled):
    root = write(tmp_path / "data", "all.csv", TABLE)
    train, val = (load_manifest(root, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (40, 10)
    assert load_manifest(root, "val", CsvFormat(prefix="/p")).path(0) == "/v/clip_0.mp4"
    plain = write(tmp_path / "plain", "train.csv", PLAIN)
    assert load_manifest(plain, "train").path(0) == str(plain / "videos/clip_0.mp4")
    assert load_manifest(plain, "train", CsvFormat(prefix="/p")).path(0) == "/p/videos/clip_0.mp4"


def test_same_rows_with_other_class_names(tmp_path, settled):
    root = write(tmp_path / "data", "train.csv", PLAIN[:14])
    for names in (list("abcdefg"), list("tuvwxyz")):
        (root / "classes.txt").write_text("\n".join(names), encoding="utf-8")
        for _ in range(2):
            assert load_manifest(root, "train").class_names == names


def test_a_changed_list_is_read_again(tmp_path, settled):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    before = (root / "train.csv").stat()
    load_manifest(root, "train")
    write(root, "train.csv", [line.replace("clip", "film") for line in PLAIN])
    os.utime(root / "train.csv", ns=(before.st_atime_ns, before.st_mtime_ns))  # same size and time
    assert load_manifest(root, "train").path(3) == str(root / "videos/film_3.mp4")


def test_a_list_that_is_still_written_to_gets_no_index(tmp_path, cache):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    load_manifest(root, "train")
    assert not (cache / "lists").exists()


def test_relative_paths_are_resolved_again_when_files_have_moved(tmp_path, monkeypatch, settled):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    monkeypatch.chdir(tmp_path)
    assert load_manifest(root, "train").path(0) == str(root / "videos/clip_0.mp4")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/clip_0.mp4").touch()
    (root / "videos").mkdir()
    (root / "videos/clip_0.mp4").touch()
    assert load_manifest(root, "train").path(0) == "videos/clip_0.mp4"


def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(b"" if kind == "empty" else data[: len(data) // 2] if kind == "cut" else data)
    if kind == "gone":
        path.unlink()


@pytest.mark.parametrize("kind", ["flip", "cut", "empty", "gone"])
@pytest.mark.parametrize("what", ["lists/*.json", "text.npy", "labels.npy", "classes.json"])
def test_what_is_damaged_is_made_again(tmp_path, cache, monkeypatch, settled, what, kind):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    wanted = content(load_manifest(root, "train"))
    (file,) = cache.glob(what if "/" in what else f"manifests/*/{what}")
    damage(file, kind)
    assert content(load_manifest(root, "train")) == wanted
    monkeypatch.setattr(layouts, "read_csv", refuse)
    assert content(load_manifest(root, "train")) == wanted


@pytest.mark.parametrize("content", ["[]", '"x"', "{}", "null"])
def test_an_index_of_another_kind_is_made_again(tmp_path, cache, monkeypatch, settled, content):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    load_manifest(root, "train")
    (file,) = cache.glob("lists/*.json")
    index = json.loads(file.read_text(encoding="utf-8"))
    index["content"] = json.loads(content)
    index["digest"] = list_index._digest(index["content"])
    file.write_text(json.dumps(index), encoding="utf-8")
    assert len(load_manifest(root, "train")) == 50
    monkeypatch.setattr(layouts, "read_csv", refuse)
    assert len(load_manifest(root, "train")) == 50


def test_an_indexed_list_costs_no_memory_per_row(tmp_path, monkeypatch, settled):
    lines = [f"/data/videos/class_{i % 400}/clip_{i:07d}.mp4 {i % 400}" for i in range(100_000)]
    root = write(tmp_path / "data", "train.csv", lines)
    load_manifest(root, "train")
    monkeypatch.setattr(layouts, "read_csv", refuse)
    tracemalloc.start()
    try:
        manifest = load_manifest(root, "train")
        assert (manifest.has_labels, manifest.summary.highest_class) == (True, 399)
        assert manifest.path(99_999) == "/data/videos/class_399/clip_0099999.mp4"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_200_000  # one block of the checksum, and class counts: 22 bytes a row


def test_a_damaged_array_of_an_unindexed_list_is_not_used(tmp_path, cache):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    wanted = content(load_manifest(root, "train"))
    (file,) = cache.glob("manifests/*/text.npy")
    damage(file, "flip")
    assert content(load_manifest(root, "train")) == wanted


def test_the_index_is_stamped_before_the_list_is_read(tmp_path, monkeypatch, settled, cache):
    root = write(tmp_path / "data", "train.csv", PLAIN)
    real = layouts.read_csv

    def read_and_change(file, *args):
        rows = list(real(file, *args))
        time.sleep(0.02)
        write(root, "train.csv", [line.replace("clip", "film") for line in PLAIN])
        return iter(rows)

    monkeypatch.setattr(layouts, "read_csv", read_and_change)
    load_manifest(root, "train")
    assert not (cache / "lists").exists()
    assert np.array_equal(load_manifest(root, "train").labels, np.arange(50) % 7)
