"""Csv files: text of any origin is no formula, numbers stay numbers, and there is one writer."""

import io
from pathlib import Path

import numpy as np
import pytest

from slowfast.datasets.bad_media import BadMedia, BadMediaLog, record_missing
from slowfast.utils.io import append_csv_row, spreadsheet_text, write_csv, write_csv_rows

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b.mp4", "a b.mp4"), ("=1", "'=1"), ("@x", "'@x"), ("-2.mp4", "'-2.mp4"), ("+3x", "'+3x"),
     ("-0.5", "-0.5"), ("+1e-3", "+1e-3"), ("-.5", "-.5"), ("-2+3", "'-2+3"), ("-inf", "'-inf"),
     ("-2\n", r"'-2\n"), ("a\tb\n", r"a\tb\n"), ("\x1b[2J", r"\x1b[2J"), ("ü", "ü"),
     ("caf\udce9", "caf\udce9")],
)  # fmt: skip
def test_text_for_spreadsheets(text, shown):
    assert spreadsheet_text(text) == shown


def test_numbers_stay_and_text_is_no_formula(tmp_path):
    row = [-0.5, -3, np.float64(-0.25), np.int64(-7), None, "-0.5", "=cmd()", Path("@x"), "ü"]
    shown = "-0.5,-3,-0.25,-7,,-0.5,'=cmd(),'@x,ü\r\n"
    header = ["=a", *"bcdefghi"]
    write_csv(tmp_path / "a.csv", header, [row])
    append_csv_row(tmp_path / "b.csv", header, row)
    append_csv_row(tmp_path / "b.csv", header, row)
    first = f"'=a,{','.join('bcdefghi')}\r\n"
    for name, text in (("a.csv", first + shown), ("b.csv", first + 2 * shown)):
        assert (tmp_path / name).read_bytes().decode() == text
    buffer = io.StringIO()
    write_csv_rows(buffer, [row], line_end="\n")
    assert buffer.getvalue() == shown.replace("\r", "")


def test_every_csv_is_written_in_one_place():
    files = [f for folder in ("slowfast", "projects") for f in (ROOT / folder).rglob("*.py")]
    users = [
        f for f in files if any(w in f.read_text("utf-8") for w in ("csv.writer", "DictWriter"))
    ]
    assert [str(f.relative_to(ROOT)) for f in users] == ["slowfast/utils/io.py"]


def test_names_like_formulas_are_known_again(tmp_path, monkeypatch):
    """The program compares names of its own csv files with those of the run that reads them."""
    monkeypatch.chdir(tmp_path)
    Path("=a.mp4").write_bytes(b"x")
    log = BadMediaLog(tmp_path, split="train", num_files=9, max_fraction=1.0)
    log.set_aside(BadMedia(4, "=a.mp4", "hangs"))
    again = BadMediaLog(tmp_path, split="train", num_files=9, max_fraction=1.0)
    assert again.restore(lambda row: "=a.mp4" if row == 4 else "other") == [4]
    for _ in range(2):
        record_missing(tmp_path, "val", [("-b.mp4", "missing")])
    lines = (tmp_path / "bad_media.csv").read_text("utf-8").splitlines()
    assert lines[1:] == ["train,'=a.mp4,hangs", "val,'-b.mp4,missing"]
