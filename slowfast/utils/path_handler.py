"""What all handlers of an iopath ``PathManager`` here have in common: they only read."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from iopath.common.file_io import PathHandler

__all__ = ["ReadOnlyHandler"]


class ReadOnlyHandler(PathHandler):
    """Reads addresses that stand for a file of this machine; a subclass says which."""

    prefixes: tuple[str, ...]

    def local_file(self, address: str) -> Path:
        """Return the file, fetched if need be.

        Raises:
            UserError: If it cannot be had.
        """
        raise NotImplementedError

    def is_here(self, address: str) -> bool:
        """Say whether the file is on this machine already."""
        raise NotImplementedError

    def _get_supported_prefixes(self) -> list[str]:
        return list(self.prefixes)

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        self._check_kwargs(kwargs)
        return str(self.local_file(path))

    def _open(
        self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any
    ) -> IO[str] | IO[bytes]:
        self._check_kwargs(kwargs)
        if mode not in ("r", "rb"):
            raise ValueError(f"{path} can only be read, not opened with mode '{mode}'.")
        return self.local_file(path).open(mode)

    def _exists(self, path: str, **kwargs: Any) -> bool:
        return self.is_here(path)

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        return self.is_here(path)
