"""Lists of classes: their grammar in csv files and tars, how they are kept, and as targets."""

import numpy as np
import pytest
from helpers.data_files import data_cfg, touch, write

from slowfast.config import UserError
from slowfast.datasets.annotations.csv_rows import CsvFormat, read_csv
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES
from slowfast.datasets.annotations.label_text import parse_label
from slowfast.datasets.annotations.labels import (
    check_labels,
    encode_label,
    label_width,
    take_per_class,
)
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord, share_manifest
from slowfast.datasets.build import build_dataset

pytestmark = pytest.mark.usefixtures("_cache")

NAMES = {"run": 0, "jump": 1, "air drumming, loud": 2, "eat; drink": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", (3,)),
        ("3,1,3", (1, 3)),
        ("1; 3", (1, 3)),
        ("1|3", (1, 3)),
        ("3 1", (1, 3)),
        ("[1, 3]", (1, 3)),
        ("1.0,3.0", (1, 3)),
        ("[]", ()),
        ("", None),
        ("run,jump", (0, 1)),
        ("['run', \"jump\"]", (0, 1)),
        ("air drumming, loud", (2,)),
        ("air drumming, loud|run", (0, 2)),
        ("air drumming, loud;1", (1, 2)),
        ("eat; drink|run", (0, 3)),
    ],
)
def test_lists(text, expected):
    label = parse_label([text], NAMES, "x.csv:1", multi_label=True)
    assert (label.label, label.labels) == (-1, expected)


def test_several_fields_are_one_list():
    label = parse_label(["3", "", "run,jump"], NAMES, "x.csv:1", multi_label=True)
    assert label.labels == (0, 1, 3)


@pytest.mark.parametrize("text", ["run,jmp", "1,-1", "1,,2", "air drumming, loud,run", "one"])
def test_what_is_no_class_is_named_with_its_line(text):
    with pytest.raises(UserError, match=r"x.csv:7: got the labels .*not a class of classes.txt"):
        parse_label([text], NAMES, "x.csv:7", multi_label=True)
    with pytest.raises(UserError, match=r"x.csv:7: got the labels 'a,b', where 'a' is no number"):
        parse_label(["a,b"], {}, "x.csv:7", multi_label=True)


def rows(root, *lines, **form):
    file = write(root / "train.csv", *lines)
    form = CsvFormat(suffixes=MEDIA_SUFFIXES, **({"multi_label": True} | form))
    return [(row.path, row.labels) for row in read_csv(file, root, form)]


@pytest.mark.parametrize(
    ("separator", "lines", "expected"),
    [
        (" ", ["/a b.mp4 1,3", "/c.mp4 2", "/d.mp4"], [(1, 3), (2,), None]),
        (" ", ["/a b.mp4 1 3", '/c.mp4 "2"', "/d.mp4 []"], [(1, 3), (2,), ()]),
        (",", ["/a b.mp4,1,3", '/c.mp4,"2"', '/d.mp4,"[]"'], [(1, 3), (2,), ()]),
        (",", ['"/a b.mp4","1,3"', "/c.mp4,2", "/d.mp4,"], [(1, 3), (2,), None]),
        ("\t", ["/a b.mp4\t1,3", "/c.mp4\t2", "/d.mp4\t"], [(1, 3), (2,), None]),
        (" ", ["path,labels", '/a b.mp4,"1,3"', "/c.mp4,2", "/d.mp4,"], [(1, 3), (2,), None]),
        (" ", ["path;label", "/a b.mp4;1,3", "/c.mp4;2", "/d.mp4;[]"], [(1, 3), (2,), ()]),
        (
            *(" ", ["label_1,path,label_2", "3,/a b.mp4,1", ",/c.mp4,2", ",/d.mp4,"]),
            [(1, 3), (2,), None],
        ),
    ],
)
def test_csv_files(tmp_path, separator, lines, expected):
    found = rows(tmp_path, *lines, separator=separator)
    assert found == list(zip(("/a b.mp4", "/c.mp4", "/d.mp4"), expected, strict=True))


def test_names_in_a_csv(tmp_path):
    lines = ['/a.mp4 "run,jump"', '/b.mp4 "air drumming, loud|run"', "/c.mp4 jump"]
    found = rows(tmp_path, *lines, labels=NAMES)
    assert [labels for _, labels in found] == [(0, 1), (0, 2), (1,)]
    with pytest.raises(UserError, match=r"train.csv:1: got '/a.mp4 hop'; expected 'path labels'"):
        rows(tmp_path, "/a.mp4 hop", labels=NAMES)


@pytest.mark.parametrize(
    "lines",
    [
        ["/a.mp4 1,3", "/b.mp4 2"],
        ["/b.mp4 2", "/a.mp4 1,3"],
        ["/b.mp4 2", "/a.mp4 1 3"],
        ["path,label", '/a.mp4,"1,3"'],
        ["path,label", '/a.mp4,"run,jump"'],
        ["path,label_1,label_2", "/a.mp4,1,3"],
    ],
)
def test_several_labels_without_the_key_are_an_error_that_names_it(tmp_path, lines):
    with pytest.raises(UserError, match=r"DATA.MULTI_LABEL") as caught:
        rows(tmp_path, *lines, multi_label=False, labels=NAMES)
    assert "train.csv" in str(caught.value)


