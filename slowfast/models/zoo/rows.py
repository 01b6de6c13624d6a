"""The zoo: published weights by name, and the one function that turns a path into a local file.

Wherever a CHECKPOINT_FILE_PATH is read, a path, an http(s) address, ``package://PACKAGE/PATH`` and
``zoo://NAME`` all work: ``resolve`` turns each into a local file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from slowfast.config import CfgNode, Problem, UserError, register_check
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file
from slowfast.config.projects import find_missing
from slowfast.utils.download import fetch, hash_in_name, on_all_ranks
from slowfast.utils.io import file_sha256
from slowfast.utils.registry import Registry

__all__ = [
    "ZOO_REGISTRY",
    "ZooEntry",
    "check_zoo",
    "describe_source",
    "find_row",
    "register_rows",
    "resolve",
]

_SCHEME = "zoo://"


class _ZooRegistry(Registry):
    def describe_unknown(self, name: str) -> str:
        return f"{super().describe_unknown(name)} All are in MODEL_ZOO.md."


ZOO_REGISTRY = _ZooRegistry("zoo row", "zoo://")
ZOO_REGISTRY.__doc__ = """
``() -> ZooEntry``; filled by ``@register_rows`` from functions that return several rows.
"""


@dataclass(frozen=True)
class ZooEntry:
    """One published file of weights.

    Attributes:
        name: What stands behind ``zoo://``.
        url: Address of the file: https, or ``package://PACKAGE/PATH`` for one that is installed
            with a project.
        config: The YAML that builds its model, as for ``--cfg``.
        format: Whose names and container it has, for the table; how keys are renamed is found out
            when they are read.
        data: What it was trained on.
        licence: Of the weights.
        top1: Published accuracy in percent, or None where none was published.
        metric: What ``top1`` is, where it is not top-1 accuracy on the videos of ``data``.
        source: Where address and accuracy are published.
        sha256: The publisher's hash or its beginning, where it is not in the file's name.
        words: Overrides that the YAML needs for this file, as on a command line.
        note: What a user must know.
        is_tried: Whether the address was fetched and the file loaded when the row was written.
    """

    name: str
    url: str
    config: str
    format: str
    data: str
    licence: str
    source: str
    top1: float | None = None
    metric: str = ""
    sha256: str = ""
    words: tuple[str, ...] = ()
    note: str = ""
    is_tried: bool = False

    @property
    def published_hash(self) -> str:
        """The publisher's hash or its beginning, or "" where none is known."""
        return self.sha256 or hash_in_name(self.url)

    @property
    def is_packaged(self) -> bool:
        """Whether the file is installed with a project, so that nothing is downloaded."""
        return self.url.startswith(PACKAGE_SCHEME)


def register_rows(rows: Callable[[], Iterable[ZooEntry]]) -> Callable[[], Iterable[ZooEntry]]:
    """Register every row that a function returns, as belonging to the function's module.

    Args:
        rows: Called once, now.

    Returns:
        The same function, so that this works as a decorator.
    """
    for row in rows():
        ZOO_REGISTRY.register(_entry(row, rows.__module__))
    return rows


def _entry(row: ZooEntry, module: str) -> Callable[[], ZooEntry]:
    def entry() -> ZooEntry:
        return row

    entry.__name__, entry.__module__ = row.name, module
    return entry


def find_row(name: str) -> ZooEntry:
    """Find a row.

    Args:
        name: With or without ``zoo://`` in front.

    Returns:
        The row.

    Raises:
        UserError: If there is none; names the nearest one, or the project that has it.
    """
    plain = name.removeprefix(_SCHEME)
    if plain not in ZOO_REGISTRY:
        raise UserError(str(find_missing(f"{_SCHEME}{plain}", ZOO_REGISTRY, plain, ())))
    row: ZooEntry = ZOO_REGISTRY.get(plain)()
    return row


@register_check
def check_zoo(cfg: CfgNode) -> list[Problem]:
    """Find names that the zoo does not have, before anything is loaded.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per unknown name.
    """
    problems = []
    for key in ("TRAIN", "TEST"):
        path = cfg[key].CHECKPOINT_FILE_PATH
        name = path.removeprefix(_SCHEME)
        where = f"{key}.CHECKPOINT_FILE_PATH"
        if name != path and (problem := find_missing(where, ZOO_REGISTRY, name, cfg.PROJECTS)):
            problems.append(problem)
    return problems


def resolve(path: str | Path) -> Path:
    """Turn what a user wrote into a file or folder of this machine. Every rank must call it.

    Args:
        path: A path, an http(s) address, ``package://PACKAGE/PATH`` or ``zoo://NAME``.

    Returns:
        The local path; a path that was local is returned as it is and may not exist.

    Raises:
        UserError: If a file cannot be fetched, here or on another rank.
    """
    address, sha256 = str(path), ""
    if address.startswith(_SCHEME):
        row = find_row(address)
        address, sha256 = row.url, row.published_hash
    if address.startswith(PACKAGE_SCHEME):
        return on_all_ranks(lambda: _find_installed(address, sha256))
    if address.startswith(("http://", "https://")):
        return on_all_ranks(lambda: fetch(address, sha256=sha256))
    return Path(path)


def _find_installed(address: str, sha256: str) -> Path:
    """Find a file of an installed package; compare it with its hash or the beginning of that."""
    file = find_package_file(address)
    got = file_sha256(file) if sha256 else ""
    if not got.startswith(sha256.lower()):
        raise UserError(
            f"{file} is damaged: its SHA-256 begins with {got[:12]}, expected {sha256[:12]}. "
            "Install it again, or take it from the repository again."
        )
    return file


def describe_source(path: str | Path) -> str:
    """Say which configuration a file of the zoo belongs to, to end an error message.

    Args:
        path: Any path.

    Returns:
        A sentence that begins with a space, or "" for what is not of the zoo.
    """
    name = str(path).removeprefix(_SCHEME)
    if name == str(path) or name not in ZOO_REGISTRY:
        return ""
    row = find_row(name)
    words = f" {' '.join(row.words)}" if row.words else ""
    return f" {path} is for --cfg {row.config}{words}."
