"""Entries of split files and their files: a few may be missing, never silently."""

import csv

import pytest
from helpers.data_files import data_cfg, listed, touch

from slowfast.config import UserError
from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.match import (
    Annotation,
    entries_to_manifest,
)

NAMES = [f"c/{number:02d}.avi" for number in range(20)]
ENTRIES = [
    Annotation(name, number % 3, f"list.txt:{number + 1}") for number, name in enumerate(NAMES)
]


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        touch(tmp_path / "data" / name)
    return tmp_path / "data"


def build(root, fraction=0.05, entries=ENTRIES):
    return entries_to_manifest(
        data_cfg(root, "DATA.MAX_BAD_FRACTION", fraction),
        "train",
        iter(entries),
        MediaIndex(root).locate,
        class_names=["x", "y", "z"],
        layout="CLASS/file.avi",
    )


def records(root):
    with (root.parent / "output" / "bad_media.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_files_are_there(root, caplog):
    manifest = build(root, fraction=0.0)
    assert listed(manifest) == [(str(root / entry.name), entry.label) for entry in ENTRIES]
    assert manifest.class_names == ["x", "y", "z"]
    assert not caplog.text
    assert not (root.parent / "output").exists()


def test_a_few_missing_files_are_left_out_with_one_warning_and_a_record(root, caplog):
    (root / NAMES[7]).unlink()
    manifest = build(root)
    assert len(manifest) == 19
    assert str(root / NAMES[7]) not in dict(listed(manifest))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "1 of the 20 files of the train split (5.0%) are missing" in record.getMessage()
    assert records(root) == [
        {
            "split": "train",
            "path": str(root / NAMES[7]),
            "reason": "no such file; listed at list.txt:8",
        }
    ]
    build(root)  # as in every evaluation
    assert len(records(root)) == 1


def test_too_many_missing_files(root):
    for name in NAMES[3:5]:
        (root / name).unlink()
    with pytest.raises(
        UserError,
        match=r"DATA.MAX_BAD_FRACTION: 2 of the 20 files of the train split \(10.0%\) are "
        r"missing, allowed are 5.0%; e.g. \S*c/03.avi, \S*c/04.avi. Expected: CLASS/file.avi",
    ):
        build(root)
    assert len(build(root, fraction=0.1)) == 18


def test_no_file_at_all_names_the_first_and_the_layout(root):
    for name in NAMES:
        (root / name).unlink()
    with pytest.raises(
        UserError,
        match=r"PATH_TO_DATA_DIR: none of the 20 files of the train split exists. The first "
        r"is \S*data/c/00.avi \(list.txt:1\). Expected: CLASS/file.avi",
    ):
        build(root, fraction=1.0)


def test_nothing_listed(root):
    with pytest.raises(UserError, match="name no file of the train split"):
        build(root, entries=[])
