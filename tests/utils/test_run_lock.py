"""Two runs never write to the same folder."""

import multiprocessing
import os
import signal

import pytest

from slowfast.config import UserError
from slowfast.utils.run_lock import locked_output_dir

SPAWN = multiprocessing.get_context("spawn")


def hold(folder, is_held, release):
    with locked_output_dir(folder):
        is_held.set()
        release.wait(30)


def start(folder):
    is_held, release = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(folder, is_held, release))
    process.start()
    assert is_held.wait(60)
    return process, release


def test_a_second_run_is_refused_with_the_first_one_named(tmp_path):
    process, release = start(tmp_path)
    with (
        pytest.raises(UserError, match=f"OUTPUT_DIR.* in use by process {process.pid} on "),
        locked_output_dir(tmp_path),
    ):
        pass
    release.set()
    process.join()
    assert process.exitcode == 0
    with locked_output_dir(tmp_path):
        pass
    assert (tmp_path / ".lock").read_bytes() == b""


def test_a_killed_run_leaves_no_lock(tmp_path, caplog):
    process, _ = start(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (tmp_path / ".lock").read_bytes()
    with caplog.at_level("INFO"), locked_output_dir(tmp_path):
        pass
    assert "the last run here was killed" in caplog.text


def test_an_error_releases_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), locked_output_dir(tmp_path):
        raise ZeroDivisionError
    with locked_output_dir(tmp_path):
        pass
