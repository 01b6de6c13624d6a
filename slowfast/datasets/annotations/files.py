"""The rules for media files, class folders and names of splits, shared by all commands.

Training, ``prepare_data.py`` and the readers of official split lists use this module, so that they
find the same files with the same labels.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from slowfast.config import ConfigValueError

__all__ = [
    "AUDIO_SUFFIXES",
    "FRAME_NAME",
    "IMAGE_SUFFIXES",
    "MEDIA_SUFFIXES",
    "OWN_TABLES",
    "SPLITS",
    "VIDEO_SUFFIXES",
    "class_folders",
    "find_splits",
    "folder_classes",
    "is_frame_folder",
    "is_ignored",
    "is_media",
    "media_files",
    "split_of",
    "split_within",
    "subfolders",
    "unsplit",
    "walk_files",
]

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv"),
        *(".f4v", ".mpg", ".mpeg", ".mpe", ".m2v", ".m1v", ".vob", ".ts", ".m2ts", ".mts", ".3gp"),
        *(".3g2", ".ogv", ".ogm", ".rm", ".rmvb", ".mxf", ".dv", ".y4m", ".ivf", ".gif"),
        *(".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"),  # raw streams
    )
)
"""Suffixes of video files, lower case. Still images are not videos."""

AUDIO_SUFFIXES = frozenset(
    (
        *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".aac", ".wma", ".aif"),
        *(".aiff", ".au", ".amr", ".ac3", ".mka", ".w64", ".caf"),
    )
)
"""Suffixes of audio-only files, lower case."""

MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
"""Suffixes of all media files, lower case."""

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))
"""Suffixes of image files, lower case."""

OWN_TABLES = frozenset(
    (
        *("encode.csv", "report.csv", "quarantine.csv", "bad_files.csv", "bad_media.csv"),
        *("set_aside.csv", "predictions.csv", "wrong_predictions.csv", "per_class.csv"),
        "confusion_matrix.csv",
    )
)
"""Tables that commands of this project write, maybe into a folder of videos: no lists of data."""

_INSIGHT = "insight.json"
"""Written by a test of a run next to its numbered thumbnails, which are no frames of a video."""

FRAME_NAME = re.compile(r"(.*?)(\d+)\.(jpe?g|png|bmp|webp)", re.IGNORECASE | re.DOTALL)
"""File names of extracted frames: any prefix, the frame number, and a suffix."""

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
"""Folders that operating systems create."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is hidden or was created by the operating system.

    Args:
        name: The name, without folders.

    Returns:
        True for ``.ipynb_checkpoints``, ``._video.mp4``, ``@eaDir``, ...
    """
    return name.startswith(".") or name in _IGNORED


def is_media(name: str, suffixes: Collection[str] = MEDIA_SUFFIXES) -> bool:
    """Return whether a file is listed as a media file.

    Args:
        name: Its name or path.
        suffixes: Suffixes of the files to list, lower case.

    Returns:
        False for files that are ignored.
    """
    name = name[name.rfind(os.sep) + 1 :]  # possibly millions: no Path object for each
    return name[name.rfind(".") :].lower() in suffixes and not is_ignored(name)


def walk_files(folder: Path | str) -> Iterator[tuple[str, list[str]]]:
    """Walk a folder in sorted order; ignored files and folders are skipped.

    Args:
        folder: Where to start. Links to folders are followed, except to one of their parents.

    Yields:
        The path of each folder that can be listed, which starts with ``folder``, and the sorted
        names of its files.
    """
    for parent, folders, files in os.walk(folder, onerror=_warn_unlisted, followlinks=True):
        folders[:] = sorted(n for n in folders if not is_ignored(n) and not _is_loop(parent, n))
        yield parent, sorted(name for name in files if not is_ignored(name))


def _warn_unlisted(error: OSError) -> None:
    """Warn of a folder whose files are left out, as they cannot be listed."""
    logger.warning("the files below %s are left out: %s", error.filename, error.strerror or error)


def media_files(
    folder: Path | str, suffixes: Collection[str] = MEDIA_SUFFIXES, *, frames: bool = False
) -> Iterator[str]:
    """List the media files below a folder, including broken links, so that they are reported.

    Args:
        folder: Where to start.
        suffixes: Suffixes of the files to list, lower case.
        frames: Whether folders of extracted frames below ``folder`` count as videos; they never do
            if ``suffixes`` includes audio files.

    Yields:
        Paths that start with ``folder``, in sorted order.
    """
    for parent, files in walk_files(folder):
        if frames and parent != str(folder) and ".wav" not in suffixes and is_frame_folder(files):
            yield parent
            continue
        for name in files:
            if is_media(name, suffixes):
                yield f"{parent}{os.sep}{name}"


def is_frame_folder(files: Iterable[str]) -> bool:
    """Return whether a folder with these files contains the frames of one video.

    Args:
        files: Names of the files.

    Returns:
        True for two or more numbered images without a video file next to them, which a run did not
        write.
    """
    files = set(files)
    suffixes = {name[name.rfind(".") :].lower() for name in files if "." in name}
    if VIDEO_SUFFIXES & suffixes or _INSIGHT in files:
        return False
    return sum(1 for name in files if FRAME_NAME.fullmatch(name)) > 1


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of a folder's subfolders that are not ignored.

    Args:
        folder: Any folder.

    Returns:
        The names.
    """
    names = (entry.name for entry in os.scandir(folder))
    # os.path.isdir, as DirEntry.is_dir raises for a link to itself
    return sorted(n for n in names if not is_ignored(n) and os.path.isdir(folder / n))  # noqa: PTH112


