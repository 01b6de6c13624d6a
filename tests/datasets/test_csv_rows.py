"""csv files: PySlowFast's lines with odd names, and the variant with a header."""

import math

import pytest
from helpers.data_files import listed, touch, write

from slowfast.config import UserError
from slowfast.datasets.csv_rows import CsvFormat, read_csv
from slowfast.datasets.layouts import MEDIA_SUFFIXES, load_manifest
from slowfast.datasets.manifest import Row


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def rows(root, *lines, **form):
    file = write(root / "train.csv", *lines)
    return list(read_csv(file, root, CsvFormat(suffixes=MEDIA_SUFFIXES, **form)))


def test_odd_names(root):
    lines = ["a b.mp4 3", "quote'and,comma.mp4 0", "ünï_日本.mp4 1", "", "only.mp4", "no label.mp4"]
    write(root / "train.csv", *lines)
    manifest = load_manifest(root, "train", prefix="/videos")
    assert listed(manifest) == [
        ("/videos/a b.mp4", 3),
        ("/videos/quote'and,comma.mp4", 0),
        ("/videos/ünï_日本.mp4", 1),
        ("/videos/only.mp4", -1),
        ("/videos/no label.mp4", -1),
    ]
    assert not manifest.has_labels


def test_quoted_separator_and_skipped_rows(root):
    lines = ["path,label", '"a, ""b"".mp4",2', "c.mp4,1"]
    assert rows(root, *lines, separator=",", skip_rows=1, prefix="/v") == [
        Row('/v/a, "b".mp4', 2),
        Row("/v/c.mp4", 1),
    ]


def test_paths_relative_to_the_data_folder(root):
    touch(root / "clips" / "x.mp4")
    assert rows(root, "clips/x.mp4 0") == [Row(str(root / "clips" / "x.mp4"), 0)]


def test_an_error_names_the_line(root):
    with pytest.raises(UserError, match=r"train.csv:2: expected 'path label' with an integer"):
        rows(root, "a.mp4 0", "b.mp4 zero")


def test_a_header_names_the_columns_in_any_order(root):
    lines = [
        "Label, start_sec,end_sec,path",
        '3,1.5,4,"/v/a, b.mp4"',
        ",,,/v/c.mp4",
        ",2,,/v/d.mp4",
    ]
    assert rows(root, *lines) == [
        Row("/v/a, b.mp4", 3, 1.5, 4.0),
        Row("/v/c.mp4", -1, 0.0, math.inf),
        Row("/v/d.mp4", -1, 2.0, math.inf),
    ]


def test_slices_of_a_tar(root):
    touch(root / "shard.tar")
    lines = ["path,offset,size", "shard.tar,512,1000", "shard.tar,2048,"]
    assert rows(root, *lines) == [
        Row(str(root / "shard.tar"), offset=512, size=1000),
        Row(str(root / "shard.tar"), offset=2048),
    ]


def test_a_header_ignores_the_separator_and_takes_the_prefix(root):
    assert rows(root, "path,label", "a b.mp4,1", prefix="/v") == [Row("/v/a b.mp4", 1)]


def test_a_byte_order_mark_does_not_hide_the_header(root):
    assert rows(root, "\ufeffpath,label", "/v/a.mp4,1") == [Row("/v/a.mp4", 1)]


def test_a_first_line_that_is_no_header_is_a_file(root):
    assert rows(root, "path.mp4 1") == [Row(str(root / "path.mp4"), 1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,x,,,,", r"train.csv:2: column label: got 'x', expected a number"),
        ("a.mp4,1,late,,,", r"train.csv:2: column start_sec: got 'late'"),
        ("a, b.mp4,1,,,,", r"train.csv:2: got 7 cells, but the header names 6 columns .*quotes"),
        (",1,,,,", r"train.csv:2: the path is empty"),
        ("a.mp4,1,5,5,,", r"train.csv:2: got the window 5 to 5 s, expected 0 <= start_sec"),
        ("a.mp4,1,-1,5,,", r"train.csv:2: got the window -1 to 5 s"),
        ("a.mp4,1,nan,5,,", r"train.csv:2: got the window nan to 5 s"),
        ("a.mp4,1,,,-4,8", r"train.csv:2: got offset -4 and size 8, expected bytes"),
        ("a.mp4,1,,,4,0", r"train.csv:2: got offset 4 and size 0"),
    ],
)
def test_what_a_line_below_a_header_can_get_wrong(root, line, message):
    with pytest.raises(UserError, match=message):
        rows(root, "path,label,start_sec,end_sec,offset,size", line)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("/v/a.mp4 1 \n/v/b.mp4 0\t\n", {}),  # spaces at the end
        ("/v/a.mp4  1\n /v/b.mp4   0\n", {}),  # several spaces
        ("\ufeff/v/a.mp4 1\r\n/v/b.mp4 0\r\n", {}),  # a byte order mark without a header
        ("/v/a.mp4\t1\n/v/b.mp4\t0\n", {"separator": "\\t"}),  # as typed on a command line
        ("/v/a.mp4\t1\n/v/b.mp4\t0\n", {"separator": "\t"}),
        ("/v/a.mp4 | 1\n/v/b.mp4 | 0\n", {"separator": "|"}),
        ("/v/a.mp4 1.0\n/v/b.mp4 0.0\n", {}),
        ("file,label\n/v/a.mp4,1\n/v/b.mp4,0\n", {}),
        ("video_path,target\n/v/a.mp4,1\n/v/b.mp4,0\n", {}),
        (",path,label\n0,/v/a.mp4,1.0\n1,/v/b.mp4,0.0\n", {}),  # pandas
        ('\ufeff"path","label"\n"/v/a.mp4","1"\n"/v/b.mp4","0"\n', {}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_as_people_write_them(root, content, form, encoding):
    (root / "train.csv").write_bytes(content.encode(encoding))
    read = list(read_csv(root / "train.csv", root, CsvFormat(suffixes=MEDIA_SUFFIXES, **form)))
    assert [(row.path, row.label) for row in read] == [("/v/a.mp4", 1), ("/v/b.mp4", 0)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_another_separator_is_named(root, separator):
    with pytest.raises(UserError, match=r"DATA\.PATH_LABEL_SEPARATOR") as caught:
        rows(root, f"/v/a.mp4{separator}1")
    assert f"looks like {separator!r}" in str(caught.value)


def test_a_label_is_a_whole_number(root):
    with pytest.raises(UserError, match=r"integer label, got '/v/a.mp4 0.5'"):
        rows(root, "/v/a.mp4 0.5")
