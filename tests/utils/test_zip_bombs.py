"""Small checkpoints that declare, or unpack to, far more than they have."""

import io
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from slowfast.utils.checkpoint import read_checkpoint_file

MB = 1 << 20
WEIGHTS = {"a": torch.zeros(50 * MB // 4)}


def packed(method=zipfile.ZIP_DEFLATED):
    """A checkpoint of torch with 50 MB of zeros, and 100 MB of nothing, compressed to 150 kB."""
    plain, out = io.BytesIO(), io.BytesIO()
    torch.save(WEIGHTS, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(out, "w", method) as bomb:
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name))
        bomb.writestr("archive/more", bytes(100 * MB))
    return out.getvalue()


def overlapping():
    """A thousand entries of the same stored megabyte."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(MB))
        first = archive.infolist()[1]
        for number in range(1, 1000):
            entry = zipfile.ZipInfo(f"archive/data/{number}")
            entry.file_size = entry.compress_size = MB
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
        archive._didModify = True
    return out.getvalue()


def lying():
    """Declared sizes that are small, and more data behind them."""
    content = packed()
    for size in (50 * MB, 100 * MB):
        content = content.replace(struct.pack("<I", size), struct.pack("<I", 1000))
    return content


def old_format():
    """The old format declares the number of elements in its pickle: here 10^12 of 5."""
    out = io.BytesIO()
    torch.save({"a": torch.zeros(5)}, out, _use_new_zipfile_serialization=False)
    content = out.getvalue()
    assert content.count(b"K\x05") >= 1
    return content.replace(b"K\x05", b"\x8a\x05" + (10**12).to_bytes(5, "little"))


def blobs():
    """A Caffe2 pickle with an array of 10^11 bytes, made from a number."""
    text = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    return (
        b"\x80\x02(dS'blobs'\n(dS'w'\n"
        + array
        + b"(I1\n(I5\nt"
        + text
        + b"I00\nI100000000000\ntbss."
    )


BOMBS = {
    "packed": (packed, "unpacks to 0.2 GB, and is not read"),
    "lzma": (lambda: packed(zipfile.ZIP_LZMA), "unpacks to 0.2 GB, and is not read"),
    "overlapping": (overlapping, "unpacks to 1.0 GB, and is not read"),
    "lying": (lying, "is damaged"),
    "old": (old_format, "is damaged"),
    "blobs": (blobs, "cannot be loaded safely"),
}
READ = """
import resource, sys
from slowfast.config import UserError
from slowfast.utils.checkpoint import read_checkpoint_file
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        print(read_checkpoint_file(path))
    except UserError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) // 1024)
"""


@pytest.mark.slow
def test_small_files_that_declare_more_are_refused(tmp_path):
    """In a process of its own, whose peak memory counts."""
    paths = [tmp_path / f"{name}.pyth" for name in BOMBS]
    for path in paths:
        path.write_bytes(BOMBS[path.stem][0]())
        assert path.stat().st_size < 2 * MB
    words = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    *messages, grown_mb = done.stdout.splitlines()
    for path, message in zip(paths, messages, strict=True):
        assert str(path) in message
        assert BOMBS[path.stem][1] in message
    assert int(grown_mb) < 40


def test_a_checkpoint_that_was_packed_again_still_loads(tmp_path):
    """Compressed, but not beyond what weights can be."""
    plain = io.BytesIO()
    weights = {"a": torch.arange(100_000)}
    torch.save(weights, plain)
    with (
        zipfile.ZipFile(plain) as archive,
        zipfile.ZipFile(tmp_path / "a.pyth", "w", zipfile.ZIP_DEFLATED) as packed_again,
    ):
        for name in archive.namelist():
            packed_again.writestr(name, archive.read(name))
    assert torch.equal(read_checkpoint_file(tmp_path / "a.pyth")["a"], weights["a"])
