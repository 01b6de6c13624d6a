"""Rows for small weights that a project ships in a package of its own: one folder, one row.

``PACKAGE/NAME/`` holds ``NAME.pyth`` (weights in float16), ``NAME.pyth.sha256``, ``row.yaml`` (what
people have to say about them), ``config.yaml`` (of the training), ``evaluate.yaml`` (of the
evaluation), ``results.json`` (what that gave) and ``json_stats.log``. ``tools/export_weights.py``
writes them. A folder without ``row.yaml`` is none of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slowfast.config import UserError
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file, package_folder
from slowfast.config.renamed import METRICS, translate_results
from slowfast.models.zoo.rows import ZooEntry
from slowfast.utils.io import read_json

__all__ = ["RowFacts", "packaged_rows", "read_facts", "read_package_results", "row_file"]

_FORMAT = "this framework, float16"
_SOURCE = "this project; made by what row.yaml says, measured by evaluate.yaml"


class RowFacts(NamedTuple):
    """What ``row.yaml`` holds.

    Attributes:
        data: What the weights were trained on.
        licence: Of the weights.
        attribution: Who has to be named for the data, and why it may be used.
        note: What a user must know.
        metrics: The headline: names in results.json; empty: all.
        commands: Command lines that made the weights.
    """

    data: str
    licence: str
    attribution: str = ""
    note: str = ""
    metrics: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def row_file(folder: Path) -> Path:
    """Say where the facts of a folder of weights are kept.

    Args:
        folder: Of one row.

    Returns:
        ``row.yaml`` in it.
    """
    return folder / "row.yaml"


def read_facts(folder: Path) -> RowFacts:
    """Read what people say about weights.

    Args:
        folder: Of one row.

    Returns:
        The facts.

    Raises:
        UserError: If the file is not what it should be.
    """
    path = row_file(folder)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = RowFacts._fields
    if not isinstance(content, dict) or not {"data", "licence"} <= set(content) <= set(known):
        raise UserError(
            f"{path} must hold 'data' and 'licence', and may hold {', '.join(known[2:])}."
        )
    metrics = tuple(METRICS.get(name, name) for name in content.get("metrics") or ())
    commands = tuple(content.get("commands") or ())
    return RowFacts(**{**content, "metrics": metrics, "commands": commands})


def packaged_rows(package: str) -> Iterator[ZooEntry]:
    """List the weights that lie in a package.

    Args:
        package: Name of an installed package with a folder per row; none is listed where it is not
            installed.

    Yields:
        Rows, by name.
    """
    root = package_folder(package)
    found = sorted(root.glob("*/row.yaml")) if root is not None else []
    for path in found:
        name, facts = path.parent.name, read_facts(path.parent)
        digest = path.with_name(f"{name}.pyth.sha256")
        address = f"{PACKAGE_SCHEME}{package}/{name}"
        yield ZooEntry(
            name=name,
            url=f"{address}/{name}.pyth",
            config=f"{address}/evaluate.yaml",
            format=_FORMAT,
            data=facts.data,
            licence=facts.licence,
            source=_SOURCE,
            metric=", ".join(facts.metrics),
            sha256=digest.read_text(encoding="ascii").split()[0] if digest.is_file() else "",
            note=facts.note,
            is_tried=True,
        )


def read_package_results(row: ZooEntry) -> dict[str, Any]:
    """Read what was measured of weights that lie in a package.

    Args:
        row: Of ``packaged_rows``.

    Returns:
        The content of their results.json; empty before they are measured.

    Raises:
        UserError: If the weights lie in no package, or are missing.
    """
    if not row.is_packaged:
        raise UserError(f"zoo://{row.name} is downloaded and has no results.json of this project.")
    return translate_results(read_json(find_package_file(row.url).with_name("results.json")))
