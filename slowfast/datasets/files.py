"""What counts as a media file, a class folder and a split: decided here, for every command.

Training, ``prepare_data.py`` and the readers of official lists all ask this module, so that they
see the same files under the same labels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from slowfast.config import ConfigValueError

__all__ = [
    "AUDIO_SUFFIXES",
    "FRAME_NAME",
    "MEDIA_SUFFIXES",
    "SPLITS",
    "VIDEO_SUFFIXES",
    "class_folders",
    "find_splits",
    "is_frame_folder",
    "is_ignored",
    "media_files",
    "split_of",
    "split_within",
    "subfolders",
    "unsplit",
    "walk_files",
]

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv"),
        *(".f4v", ".mpg", ".mpeg", ".mpe", ".m2v", ".m1v", ".vob", ".ts", ".m2ts", ".mts", ".3gp"),
        *(".3g2", ".ogv", ".ogm", ".rm", ".rmvb", ".mxf", ".dv", ".y4m", ".ivf", ".gif"),
        *(".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"),  # raw streams
    )
)
"""Suffixes of files that can have frames, lower case. Still images have none: they are no video."""

AUDIO_SUFFIXES = frozenset(
    (
        *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".aac", ".wma", ".aif"),
        *(".aiff", ".au", ".amr", ".ac3", ".mka", ".w64", ".caf"),
    )
)
"""Suffixes of files of audio alone, lower case."""

MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
"""Suffixes of everything that can be read, lower case."""

FRAME_NAME = re.compile(r"(.*?)(\d+)\.(jpe?g|png|bmp|webp)", re.IGNORECASE | re.DOTALL)
"""What frames are called: anything, their number, and a suffix."""

SPLITS = ("train", "val", "test")

_ALIASES = {
    "train": ("train", "training", "trainset"),
    "val": (*("val", "valid", "validate", "validation", "dev", "eval", "evaluation"), "valset"),
    "test": ("test", "testing", "testset"),
}
_SPLIT_OF = {alias: split for split, aliases in _ALIASES.items() for alias in aliases}

_IGNORED = frozenset(
    ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
)
"""Folders that systems put beside a user's own."""


def is_ignored(name: str) -> bool:
    """Whether a file or folder is not the user's: its name starts with a dot, or a system made it.

    Args:
        name: Its name, without folders.

    Returns:
        True for ``.ipynb_checkpoints``, ``._video.mp4``, ``@eaDir``, ...
    """
    return name.startswith(".") or name in _IGNORED


def walk_files(folder: Path | str) -> Iterator[tuple[str, list[str]]]:
    """Walk a folder in sorted order, without what is ignored.

    Args:
        folder: Where to start. Links to folders are followed, but not back to where they lie in.

    Yields:
        The path of each folder, which starts with ``folder``, and the sorted names of its files.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(n for n in folders if not is_ignored(n) and not _is_loop(parent, n))
        yield parent, sorted(name for name in files if not is_ignored(name))


def media_files(
    folder: Path | str, suffixes: Collection[str] = MEDIA_SUFFIXES, *, frames: bool = False
) -> Iterator[str]:
    """List the media files below a folder; dangling links are listed, so that they are reported.

    Args:
        folder: Where to start.
        suffixes: Of the files wanted, lower case.
        frames: Whether folders of extracted frames below ``folder`` count as videos, unless files
            of audio are wanted.

    Yields:
        Paths that start with ``folder``, in sorted order.
    """
    for parent, files in walk_files(folder):
        if frames and parent != str(folder) and ".wav" not in suffixes and is_frame_folder(files):
            yield parent
            continue
        for name in files:  # millions of files: no object for each
            if name[name.rfind(".") :].lower() in suffixes:
                yield f"{parent}{os.sep}{name}"


def is_frame_folder(files: Iterable[str]) -> bool:
    """Whether a folder with these files holds the frames of one video, and maybe its audio.

    Args:
        files: Names.

    Returns:
        True for two or more numbered images without a video file beside them.
    """
    suffixes = {name[name.rfind(".") :].lower() for name in files if "." in name}
    if VIDEO_SUFFIXES & suffixes:
        return False
    return sum(1 for name in files if FRAME_NAME.fullmatch(name)) > 1


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of a folder's subfolders that are not ignored.

    Args:
        folder: Any folder.

    Returns:
        The names.
    """
    return sorted(e.name for e in os.scandir(folder) if e.is_dir() and not is_ignored(e.name))


