"""Recognizes files that are no checkpoints, by their first bytes, to say what they are."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

__all__ = ["describe_other_file"]

_AGAIN = "Download it again, and compare its size with the published one"
_UNPACK = "Unpack it, and name the file inside"

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself. Run 'git lfs pull'"),
    (b"\x1f\x8b", f"a gzip archive. {_UNPACK}"),
    (b"BZh", f"a bzip2 archive. {_UNPACK}"),
    (b"\xfd7zXZ", f"an xz archive. {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive. {_UNPACK}"),
    (b"Rar!", f"a rar archive. {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd archive. {_UNPACK}"),
    (b"\x89HDF", "an HDF5 file, such as of Keras. Save its weights as a state dict of torch"),
    (b"\x93NUMPY", "a NumPy array. Save a state dict with torch.save"),
    (b"%PDF", f"a PDF. {_AGAIN}"),
    (b"\x89PNG", f"an image. {_AGAIN}"),
    (b"\xff\xd8\xff", f"an image. {_AGAIN}"),
)
_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<script", b"<!--")
_MOST_SHOWN = 40
_READ = 2048
_MOST_UNPACKED, _ALWAYS_UNPACKED = 8, 64 << 20
"""Of its size, and bytes on top: torch does not compress, but someone may have packed it again."""


def describe_other_file(path: Path) -> str:
    """Describe a file that is no checkpoint of torch and no pickle.

    Args:
        path: An existing file.

    Returns:
        What it is and what to do, such as ``a web page, ...``; "" if it may be a checkpoint.
    """
    with path.open("rb") as file:
        start = file.read(_READ)
    if not start:
        return f"an empty file. {_AGAIN}"
    if not start.strip(b"\0"):
        return f"filled with zeros: a download that was interrupted. {_AGAIN}"
    for magic, what in _STARTS:
        if start.startswith(magic):
            return what
    if start.startswith(b"PK\x03\x04"):
        return _describe_zip(path)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:20].lower().startswith(_PAGES):
        return (
            "a web page, not a checkpoint: the server has sent an error or a form instead of the "
            f"file. {_AGAIN}"
        )
    if tarfile.is_tarfile(path):
        return f"a tar archive. {_UNPACK}"
    if _is_text(text):
        shown = text.decode(errors="ignore").splitlines()[0][:_MOST_SHOWN]
        return f"a text that begins with {shown!r}, not a checkpoint. {_AGAIN}"
    return ""


def _describe_zip(path: Path) -> str:
    """Describe a zip archive; checkpoints of torch are zip archives with a ``data.pkl``."""
    if not zipfile.is_zipfile(path):
        return f"incomplete: its end is missing after {path.stat().st_size} bytes. {_AGAIN}"
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        return f"a damaged zip archive ({error}). {_AGAIN}"
    if unpacked > _MOST_UNPACKED * size + _ALWAYS_UNPACKED:
        return (
            f"a zip archive of {size / 1e6:.1f} MB that unpacks to {unpacked / 1e9:.1f} GB, and is "
            "not read. Checkpoints of torch are not compressed"
        )
    leaves = {name.rpartition("/")[2] for name in names}
    if any("/code/" in f"/{name}" for name in names):
        return "a TorchScript program. Save the state_dict() of its module with torch.save"
    if "data.pkl" in leaves:
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (npz). Save a state dict with torch.save"
    first = f" (its first file: {names[0]})" if names else ""
    return f"a zip archive, but not of torch{first}. {_UNPACK}"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # not only a character that is cut off at the end
            return False
        text = start[: error.start].decode()
    return all(c.isprintable() or c in "\r\n\t" for c in text)
