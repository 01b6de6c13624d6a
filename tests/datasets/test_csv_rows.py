"""csv files: PySlowFast's lines with odd names, and the variant with a header."""

import math

import pytest
from helpers.data_files import listed, touch, write

from slowfast.config import UserError
from slowfast.datasets.annotations.csv_rows import CsvFormat, parse_sec, read_classes, read_csv
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import VideoRecord


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
    manifest = load_manifest(root, "train", CsvFormat("/videos"))
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
        VideoRecord('/v/a, "b".mp4', 2),
        VideoRecord("/v/c.mp4", 1),
    ]


def test_paths_relative_to_the_data_folder(root):
    touch(root / "clips" / "x.mp4")
    assert rows(root, "clips/x.mp4 0") == [VideoRecord(str(root / "clips" / "x.mp4"), 0)]


def test_an_error_names_the_line(root):
    with pytest.raises(UserError, match=r"train.csv:2: got .*; expected 'path label' with"):
        rows(root, "a.mp4 0", "b.mp4 zero")


def test_a_header_names_the_columns_in_any_order(root):
    lines = [
        "Label, start_sec,end_sec,path",
        '3,1.5,4,"/v/a, b.mp4"',
        ",,,/v/c.mp4",
        ",2,,/v/d.mp4",
    ]
    assert rows(root, *lines) == [
        VideoRecord("/v/a, b.mp4", 3, 1.5, 4.0),
        VideoRecord("/v/c.mp4", -1, 0.0, math.inf),
        VideoRecord("/v/d.mp4", -1, 2.0, math.inf),
    ]


def test_slices_of_a_tar(root):
    touch(root / "shard.tar")
    lines = ["path,offset,size", "shard.tar,512,1000", "shard.tar,2048,"]
    assert rows(root, *lines) == [
        VideoRecord(str(root / "shard.tar"), offset=512, size=1000),
        VideoRecord(str(root / "shard.tar"), offset=2048),
    ]


def test_a_header_ignores_the_separator_and_takes_the_prefix(root):
    assert rows(root, "path,label", "a b.mp4,1", prefix="/v") == [VideoRecord("/v/a b.mp4", 1)]


def test_a_first_line_that_is_no_header_is_a_file(root):
    assert rows(root, "path.mp4 1") == [VideoRecord(str(root / "path.mp4"), 1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,x,,,,", r"train.csv:2: column label: got 'x'; expected a number"),
        ("a.mp4,1,late,,,", r"train.csv:2: column start_sec: got 'late'"),
        ("a, b.mp4,1,,,,", r"train.csv:2: got 7 values, but the header has 6 columns .*quotes"),
        (",1,,,,", r"train.csv:2: the path is empty"),
        ("a.mp4,1,5,5,,", r"train.csv:2: got the window 5 to 5 s; expected 0 <= start_sec"),
        ("a.mp4,1,-1,5,,", r"train.csv:2: got the window -1 to 5 s"),
        ("a.mp4,1,nan,5,,", r"train.csv:2: got the window nan to 5 s"),
        ("a.mp4,1,,,-4,8", r"train.csv:2: got offset -4 and size 8; expected bytes"),
        ("a.mp4,1,,,4,0", r"train.csv:2: got offset 4 and size 0"),
    ],
)
def test_what_a_line_below_a_header_can_get_wrong(root, line, message):
    with pytest.raises(UserError, match=message):
        rows(root, "path,label,start_sec,end_sec,offset,size", line)


