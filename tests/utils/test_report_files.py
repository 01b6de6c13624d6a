"""write_report names its files by --out, makes the folder, and prints the table."""

import json
from pathlib import Path

import pytest

from slowfast.config import UserError
from slowfast.utils.report_files import write_report

TEXT = "| α | 1.0 |\n"


def draw(path):
    path.write_bytes(b"figure")


@pytest.mark.parametrize(
    ("out", "stem"),
    [
        ("report", "report"),
        ("new/folder/report", "new/folder/report"),
        ("lr_0.5", "lr_0.5"),  # a dot of the name stays
        ("v1.md", "v1"),
        ("v1.0.png", "v1.0"),
        ("folder.d/x.json", "folder.d/x"),
    ],
)
def test_the_files_are_named_by_out(out, stem, tmp_path, capsys):
    write_report(tmp_path / out, TEXT, content=[{"α": 1.0}], plot=draw)
    assert (tmp_path / f"{stem}.md").read_text(encoding="utf-8") == TEXT == capsys.readouterr().out
    assert json.loads((tmp_path / f"{stem}.json").read_text(encoding="utf-8")) == [{"α": 1.0}]
    assert (tmp_path / f"{stem}.png").read_bytes() == b"figure"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_without_numbers_and_figure_only_the_table_is_written(tmp_path, capsys):
    write_report(tmp_path / "a", TEXT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


@pytest.mark.parametrize("out", ["", ".", "..", "/", "a/.."])
def test_out_must_name_files(out):
    with pytest.raises(UserError, match="--out: got"):
        write_report(Path(out), TEXT)
