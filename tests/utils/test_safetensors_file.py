"""The safetensors format against the safetensors package, and damaged files."""

import json

import pytest
import torch

from slowfast.config import UserError
from slowfast.utils.safetensors_file import read_safetensors, write_safetensors

official = pytest.importorskip("safetensors.torch")


def tensors():
    random = torch.Generator().manual_seed(3)
    floats = torch.randn(3, 5, generator=random)
    return {
        "b.weight": floats,
        "half": floats.half(),
        "a": floats.bfloat16().T,  # not contiguous
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "mask": floats > 0,
        "bytes": torch.arange(5, dtype=torch.uint8),
    }


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].dtype == value.dtype, name
        assert torch.equal(got[name], value), name


def test_the_package_reads_what_is_written(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", tensors(), {"note": "ä"})
    assert_same(official.load_file(tmp_path / "a.safetensors"), tensors())
    with official.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "ä"}
    assert_same(read_safetensors(tmp_path / "a.safetensors"), tensors())


def test_what_the_package_writes_is_read(tmp_path):
    plain = {name: value.contiguous() for name, value in tensors().items()}
    official.save_file(plain, tmp_path / "a.safetensors")
    assert_same(read_safetensors(tmp_path / "a.safetensors"), plain)


def test_the_bytes_depend_on_the_content_alone(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", tensors())
    write_safetensors(tmp_path / "b.safetensors", dict(reversed(tensors().items())))
    first = (tmp_path / "a.safetensors").read_bytes()
    assert first == (tmp_path / "b.safetensors").read_bytes()


def write(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def entry(dtype="F32", shape=(1,), data_offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(data_offsets)}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry()}, b"123", "3 bytes of data"),
        ({"a": entry()}, b"12345", "5 bytes of data"),
        ({"a": entry(), "b": entry()}, b"1234", "4 bytes of data"),  # overlapping
        ({"a": entry(data_offsets=(4, 8))}, b"12345678", "8 bytes of data"),  # a gap
        ({"a": entry(shape=(2,))}, b"1234", r"4 bytes for 'a' of F32 \[2\]"),
        ({"a": entry(data_offsets=(4, 0))}, b"1234", "-4 bytes for 'a'"),
        ({"a": entry(shape=(-1,), data_offsets=(4, 0))}, b"1234", "an invalid shape"),
        ({"a": entry(shape=(True,))}, b"1234", "an invalid shape"),
        ({"a": entry(shape=(1 << 62, 1 << 62))}, b"1234", "4 bytes for 'a'"),
        ({"a": entry(dtype="F4")}, b"1234", "the dtype F4"),
        ({"a": {"dtype": "F32"}}, b"1234", "no dtype, shape and data_offsets for 'a'"),
        ({"a": 1}, b"", "no dtype, shape"),
        ([], b"", "a header that is not an object"),
        (b'{"a": {}, "a": {}}', b"", "a name twice"),
        (b"{" * 100000, b"", "Expecting property name"),
        (b"\xff{}", b"", "can't decode byte 0xff"),
    ],
)
def test_damaged_files(header, data, message, tmp_path):
    write(tmp_path / "x.safetensors", header, data)
    with pytest.raises(UserError, match=message):
        read_safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 40])
def test_a_wrong_length_of_the_header(length, tmp_path):
    write(tmp_path / "x.safetensors", {}, length=length)
    with pytest.raises(UserError, match=f"a header of {length} bytes in a file of 10"):
        read_safetensors(tmp_path / "x.safetensors")


def test_a_cut_file_and_an_unsupported_dtype(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", tensors())
    content = (tmp_path / "x.safetensors").read_bytes()
    for size in (0, 5, 100, len(content) - 1):
        (tmp_path / "x.safetensors").write_bytes(content[:size])
        with pytest.raises(UserError, match="is damaged or not a safetensors file"):
            read_safetensors(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"z: torch.complex64 cannot be stored"):
        write_safetensors(tmp_path / "y.safetensors", {"z": torch.zeros(1, dtype=torch.complex64)})
    assert not (tmp_path / "y.safetensors").exists()
