"""Files that are installed with a package: ``package://PACKAGE/PATH``, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from iopath.common.file_io import PathHandler

from slowfast.config import UserError
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file
from slowfast.utils.io import file_sha256

__all__ = ["PackageHandler", "checked_package_file"]


def checked_package_file(address: str, *, sha256: str = "") -> Path:
    """Give a file of an installed package, compared with its hash.

    Args:
        address: ``package://PACKAGE/PATH``.
        sha256: The hash or its beginning; empty: nothing is compared.

    Returns:
        The file.

    Raises:
        UserError: If it is missing or damaged.
    """
    file = find_package_file(address)
    got = file_sha256(file) if sha256 else ""
    if not got.startswith(sha256.lower()):
        raise UserError(
            f"{file} is damaged: its SHA-256 begins with {got[:12]}, expected {sha256[:12]}. "
            "Install it anew, or take it from the repository again."
        )
    return file


class PackageHandler(PathHandler):
    """Reads files of installed packages, for an iopath ``PathManager``."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PACKAGE_SCHEME]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        self._check_kwargs(kwargs)
        return str(find_package_file(path))

    def _open(
        self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any
    ) -> IO[str] | IO[bytes]:
        self._check_kwargs(kwargs)
        if mode not in ("r", "rb"):
            raise ValueError(f"{path} can only be read, not opened with mode '{mode}'.")
        return find_package_file(path).open(mode)

    def _exists(self, path: str, **kwargs: Any) -> bool:
        try:
            find_package_file(path)
        except UserError:
            return False
        return True

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        return self._exists(path)