def class_folders(folder: Path, suffixes: Collection[str]) -> tuple[list[str], list[str]]:
    """Find the classes of a folder: its subfolders that contain media files.

    Args:
        folder: The folder of a split.
        suffixes: Suffixes of the files to look for, lower case.

    Returns:
        The sorted names of the subfolders with such files, and of those without.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for name in subfolders(folder):
        is_empty = next(media_files(folder / name, suffixes, frames=True), None) is None
        found[is_empty].append(name)
    return found


def folder_classes(names: Iterable[str], splits: Collection[str]) -> dict[str, str]:
    """Find the class of each file by its folder.

    Args:
        names: Paths relative to the data folder.
        splits: Names of the folders of the splits, if there are any.

    Returns:
        By path, the name of the folder below the split's, or of the topmost folder without splits.
        Files next to the folders of the splits have no class, nor have those of a split with a file
        in no such folder (the test split of Kinetics).
    """
    depth = 1 if splits else 0
    found: dict[str, tuple[str, ...]] = {}
    unlabeled: set[tuple[str, ...]] = set()
    for name in names:
        folders = Path(name).parent.parts
        if splits and not set(folders[:1]) & set(splits):
            continue
        if len(folders) > depth:
            found[name] = folders
        else:
            unlabeled.add(folders[:depth])
    kept = (name for name, folders in found.items() if folders[:depth] not in unlabeled)
    return {name: found[name][depth] for name in kept}


def split_of(name: str) -> str | None:
    """Return the split that a name stands for, e.g. "train" for ``Training``.

    Args:
        name: Name of a folder or a csv file, without its suffix.

    Returns:
        "train", "val", "test", or None if it is not the name of a split.
    """
    return _SPLIT_OF.get(name.casefold())


def find_splits(names: Iterable[str], where: Path) -> dict[str, str]:
    """Find the splits among the names of files or folders.

    ``train``, ``Training``, ``validation``, ... always count as splits. Longer names, such as
    ``videos_train`` and ``videos_val``, count if there are two or more of them.

    Args:
        names: Names without folder and suffix.
        where: Their folder, for the error message.

    Returns:
        The name of each split, in the order of SPLITS.

    Raises:
        UserError: If two names stand for the same split.
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
                f"Keep one of them and name it {split}.",
            )
        by_split |= dict.fromkeys((split,) if same else (), "".join(same))
    return by_split


def split_within(name: str) -> str | None:
    """Return the split that occurs as a word in a name.

    Args:
        name: Name of a folder or a file, without its suffix.

    Returns:
        "train", "val", "test", or None if there is no split or several in the name.
    """
    words = {split_of(word) for word in re.split(r"[\W_\d]+", name)} - {None}
    return words.pop() if len(words) == 1 else None


def unsplit(paths: Iterable[str], root: Path | str) -> Iterator[str]:
    """Check that the files of a folder without splits do not belong to several splits.

    Args:
        paths: Files below ``root``.
        root: The folder.

    Yields:
        The same paths.

    Raises:
        UserError: If some subfolders have the names of different splits.
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
                    f"{root} has no folders of splits, but its subfolders do, "
                    f"and they would be mixed: {first}, {second}. Expected: folders train, val, "
                    "test directly in it. Use the folder that contains them, or list the files "
                    "in train.csv, val.csv and test.csv.",
                )
        yield path


def _is_loop(parent: str, name: str) -> bool:
    """Whether a folder is a link to one of its parents, which would make a walk endless."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())
