"""Pickles as Python 2 wrote them: strings of bytes, and numpy's old module names."""

import pickle
import struct
from pathlib import Path
from typing import ClassVar


class _Python2Pickler(pickle._Pickler):
    """Writes every string as Python 2's ``str``."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def _save_string(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(raw)) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string


def write_caffe2(path: Path, blobs: dict) -> Path:
    """Write numpy arrays by name as a Caffe2 checkpoint of the zoo."""
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump({"blobs": blobs})
    content = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    path.write_bytes(content)
    return path