def class_folders(folder: Path, suffixes: Collection[str]) -> tuple[list[str], list[str]]:
    """Find the classes of a folder: its subfolders with media in them.

    Args:
        folder: The folder of a split.
        suffixes: Of the files wanted, lower case.

    Returns:
        The sorted names of the subfolders with such files, and of those without.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for name in subfolders(folder):
        is_empty = next(media_files(folder / name, suffixes, frames=True), None) is None
        found[is_empty].append(name)
    return found


def split_of(name: str) -> str | None:
    """Return the split that a name means: ``Training`` is "train"; None: no split's name.

    Args:
        name: Of a folder or a csv file, without its suffix.

    Returns:
        "train", "val", "test", or None.
    """
    return _SPLIT_OF.get(name.casefold())


def find_splits(names: Iterable[str], where: Path) -> dict[str, str]:
    """Find the names of splits among those of files or folders.

    ``train``, ``Training``, ``validation``, ... are splits wherever they stand. Longer names, such
    as ``videos_train`` and ``videos_val``, are if there are two or more of them.

    Args:
        names: Names without folder and suffix.
        where: Where they are, for the message.

    Returns:
        The name by split, in the order of SPLITS.

    Raises:
        UserError: If two names mean the same split.
    """
    names = sorted(set(names))
    found = [(split, name) for name in names if (split := split_of(name))]
    if not found:
        found = [(split, name) for name in names if (split := split_within(name))]
        if len({split for split, _ in found}) < 2:
            return {}
    by_split: dict[str, str] = {}
    for split in SPLITS:
        same = [name for other, name in found if other == split]
        if len(same) > 1:
            raise ConfigValueError(
                "DATA.PATH_TO_DATA_DIR",
                f"{where} has several {split} splits: {', '.join(same)}. "
                f"Keep one of them there, and call it {split}.",
            )
        by_split |= dict.fromkeys((split,) if same else (), "".join(same))
    return by_split


def split_within(name: str) -> str | None:
    """Return the one split that is a word of a name; None if there is none, or several.

    Args:
        name: Of a folder or a file, without its suffix.

    Returns:
        "train", "val", "test", or None.
    """
    words = {split_of(word) for word in re.split(r"[\W_\d]+", name)} - {None}
    return words.pop() if len(words) == 1 else None


def unsplit(paths: Iterable[str], root: Path | str) -> Iterator[str]:
    """Pass on the files of a folder without splits, and refuse splits further down.

    Args:
        paths: Files below ``root``.
        root: The folder.

    Yields:
        The same paths.

    Raises:
        UserError: If folders of several splits are among them, which would be mixed.
    """
    seen: dict[str, str] = {}
    last, start = "", len(str(root)) + 1
    for path in paths:
        folder = path[: path.rfind(os.sep)]
        if folder != last:
            last = folder
            parts = Path(folder[start:]).parts
            for depth, part in enumerate(parts, start=1):
                if split := split_of(part):
                    seen.setdefault(split, str(Path(root, *parts[:depth])))
            if len(seen) > 1:
                first, second = list(seen.values())[:2]
                raise ConfigValueError(
                    "DATA.PATH_TO_DATA_DIR",
                    f"{root} has no splits of its own, but splits are "
                    f"further down, which would be mixed: {first}, {second}. Expected: folders "
                    "train, val, test right in it. Name the folder that holds them, or list the "
                    "files in train.csv, val.csv and test.csv.",
                )
        yield path


def _is_loop(parent: str, name: str) -> bool:
    """Whether a folder is a link to one that holds it, which a walk would never leave."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())
