"""How commands end."""

import subprocess
import sys

import pytest

from slowfast.config import UserError
from slowfast.utils.exit_codes import exit_with


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
