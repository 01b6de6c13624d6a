"""Checkpoints: names, order, atomic writing."""

import pytest
import torch

from slowfast.utils.checkpoint import (
    checkpoint_path,
    find_last_checkpoint,
    read_checkpoint_file,
    write_checkpoint_file,
)


def test_names_are_pyslowfasts(tmp_path):
    assert checkpoint_path(tmp_path, 10).name == "checkpoint_epoch_00010.pyth"
    assert checkpoint_path(tmp_path, 10, task="ssl").name == "ssl_checkpoint_epoch_00010.pyth"
    assert checkpoint_path(tmp_path, 3, 120).name == "checkpoint_epoch_00003_iter_00000120.pyth"


def test_the_last_is_the_furthest_in_training(tmp_path):
    assert find_last_checkpoint(tmp_path) is None
    for epoch, iteration in [(1, 0), (2, 0), (2, 50), (1, 900)]:
        write_checkpoint_file(checkpoint_path(tmp_path, epoch, iteration), {"epoch": epoch})
    write_checkpoint_file(checkpoint_path(tmp_path, 9, task="other"), {"epoch": 9})
    (tmp_path / "checkpoints" / "checkpoint_epoch_00099.pyth.bak").write_bytes(b"")
    assert find_last_checkpoint(tmp_path) == checkpoint_path(tmp_path, 2, 50)
    assert find_last_checkpoint(tmp_path, "other") == checkpoint_path(tmp_path, 9, task="other")


def test_a_crash_while_saving_keeps_the_old_file(tmp_path, monkeypatch):
    path = checkpoint_path(tmp_path, 1)
    write_checkpoint_file(path, {"epoch": 0})

    def crash(content, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint_file(path, {"epoch": 1})
    assert read_checkpoint_file(path) == {"epoch": 0}
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.sha256"}
