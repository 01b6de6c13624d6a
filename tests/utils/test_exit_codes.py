"""How commands end."""

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch

from slowfast.config import UserError
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.out_of_memory import telling_out_of_memory


def ends_with(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("KEY: got 1"), 2, "error: KEY: got 1\n"),
        (KeyboardInterrupt(), 130, "stopped here\n"),
        (PermissionError(13, "Permission denied", "out/x.json"), 2,
         "error: out/x.json: Permission denied\n"),
    ],
)  # fmt: skip
def test_what_a_user_can_fix_is_one_message(capsys, error, status, message):
    assert exit_with(ends_with(error), interrupted="stopped here") == status
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(1 << 50),
        lambda: np.empty(1 << 58),
        lambda: ends_with(OSError(errno.ENOMEM, "Cannot allocate memory"))(),
        lambda: ends_with(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))(),
    ],
)
def test_memory_that_runs_out_is_one_message(capsys, allocate):
    assert exit_with(allocate) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: memory ran out: ")
    assert "llocate" in error
    with pytest.raises(UserError, match=r"memory ran out in a test: .*llocate(.|\n)*Buy more\."):
        _tell(allocate)


def _tell(allocate):
    with telling_out_of_memory("in a test", "Buy more."):
        allocate()


def test_another_error_is_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="shapes"), telling_out_of_memory("here", ""):
        raise RuntimeError("shapes differ")


def test_a_status_is_passed_on(capsys):
    assert exit_with(lambda: 7) == 7
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [OSError("of no file"), ValueError("a fault of ours")])
def test_what_no_user_can_fix_keeps_its_traceback(error):
    with pytest.raises(type(error), match=str(error)):
        exit_with(ends_with(error))


def test_a_reader_that_goes_away_is_no_fault():
    code = (
        "import sys\n"
        "from slowfast.utils.exit_codes import exit_with\n"
        "def talk():\n"
        "    while True: print('x' * 1000)\n"
        "sys.exit(exit_with(talk))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 130
