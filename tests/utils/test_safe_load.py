"""Other people's files: what is read, what is left out, what is refused; nothing is ever run."""

import argparse
import collections
import os
import pickle

import numpy as np
import pytest
import torch
from helpers.caffe2_files import write_caffe2

from slowfast.config import UserError
from slowfast.utils.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint

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
    content = load_checkpoint(path)
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
        loaded = load_checkpoint(path)
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
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def note_that_it_ran(*args):
    RAN.append(args)


def test_functions_of_other_modules_are_never_called(tmp_path):
    path = save(tmp_path / "a.pyth", {"model": WEIGHTS, "x": Attack(note_that_it_ran, 1)}, False)
    assert torch.equal(load_checkpoint(path)["model"]["a.weight"], WEIGHTS["a.weight"])
    assert RAN == []


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="not found"):
        load_checkpoint(tmp_path / "none.pyth")
    with pytest.raises(UserError, match="no checkpoint in"):
        load_checkpoint(tmp_path)
    (tmp_path / "page.pyth").write_text("<html>", encoding="utf-8")
    with pytest.raises(UserError, match=r"page\.pyth"):
        load_checkpoint(tmp_path / "page.pyth")
    with pytest.raises(UserError, match="holds a list"):
        load_checkpoint(save(tmp_path / "list.pyth", [1], False))
    half = save(tmp_path / "half.pyth", {"model": WEIGHTS}, False)
    half.write_bytes(half.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(half)


def test_the_newest_of_a_run(tmp_path):
    for epoch in (1, 2):
        save_checkpoint(checkpoint_path(tmp_path, epoch), {"epoch": epoch})
    assert load_checkpoint(tmp_path)["epoch"] == 2


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
    loaded = load_checkpoint(write_caffe2(tmp_path / "a.pkl", blobs))["blobs"]
    assert set(loaded) == set(blobs)
    for name, value in blobs.items():
        np.testing.assert_array_equal(loaded[name].numpy(), value)
    assert loaded["big_endian"].dtype == torch.float32


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_caffe2_pickle_written_by_python_3(tmp_path, protocol):
    blobs = caffe2_blobs()
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(blobs, protocol=protocol))
    loaded = load_checkpoint(path)["blobs"]
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
        load_checkpoint(path)
    assert RAN == []


def test_a_pickle_of_something_else(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([1, 2], protocol=2))
    with pytest.raises(UserError, match="not of Caffe2's blobs"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({"blobs": caffe2_blobs()}, protocol=2)[:-200])
    with pytest.raises(UserError, match=r"damaged|safely"):
        load_checkpoint(path)