# As people write them


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("/v/a b.mp4 0 \n/v/c.mp4 1\t\n", {}),  # space behind the label
        ("/v/a b.mp4  0\n  /v/c.mp4   1\n", {}),  # several spaces
        ("/v/a b.mp4 0\r\n/v/c.mp4 1\r\n", {}),
        ("/v/a b.mp4 0\r/v/c.mp4 1\r", {}),
        ("\ufeff/v/a b.mp4 0\n/v/c.mp4 1\n", {}),
        ("/v/a b.mp4\t0\n/v/c.mp4\t1\n", {"separator": "\t"}),
        ("/v/a b.mp4\t0\n/v/c.mp4\t1\n", {"separator": "\\t"}),
        ("/v/a b.mp4, 0\n/v/c.mp4 ,1 \n", {"separator": ","}),
        ("/v/a b.mp4 0.0\n/v/c.mp4 1.0\n", {}),
        ("file,label\n/v/a b.mp4,0\n/v/c.mp4,1\n", {}),
        ("video_path,label\n/v/a b.mp4,0\n/v/c.mp4,1\n", {}),
        ("Filename;Class\n/v/a b.mp4;0\n/v/c.mp4;1\n", {}),
        ("path label\n/v/a b.mp4 0\n/v/c.mp4 1\n", {}),
        ("path\tlabel\n/v/a b.mp4\t0\n/v/c.mp4\t1\n", {}),
        (",path,label\n0,/v/a b.mp4,0.0\n1,/v/c.mp4,1.0\n", {}),  # pandas with its index
        ("path,label,fps,width\n/v/a b.mp4,0,25,640\n/v/c.mp4,1,30,320\n", {}),
        ("\ufefflabel,path\n0,/v/a b.mp4\n1,/v/c.mp4\n", {}),
        ("width\tpath\tlabel\n\t/v/a b.mp4\t0\n640\t/v/c.mp4\t1\n", {}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_dialects(root, text, form, encoding):
    (root / "train.csv").write_bytes(text.encode(encoding))
    found = list(read_csv(root / "train.csv", root, CsvFormat(suffixes=MEDIA_SUFFIXES, **form)))
    assert found == [VideoRecord("/v/a b.mp4", 0), VideoRecord("/v/c.mp4", 1)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.mp4,0", "b.mp4,1"], r"SEPARATOR: got ' ', but .* have , after the path, .*; use ','"),
        (["a.mp4\t0", "b.mp4\t1"], r"SEPARATOR: got ' ', but .* have a tab .*; use '\\t'"),
        (["a.mp4 | 0", "b.mp4 | 1"], r"SEPARATOR: .* use '\|'"),
        (["a.mp4, 0", "b.mp4, 1"], r"SEPARATOR: .* use ','"),
        (["a.mp4:0", "b.mp4:1"], r"SEPARATOR: .* use ':'"),
        (["a.mp4,jump", "b.mp4,run"], r"SEPARATOR: .* use ','"),
        (["a.mp4\thigh jump", "b.mp4\trun"], r"SEPARATOR: .* use '\\t'"),
        (["a.mp4,0,3", "b.mp4,1,2"], r"SEPARATOR: .* use ','"),
        (["a.mp4\t0,3", "b.mp4\t1"], r"SEPARATOR: .* use '\\t'"),
        (["a b.mp4;0", "c.mp4;1"], r"SEPARATOR: .* use ';'"),
        (["what,class?", "a.mp4,0", "b.mp4,1"], r"SEPARATOR: .* use ','"),
        (["clip number", "a.mp4 0", "b.mp4 1"], r"train.csv:1: 'clip number' looks like a header"),
        (["path,label", "a.mp4,jump"], r"train.csv:2: column label: got 'jump'.*classes.txt"),
        (["a.mp4 jump", "b.mp4 1"], r"train.csv:1: got .*; expected 'path label'.*no classes.txt"),
        (["a.mp4 0.5"], r"train.csv:1: got .*; expected 'path label' with an integer label"),
    ],
)
def test_what_can_be_told_is_told(root, lines, message):
    with pytest.raises(UserError, match=message):
        rows(root, *lines)


@pytest.mark.parametrize("separator", ["", ", ", "tab"])
def test_separators_are_one_character(root, separator):
    with pytest.raises(UserError, match=r"PATH_LABEL_SEPARATOR: got .*; expected one character"):
        rows(root, "a.mp4 0", separator=separator)


def test_columns_that_are_not_read_are_named(root):
    file = write(root / "train.csv", "path,label,fps", "/v/a.mp4,0,25")
    assert str(CsvFormat().dialect(file)) == ("path, label; separator: ,; columns not read: fps")


def test_times_of_hours_minutes_and_seconds(root):
    lines = ["path,start,end", "/v/a.mp4,00:01:05.5,1:00:00", "/v/b.mp4,1:05,70.25"]
    assert rows(root, *lines) == [
        VideoRecord("/v/a.mp4", -1, 65.5, 3600.0),
        VideoRecord("/v/b.mp4", -1, 65.0, 70.25),
    ]
    assert [parse_sec(text) for text in ("7", "0:07", "90:00")] == [7.0, 7.0, 5400.0]
    for text in ("1:2:3:4", "1:61", "a:00", "", "1:-5"):
        with pytest.raises(ValueError, match=r".*"):
            parse_sec(text)


def test_names_of_classes(root):
    labels = {"air drumming": 0, "jump": 1}
    lines = ["path,label", "/v/a.mp4,air drumming", "/v/b.mp4,jump", "/v/c.mp4,"]
    assert rows(root, *lines, labels=labels) == [
        VideoRecord("/v/a.mp4", 0),
        VideoRecord("/v/b.mp4", 1),
        VideoRecord("/v/c.mp4", -1),
    ]
    with pytest.raises(UserError, match=r"train.csv:2: 'jumpp' is not a class of .*mean 'jump'"):
        rows(root, "path,label", "/v/a.mp4,jumpp", labels=labels)


@pytest.mark.parametrize(
    "lines", [["b c", "a"], ["0 b c", "1 a"], ["1 b c", "2 a"], ["0,b c", "1\ta"]]
)
def test_lists_of_classes(root, lines):
    assert read_classes(write(root / "classes.txt", *lines)) == ["b c", "a"]
    assert read_classes(root / "none.txt") == []
    with pytest.raises(UserError, match=r"the class 'a' is listed twice"):
        read_classes(write(root / "classes.txt", "a", "a"))
