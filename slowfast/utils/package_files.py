"""Files that are installed with a package: ``package://PACKAGE/PATH``, without a network."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import UserError
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file
from slowfast.utils.io import file_sha256
from slowfast.utils.path_handler import ReadOnlyHandler

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
            "Install it again, or take it from the repository again."
        )
    return file


class PackageHandler(ReadOnlyHandler):
    """Reads files of installed packages, for an iopath ``PathManager``."""

    prefixes = (PACKAGE_SCHEME,)

    def local_file(self, address: str) -> Path:
        """Return the file where it is installed."""
        return find_package_file(address)

    def is_here(self, address: str) -> bool:
        """Say whether it is installed."""
        try:
            return self.local_file(address).is_file()
        except UserError:
            return False
