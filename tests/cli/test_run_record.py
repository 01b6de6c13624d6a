"""run.json and the lock never hide what ended a run."""

import json
import os

import pytest
import torch

from slowfast.cli import run_record
from slowfast.cli.run_record import RunRecord
from slowfast.utils.run_lock import locked_output_dir


def test_a_full_disk_does_not_hide_what_ended_a_stage(tmp_path, monkeypatch, caplog):
    record = RunRecord(tmp_path, "x.yaml", torch.device("cpu"), 1)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record, "write_json", full)
    with pytest.raises(ValueError, match="the cause"), record.stage("train"):
        raise ValueError("the cause")
    assert "run.json could not be written: [Errno 28] No space left on device" in caplog.text
    assert json.loads((tmp_path / "run.json").read_text())["starts"]


def test_a_lock_that_cannot_be_written_does_not_hide_what_ended_a_run(tmp_path, monkeypatch):
    def full(descriptor, length):
        calls.append(length)
        if len(calls) > 1:  # not the one that writes who holds it
            raise OSError(5, "Input/output error")

    calls = []
    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(ValueError, match="the cause"), locked_output_dir(tmp_path):
        raise ValueError("the cause")
