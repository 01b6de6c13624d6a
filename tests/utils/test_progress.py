"""Progress: a bar on a terminal, lines in a file."""

import sys

import pytest

from slowfast.utils import distributed
from slowfast.utils import progress as module
from slowfast.utils.progress import ProgressMeter, progress


@pytest.fixture
def _ten_seconds_per_look(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))


@pytest.mark.usefixtures("_ten_seconds_per_look")
def test_lines_in_a_log(caplog):
    with caplog.at_level("INFO"):
        assert list(progress([1, 2, 3, 4, 5, 6], "reading", unit="files")) == [1, 2, 3, 4, 5, 6]
    assert caplog.messages == [
        "reading: 3 of 6 files (50%), about 0:00:30 left",
        "reading: 6 of 6 files (100%), about 0:00:00 left",
    ]
    caplog.clear()
    with caplog.at_level("INFO"):
        list(progress(iter(range(4)), "reading", unit="files"))
    assert caplog.messages == ["reading: 3 files, 0.1 per second"]


@pytest.mark.usefixtures("_ten_seconds_per_look")
def test_a_command_without_a_log_prints_the_lines(caplog, capsys):
    quiet = caplog.at_level("WARNING", logger="slowfast")
    with quiet, ProgressMeter("checking", 10, done=4, unit="files") as meter:
        for _ in range(3):
            meter.update()
    assert capsys.readouterr().err == "checking: 7 of 10 files (70%), about 0:00:30 left\n"
    assert not caplog.messages


@pytest.mark.usefixtures("_ten_seconds_per_look")
def test_bytes_are_megabytes(caplog):
    with caplog.at_level("INFO"), ProgressMeter("downloading x", 8_000_000, unit="B") as meter:
        for _ in range(3):
            meter.update(1_000_000)
    assert caplog.messages == ["downloading x: 3.0 of 8.0 MB (38%), about 0:00:50 left"]


@pytest.mark.usefixtures("_ten_seconds_per_look")
def test_other_processes_show_nothing(monkeypatch, caplog, capsys):
    monkeypatch.setattr(distributed, "is_main_process", lambda: False)
    with caplog.at_level("INFO"):
        list(progress(range(6), "reading"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(progress(range(6), "reading"))
    assert not caplog.messages
    assert capsys.readouterr().err == ""


def test_a_short_loop_logs_nothing(caplog):
    with caplog.at_level("INFO"):
        assert sum(progress(range(100), "adding")) == 4950
    assert not caplog.messages


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress(range(3), "reading")) == [0, 1, 2]
    assert "reading" in capsys.readouterr().err
    with ProgressMeter("all done", 3, done=3):
        pass
    assert capsys.readouterr().err == ""
