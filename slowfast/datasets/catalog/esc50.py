"""ESC-50 and ESC-10: audio files with a table of their classes and folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.match import Annotation, check_disjoint
from slowfast.datasets.annotations.split_files import read_csv_lines, require_fold
from slowfast.datasets.catalog.dataset import ListedDataset

__all__ = ["esc10", "esc50"]

_COLUMNS = {"file": ("filename", "file"), "fold": ("fold",), "category": ("category", "label")}
"""Required columns and their possible names; ``target`` and ``esc10`` are optional."""


class _Row(NamedTuple):
    """A line of the table."""

    file: str
    fold: int
    category: str
    target: str
    in_esc10: bool
    where: str


class _Esc50(ListedDataset):
    """ESC-50, or another dataset with such a table; DATA.FOLD is the test fold."""

    name = "esc50"
    layout = "audio/*.wav and meta/esc50.csv, or CLASS/file and meta.csv"
    folders = ("meta", "ESC-50-master/meta", "ESC-50/meta")
    files = ("esc50.csv", "meta.csv")
    has_folds = audio_only = True

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read the table and split it by folds."""
        table = next(file for name in self.files if (file := folder / name).exists())
        rows = [row for row in _read_table(table) if row.in_esc10 or self.name == "esc50"]
        if not rows:
            raise UserError(f"{table}: it lists no file of {self.name}.")
        fold = require_fold(cfg, self.name, max(row.fold for row in rows))
        names = _class_names(rows)
        lists: dict[str, list[Annotation]] = {"train": [], "test": []}
        for row in rows:
            entry = Annotation(row.file, names.index(row.category), row.where)
            lists["test" if row.fold == fold else "train"].append(entry)
        check_disjoint(lists["train"], lists["test"])
        return lists[split], names


class _Esc10(_Esc50):
    """The ten classes marked as ESC-10 in the table of ESC-50; labels are 0 to 9."""

    name = "esc10"


esc50 = _Esc50.register("esc50")
esc10 = _Esc10.register("esc10")


def _read_table(file: Path) -> Iterator[_Row]:
    """Read a csv with a header."""
    lines = read_csv_lines(file)
    where, header = next(lines)
    columns = {
        name: next((word for word in words if word in header), "")
        for name, words in _COLUMNS.items()
    }
    if not all(columns.values()):
        raise UserError(
            f"{where}: expected a header with the columns file (or filename), fold, and category "
            f"(or label), got {','.join(header)!r}."
        )
    for where, values in lines:
        row = dict(zip(header, values, strict=False))
        fold = row.get("fold", "")
        if len(values) != len(header) or not fold.isdigit() or int(fold) < 1:
            raise UserError(
                f"{where}: expected {len(header)} values as in the header, and a fold from 1; got "
                f"{','.join(values)!r}."
            )
        yield _Row(
            file=row[columns["file"]],
            fold=int(fold),
            category=row[columns["category"]],
            target=row.get("target", ""),
            in_esc10=row.get("esc10", "true").lower() in ("true", "1"),
            where=where,
        )


def _class_names(rows: list[_Row]) -> list[str]:
    """Return the classes in the order of their official numbers, if the table has them."""
    targets: dict[str, str] = {}
    for row in rows:
        known = targets.setdefault(row.category, row.target)
        if known != row.target:
            raise UserError(
                f"{row.where}: class {row.category} is number {row.target} here and {known} above."
            )
    if any(targets.values()) and len(set(targets.values())) < len(targets):
        raise UserError(f"{rows[0].where}: two classes of the table have the same target.")
    return sorted(targets, key=lambda name: (len(targets[name]), targets[name], name))