RECORDS = [
    VideoRecord("/v/a.mp4", labels=(1, 3)),
    VideoRecord("/v/b.mp4", labels=()),
    VideoRecord("/v/c.mp4"),
    VideoRecord("/v/d.mp4", labels=(0,)),
]


def test_a_manifest_keeps_them():
    manifest = share_manifest(Manifest.from_rows(RECORDS, ["w", "x", "y", "z"]))
    assert manifest.is_multi_label
    assert [manifest.row(i) for i in range(4)] == RECORDS
    assert manifest.is_labeled.tolist() == [True, True, False, True]
    assert manifest.classes.tolist() == [1, 3, 0]
    assert not manifest.has_labels
    assert manifest.take([3, 0]).row(1) == RECORDS[0]
    others = [RECORDS[0]._replace(labels=(1, 2)), *RECORDS[1:]]
    assert manifest.digest() != Manifest.from_rows(others, []).digest()
    assert not Manifest.from_rows([VideoRecord("a", 1)], []).is_multi_label


def test_targets():
    assert encode_label(RECORDS[0], 4).tolist() == [0, 1, 0, 1]
    assert encode_label(RECORDS[1], 4).tolist() == [0] * 4
    assert encode_label(RECORDS[2], 4).tolist() == [-1] * 4
    assert encode_label(RECORDS[0], 4).dtype == np.float32
    assert encode_label(VideoRecord("a", 7), 0) == 7


def test_labels_of_the_other_kind_and_labels_that_are_too_large(tmp_path):
    lists, one = Manifest.from_rows(RECORDS, []), Manifest.from_rows([VideoRecord("a", 1)], [])
    unlabeled = Manifest.from_rows([VideoRecord("a")], [])
    multi = data_cfg(tmp_path, "DATA.MULTI_LABEL", True, "MODEL.NUM_CLASSES", 4)
    single = data_cfg(tmp_path, "MODEL.NUM_CLASSES", 4)
    assert label_width(multi, lists, "train") == label_width(multi, unlabeled, "test") == 4
    assert label_width(single, one, "train") == label_width(single, unlabeled, "test") == 0
    with pytest.raises(
        UserError, match=r"MULTI_LABEL: got True, but .* one class .*a\); use False"
    ):
        label_width(multi, one, "train")
    with pytest.raises(UserError, match=r"MULTI_LABEL: got False, but .* lists .*; use True"):
        label_width(single, lists, "train")
    multi.merge_from_list(["MODEL.NUM_CLASSES", 3])
    with pytest.raises(UserError, match=r"NUM_CLASSES: got 3, .* of the test split is 3; use 4"):
        label_width(multi, lists, "test")
    with pytest.raises(UserError, match=r"1 of the 4 files .* no label, the first: /v/c.mp4.*\[\]"):
        check_labels(lists, 4, "MODEL.NUM_CLASSES")
    with pytest.raises(UserError, match=r"VIDEOS_PER_CLASS: got 2, but .* several classes"):
        take_per_class(lists, 2, 0)


def test_class_folders_are_one_label(tmp_path):
    touch(tmp_path / "train" / "run" / "a.mp4")
    cfg = data_cfg(tmp_path, "DATA.MULTI_LABEL", True, "AUDIO.ENABLE", False)
    with pytest.raises(UserError, match=r"DATA.MULTI_LABEL: got True.*use False"):
        build_dataset("kinetics", cfg, "train")


def test_a_csv_of_lists_becomes_a_dataset(tmp_path):
    write(tmp_path / "classes.txt", "run", "jump")
    write(tmp_path / "train.csv", 'x.mp4 "run,jump"', "y.mp4 jump")
    words = ("DATA.MULTI_LABEL", True, "MODEL.NUM_CLASSES", 2)
    dataset = build_dataset("kinetics", data_cfg(tmp_path, *words), "train")
    assert dataset.label_width == 2
    assert [dataset.manifest.row(i).labels for i in range(2)] == [(0, 1), (1,)]
    assert load_manifest(tmp_path, "train", CsvFormat(multi_label=True)).class_names == [
        "run",
        "jump",
    ]


def test_youtube_ids_with_lists(tmp_path):
    for name in "abc":
        touch(tmp_path / f"{name}.mp4")
    write(tmp_path / "train.csv", "youtube_id,label", 'a,"run,jump"', "b,run", "c,[]")
    words = ("DATA.MULTI_LABEL", True, "MODEL.NUM_CLASSES", 2)
    manifest = build_dataset("kinetics", data_cfg(tmp_path, *words), "train").manifest
    assert manifest.class_names == ["jump", "run"]
    assert [manifest.row(i).labels for i in range(3)] == [(0, 1), (1,), ()]
