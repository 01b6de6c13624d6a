"""The model zoo: published weights by name, and the resolution of paths to local files.

A CHECKPOINT_FILE_PATH may be a path, an http(s) URL, ``package://PACKAGE/PATH``, ``zoo://NAME`` or
``hf://ORG/NAME``: ``resolve`` maps each to a local file or folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from slowfast.config import CfgNode, Problem, UserError, register_check
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file
from slowfast.config.projects import find_missing
from slowfast.utils.download import fetch, hash_in_name, on_all_ranks
from slowfast.utils.hub import HUB_SCHEME, fetch_repository
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
    """An entry of the zoo: one published file of weights.

    Attributes:
        name: Name after ``zoo://``.
        url: URL of the file: https, or ``package://PACKAGE/PATH`` for one that is installed
            with a project.
        config: Config of its model, as for ``--cfg``.
        format: Format of the checkpoint, for the table; the key conversion is detected on loading.
        data: Training data.
        license: License of the weights.
        top1: Published accuracy in percent, or None if none was published.
        metric: The metric of ``top1``, if it is not top-1 accuracy on the videos of ``data``.
        source: Where URL and accuracy are published.
        sha256: The publisher's hash or its beginning, if it is not in the file name.
        words: Overrides of the config for this file, as on a command line.
        embed_config: Config for frozen features, where ``config`` is for fine-tuning.
        embed_words: Overrides of ``embed_config``.
        note: Note for users.
        is_tried: Whether the file was downloaded and loaded when the entry was added.
    """

    name: str
    url: str
    config: str
    format: str
    data: str
    license: str
    source: str
    top1: float | None = None
    metric: str = ""
    sha256: str = ""
    words: tuple[str, ...] = ()
    embed_config: str = ""
    embed_words: tuple[str, ...] = ()
    note: str = ""
    is_tried: bool = False

    @property
    def published_hash(self) -> str:
        """The publisher's hash or its beginning, or "" if none is known."""
        return self.sha256 or hash_in_name(self.url)

    @property
    def is_packaged(self) -> bool:
        """Whether the file is installed with a project, so that no download is needed."""
        return self.url.startswith(PACKAGE_SCHEME)


def register_rows(rows: Callable[[], Iterable[ZooEntry]]) -> Callable[[], Iterable[ZooEntry]]:
    """Register all entries that a function returns, as part of the function's module."""
    for row in rows():
        ZOO_REGISTRY.register(_entry(row, rows.__module__))
    return rows


def _entry(row: ZooEntry, module: str) -> Callable[[], ZooEntry]:
    def entry() -> ZooEntry:
        return row

    entry.__name__, entry.__module__ = row.name, module
    return entry


def find_row(name: str) -> ZooEntry:
    """Find an entry of the zoo.

    Raises:
        UserError: If there is none; the message has the closest name, or the project that has it.
    """
    plain = name.removeprefix(_SCHEME)
    if plain not in ZOO_REGISTRY:
        raise UserError(str(find_missing(f"{_SCHEME}{plain}", ZOO_REGISTRY, plain, ())))
    row: ZooEntry = ZOO_REGISTRY.get(plain)()
    return row


@register_check
def check_zoo(cfg: CfgNode) -> list[Problem]:
    """Find unknown zoo names, before anything is loaded."""
    problems = []
    for key in ("TRAIN", "TEST"):
        path = cfg[key].CHECKPOINT_FILE_PATH
        name = path.removeprefix(_SCHEME)
        where = f"{key}.CHECKPOINT_FILE_PATH"
        if name != path and (problem := find_missing(where, ZOO_REGISTRY, name, cfg.PROJECTS)):
            problems.append(problem)
    return problems


def resolve(path: str | Path) -> Path:
    """Resolve a path or URL to a local file or folder. Every rank must call this.

    Args:
        path: A path, an http(s) URL, ``package://PACKAGE/PATH``, ``zoo://NAME`` or
            ``hf://ORG/NAME``, a repository of the Hugging Face Hub.

    Returns:
        The local path; a local path is returned unchanged and may not exist.

    Raises:
        UserError: If a file cannot be downloaded, on this or another rank.
    """
    url, sha256 = str(path), ""
    if url.startswith(_SCHEME):
        row = find_row(url)
        url, sha256 = row.url, row.published_hash
    if url.startswith(PACKAGE_SCHEME):
        return on_all_ranks(lambda: _find_installed(url, sha256))
    if url.startswith(HUB_SCHEME):
        return on_all_ranks(lambda: fetch_repository(url))
    if url.startswith(("http://", "https://")):
        return on_all_ranks(lambda: fetch(url, sha256=sha256))
    return Path(path)


def _find_installed(url: str, sha256: str) -> Path:
    """Find a file of an installed package, and verify its hash."""
    file = find_package_file(url)
    got = file_sha256(file) if sha256 else ""
    if not got.startswith(sha256.lower()):
        raise UserError(
            f"{file} is damaged: its SHA-256 begins with {got[:12]}, expected {sha256[:12]}. "
            "Install it again, or restore it from the repository."
        )
    return file


def describe_source(path: str | Path) -> str:
    """Return the config of a zoo file, as the end of an error message.

    Returns:
        A sentence with a leading space, or "" if the path is not of the zoo.
    """
    name = str(path).removeprefix(_SCHEME)
    if name == str(path) or name not in ZOO_REGISTRY:
        return ""
    row = find_row(name)
    words = f" {' '.join(row.words)}" if row.words else ""
    return f" {path} is for --cfg {row.config}{words}."
