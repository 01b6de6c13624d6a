"""Finding and reading official split files; what each mistake is answered with."""

import pytest
from helpers.data_files import data_cfg, touch, write

from slowfast.config import UserError
from slowfast.datasets.annotations.split_files import (
    data_root,
    find_split_dir,
    read_csv_lines,
    read_json_file,
    read_lines,
)


def test_the_data_folder(tmp_path):
    assert data_root(data_cfg(tmp_path), "files") == tmp_path
    with pytest.raises(UserError, match=r"PATH_TO_DATA_DIR is empty: name a folder with CLASS/x"):
        data_root(data_cfg(tmp_path, "DATA.PATH_TO_DATA_DIR", ""), "CLASS/x")
    with pytest.raises(UserError, match="PATH_TO_DATA_DIR: no such folder"):
        data_root(data_cfg(tmp_path / "none"), "CLASS/x")


def test_the_folder_of_split_files(tmp_path):
    root = tmp_path / "data"
    expected = touch(root / "official" / "list1.txt").parent
    options = {"folders": ("other", "official"), "files": ("list[12].txt",)}
    assert find_split_dir(data_cfg(root), root, **options) == expected
    touch(root / "list2.txt")
    assert find_split_dir(data_cfg(root), root, **options) == root
    named = data_cfg(root, "DATA.PATH_TO_SPLIT_DIR", root / "official")
    assert find_split_dir(named, root, **options) == expected


def test_no_split_files(tmp_path):
    options = {"folders": ("official",), "files": ("a.txt", "b.txt")}
    with pytest.raises(
        UserError, match=r"PATH_TO_SPLIT_DIR: found no a.txt or b.txt in .*official"
    ):
        find_split_dir(data_cfg(tmp_path), tmp_path, **options)
    touch(tmp_path / "a.txt")  # a folder that is named is the only one to be looked into
    cfg = data_cfg(tmp_path, "DATA.PATH_TO_SPLIT_DIR", tmp_path / "none")
    with pytest.raises(UserError, match=r"found no a.txt or b.txt in \S*none\. Name the folder"):
        find_split_dir(cfg, tmp_path, **options)


def test_lines(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeff# a.avi 1 \r\n\r\n  b.avi\r\n".encode() + b"caf\xe9.avi")
    assert list(read_lines(file)) == [
        (f"{file}:1", "# a.avi 1"),
        (f"{file}:3", "b.avi"),
        (f"{file}:4", "caf\udce9.avi"),
    ]


def test_csv_lines(tmp_path):
    file = write(tmp_path / "x.csv", "# YTID, start", 'id, 30.000, "/m/1,/m/2"', "", "b,1,2")
    assert list(read_csv_lines(file)) == [
        (f"{file}:2", ["id", "30.000", "/m/1,/m/2"]),
        (f"{file}:4", ["b", "1", "2"]),
    ]


def test_missing_and_empty_lists(tmp_path):
    for read in (lambda f: list(read_lines(f)), lambda f: read_json_file(f, list)):
        with pytest.raises(UserError, match=r"gone.txt: cannot read the split file: No such file"):
            read(tmp_path / "gone.txt")
    with pytest.raises(UserError, match=r"empty.txt: the list is empty"):
        list(read_lines(write(tmp_path / "empty.txt", "", " ")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,\n2 x", r"x.json:2: not valid json: Expecting ',' delimiter"),
        ("{}", r"x.json: expected a json list, got dict"),
        ("[]", r"x.json: the list is empty"),
    ],
)
def test_json(tmp_path, text, message):
    assert read_json_file(write(tmp_path / "good.json", "[1]"), list) == [1]
    with pytest.raises(UserError, match=message):
        read_json_file(write(tmp_path / "x.json", text), list)
