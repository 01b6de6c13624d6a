"""Other people's files: what is read, what is left out, what is refused; nothing is ever run."""

import argparse
import collections
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from helpers.caffe2_files import write_caffe2

from slowfast.config import UserError
from slowfast.utils.checkpoint import checkpoint_path, read_checkpoint_file, write_checkpoint_file

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3)}
RAN = []


class Scheduler:
    """Stands for a class of somebody else's training code."""

    def __init__(self):
        self.milestones = [1, 2]


class Attack:
    """Runs something when it is unpickled."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def save(path, content, is_old):
    torch.save(content, path, _use_new_zipfile_serialization=not is_old)
    return path


@pytest.mark.parametrize("is_old", [False, True])
def test_files_of_torch_old_and_new(tmp_path, is_old):
    path = save(tmp_path / "a.pth.tar", {"state_dict": WEIGHTS, "epoch": 3}, is_old)
    content = read_checkpoint_file(path)
    assert torch.equal(content["state_dict"]["a.weight"], WEIGHTS["a.weight"])
    assert content["epoch"] == 3


@pytest.mark.parametrize("is_old", [False, True])
def test_records_of_a_training_are_left_out(tmp_path, is_old, caplog):
    content = {
        "model": WEIGHTS,
        "args": argparse.Namespace(lr=0.1),
        "lr_scheduler": {"after": Scheduler(), "counter": collections.Counter([1])},
    }
    path = save(tmp_path / "gdt.pth", content, is_old)
    with caplog.at_level("INFO", logger="slowfast"):
        loaded = read_checkpoint_file(path)
    assert torch.equal(loaded["model"]["a.weight"], WEIGHTS["a.weight"])
    assert not isinstance(loaded["args"], argparse.Namespace)
    assert not hasattr(loaded["lr_scheduler"]["after"], "milestones")
    assert "argparse.Namespace" in caplog.text
    assert "Scheduler" in caplog.text


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, pickle.loads])
def test_code_is_refused_and_not_run(tmp_path, is_old, function):
    path = tmp_path / "evil.pyth"
    save(path, {"model": WEIGHTS, "x": Attack(function, f"touch {tmp_path}/ran")}, is_old)
    with pytest.raises(UserError, match="cannot be loaded safely"):
        read_checkpoint_file(path)
    assert not (tmp_path / "ran").exists()


def note_that_it_ran(*args):
    RAN.append(args)


def test_functions_of_other_modules_are_never_called(tmp_path):
    path = save(tmp_path / "a.pyth", {"model": WEIGHTS, "x": Attack(note_that_it_ran, 1)}, False)
    assert torch.equal(read_checkpoint_file(path)["model"]["a.weight"], WEIGHTS["a.weight"])
    assert RAN == []


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="not found"):
        read_checkpoint_file(tmp_path / "none.pyth")
    with pytest.raises(UserError, match="no checkpoint in"):
        read_checkpoint_file(tmp_path)
    (tmp_path / "page.pyth").write_text("<html>", encoding="utf-8")
    with pytest.raises(UserError, match=r"page\.pyth"):
        read_checkpoint_file(tmp_path / "page.pyth")
    with pytest.raises(UserError, match="holds a list"):
        read_checkpoint_file(save(tmp_path / "list.pyth", [1], False))
    half = save(tmp_path / "half.pyth", {"model": WEIGHTS}, False)
    half.write_bytes(half.read_bytes()[:100])
    with pytest.raises(UserError, match="incomplete: its end is missing"):
        read_checkpoint_file(half)


def test_the_newest_of_a_run(tmp_path):
    for epoch in (1, 2):
        write_checkpoint_file(checkpoint_path(tmp_path, epoch), {"epoch": epoch})
    assert read_checkpoint_file(tmp_path)["epoch"] == 2


def caffe2_blobs():
    rng = np.random.default_rng(0)
    return {
        "conv1_w": rng.normal(size=(4, 3, 1, 7, 7)).astype(np.float32),
        "pred_b": rng.normal(size=5),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "big_endian": rng.normal(size=7).astype(">f4"),
        "counter": np.arange(300, dtype=np.int64),
        "lr": np.float32(0.1),
        "model_iter": 7,
    }


def test_a_caffe2_pickle_as_python_2_wrote_it(tmp_path):
    blobs = caffe2_blobs()
    loaded = read_checkpoint_file(write_caffe2(tmp_path / "a.pkl", blobs))["blobs"]
    assert set(loaded) == set(blobs)
    for name, value in blobs.items():
        np.testing.assert_array_equal(loaded[name].numpy(), value)
    assert loaded["big_endian"].dtype == torch.float32


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_caffe2_pickle_written_by_python_3(tmp_path, protocol):
    blobs = caffe2_blobs()
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(blobs, protocol=protocol))
    loaded = read_checkpoint_file(path)["blobs"]
    for name, value in blobs.items():
        np.testing.assert_array_equal(loaded[name].numpy(), value)


@pytest.mark.parametrize(
    "content",
    [
        {"blobs": {"x": Attack(os.system, "true")}},
        {"blobs": {"x": Attack(note_that_it_ran, 1)}},
        {"blobs": {"x": np.array([Attack(os.system, "true")], dtype=object)}},
        {"blobs": {"x": np.array([1, "a"], dtype=object)}},
        Attack(eval, "1"),
    ],
)
def test_a_caffe2_pickle_that_would_run_something(tmp_path, content):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match=r"cannot be loaded safely|damaged"):
        read_checkpoint_file(path)
    assert RAN == []


def test_a_pickle_of_something_else(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([1, 2], protocol=2))
    with pytest.raises(UserError, match="not of Caffe2's blobs"):
        read_checkpoint_file(path)
    path.write_bytes(pickle.dumps({"blobs": caffe2_blobs()}, protocol=2)[:-200])
    with pytest.raises(UserError, match=r"damaged|safely"):
        read_checkpoint_file(path)


def zip_of(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def torch_file(**how):
    out = io.BytesIO()
    torch.save({"model": WEIGHTS}, out, **how)
    return out.getvalue()


def npz():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def script():
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), out)
    return out.getvalue()


def tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("a.pth")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"abcd"))
    return out.getvalue()


HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
OTHERS = {
    "page": (b"<!DOCTYPE html><html>Quota exceeded</html>", "a web page"),
    "page_with_mark": (b"\xef\xbb\xbf\n <HTML><body>no</body>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"),
    "json": (b'{"error": "not found"}', "a text that begins with"),
    "text": (b"Not Found", "a text that begins with 'Not Found'"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(4096), "filled with zeros"),
    "zip_cut": (torch_file()[:500], "incomplete"),
    "old_cut": (torch_file(_use_new_zipfile_serialization=False)[:300], "damaged"),
    "noise": (bytes(range(255, 100, -1)) * 9, "begins with the bytes"),
    "video": (b"\0\0\0\x18ftypmp42" + bytes(range(200)), "begins with the bytes"),
    "tar": (tar(), "a tar archive"),
    "gzip": (gzip.compress(torch_file()), "a gzip archive"),
    "zip": (zip_of("a.pth", torch_file()), "a zip archive, but not of torch"),
    "npz": (npz(), "NumPy"),
    "npy": (b"\x93NUMPY\x01\0", "NumPy"),
    "hdf5": (b"\x89HDF\r\n", "HDF5"),
    "safetensors": (struct.pack("<Q", len(HEADER)) + HEADER + bytes(3), "not a safetensors file"),
    "script": (script, "a TorchScript program"),
    "sklearn": (pickle.dumps({"a": argparse.Namespace(x=1)}), "argparse.Namespace"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_called_what_they_are(tmp_path, kind):
    content, wanted = OTHERS[kind]
    path = tmp_path / "w.pth"
    path.write_bytes(content() if callable(content) else content)
    with pytest.raises(UserError) as caught:
        read_checkpoint_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert wanted in message
    assert "weights_only" not in message
    assert "safe_globals" not in message
    assert "\n" not in message


def test_a_pickled_module_is_refused_without_advice_to_load_it(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"holds a Linear.*state_dict") as caught:
        read_checkpoint_file(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)
