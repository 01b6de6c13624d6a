"""Zoo entries for small weights that a project ships in a package, one folder per entry.

``PACKAGE/NAME/`` holds ``NAME.pyth`` (weights in float16), ``NAME.pyth.sha256``, ``row.yaml``
(data, license, notes), ``config.yaml`` (of the training), ``evaluate.yaml`` (of the evaluation),
``results.json`` (of the evaluation) and ``json_stats.log``. ``tools/export_weights.py`` writes
them. Folders without ``row.yaml`` are ignored.
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
_SOURCE = "this project; trained as in row.yaml, evaluated by evaluate.yaml"


class RowFacts(NamedTuple):
    """Content of ``row.yaml``.

    Attributes:
        data: Training data of the weights.
        license: License of the weights.
        attribution: Attribution and terms of use of the data.
        note: Note for users.
        limits: What the weights are not for.
        metrics: Headline metrics of results.json; empty: all.
        commands: Commands of the training.
    """

    data: str
    license: str
    attribution: str = ""
    note: str = ""
    limits: str = ""
    metrics: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def row_file(folder: Path) -> Path:
    """Return the path of ``row.yaml`` in a folder of weights."""
    return folder / "row.yaml"


def read_facts(folder: Path) -> RowFacts:
    """Read ``row.yaml`` of a folder of weights.

    Raises:
        UserError: If the file is invalid.
    """
    path = row_file(folder)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = RowFacts._fields
    if isinstance(content, dict) and "licence" in content and "license" not in content:
        content["license"] = content.pop("licence")  # its name in earlier versions
    if not isinstance(content, dict) or not {"data", "license"} <= set(content) <= set(known):
        raise UserError(
            f"{path} must have 'data' and 'license', and may have {', '.join(known[2:])}."
        )
    metrics = tuple(METRICS.get(name, name) for name in content.get("metrics") or ())
    commands = tuple(content.get("commands") or ())
    return RowFacts(**{**content, "metrics": metrics, "commands": commands})


def packaged_rows(package: str) -> Iterator[ZooEntry]:
    """List the weights in a package.

    Args:
        package: Name of a package with a folder per entry; none is listed if it is not installed.

    Yields:
        Entries, by name.
    """
    root = package_folder(package)
    found = sorted(root.glob("*/row.yaml")) if root is not None else []
    for path in found:
        name, facts = path.parent.name, read_facts(path.parent)
        digest = path.with_name(f"{name}.pyth.sha256")
        base = f"{PACKAGE_SCHEME}{package}/{name}"
        yield ZooEntry(
            name=name,
            url=f"{base}/{name}.pyth",
            config=f"{base}/evaluate.yaml",
            format=_FORMAT,
            data=facts.data,
            license=facts.license,
            source=_SOURCE,
            metric=", ".join(facts.metrics),
            sha256=digest.read_text(encoding="ascii").split()[0] if digest.is_file() else "",
            note=facts.note,
            is_tried=True,
        )


def read_package_results(row: ZooEntry) -> dict[str, Any]:
    """Read the results of weights in a package.

    Returns:
        The content of their results.json; empty if there are no results yet.

    Raises:
        UserError: If the weights are not in a package, or are missing.
    """
    if not row.is_packaged:
        raise UserError(f"zoo://{row.name} is downloaded and has no results.json of this project.")
    return translate_results(read_json(find_package_file(row.url).with_name("results.json")))
