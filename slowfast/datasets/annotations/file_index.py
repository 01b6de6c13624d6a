"""Lookup of the videos and audio files below a folder by the end of their paths."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from slowfast.datasets.annotations.files import VIDEO_SUFFIXES, is_media, media_files
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.annotations.match import Annotation

__all__ = ["MediaIndex"]


class MediaIndex:
    """The media files and folders of frames below a folder, found by the end of their paths.

    A dataset may be in any folder below the root, and its files may have been re-encoded with
    another suffix, or extracted to images in a folder of that name.

    Args:
        root: The folder.
        suffixes: Suffixes of the files to index, lower case.
        fold_case: Ignore case.
    """

    def __init__(
        self, root: Path, suffixes: frozenset[str] = VIDEO_SUFFIXES, *, fold_case: bool = False
    ) -> None:
        self.root, self._fold_case = root, fold_case
        self._paths: dict[str, list[str]] = {}
        folders: dict[str, list[str]] = {}
        for path in media_files(root, suffixes, frames=True):
            name = path[path.rfind("/") + 1 :]
            is_file = is_media(name, suffixes)
            stem, paths = (name[: name.rfind(".")], self._paths) if is_file else (name, folders)
            paths.setdefault(self._key(stem), []).append(path)
        for stem, found in folders.items():  # behind files, which may have audio
            self._paths.setdefault(stem, []).extend(found)

    def find(self, name: str) -> str | None:
        """Find a file.

        Args:
            name: End of its path, e.g. ``CLASS/file.avi``; the suffix may differ.

        Returns:
            Its path, preferably with the same suffix, or that of the folder of its frames; None
            if there is neither.
        """
        wanted = PurePosixPath(self._key(name))
        found = [p for p in self._paths.get(wanted.stem, ()) if self._lies_in(p, wanted.parent)]
        exact = [p for p in found if PurePosixPath(self._key(p)).suffix == wanted.suffix]
        return next(iter(exact + found), None)

    def locate(self, entry: Annotation) -> VideoRecord | None:
        """Find the file of an entry by its name; return its row, or None if it does not exist."""
        path = self.find(entry.name)
        return None if path is None else entry.row(path)

    def find_stem(self, stem: str) -> str | None:
        """Find a file, or the folder of its frames, by its name without suffix; or None."""
        return next(iter(self._paths.get(self._key(stem), ())), None)

    def _lies_in(self, path: str, folder: PurePosixPath) -> bool:
        wanted = folder.parts
        return not wanted or PurePosixPath(self._key(path)).parent.parts[-len(wanted) :] == wanted

    def _key(self, name: str) -> str:
        return name.casefold() if self._fold_case else name
