"""The command line: both spellings of overrides, several jobs, help without torch."""

import subprocess
import sys
import time

import pytest

from slowfast.cli.arguments import parse_arguments


def test_trailing_overrides():
    args = parse_arguments(["--cfg", "a.yaml", "TRAIN.BATCH_SIZE", "8", "NUM_GPUS", "-1"])
    assert args.cfg_files == ["a.yaml"]
    assert args.overrides == ["TRAIN.BATCH_SIZE", "8", "NUM_GPUS", "-1"]


def test_opts_and_trailing_together():
    args = parse_arguments(
        ["--cfg", "a.yaml", "A", "1", "--shard_id", "2", "--opts", "B", "-3", "C", "x=y"]
    )
    assert args.overrides == ["A", "1", "B", "-3", "C", "x=y"]
    assert args.shard_id == 2


def test_several_jobs():
    args = parse_arguments(["--cfg", "a.yaml", "b.yml", "X", "1"])
    assert args.cfg_files == ["a.yaml", "b.yml"]
    assert args.overrides == ["X", "1"]


def test_options_after_overrides():
    args = parse_arguments(
        ["--num_shards", "4", "--cfg", "a.yaml", "X", "1", "--init_method", "tcp://h:9"]
    )
    assert (args.num_shards, args.init_method) == (4, "tcp://h:9")
    assert args.overrides == ["X", "1"]


def test_defaults():
    args = parse_arguments(["--cfg", "a.yaml"])
    assert (args.shard_id, args.num_shards, args.overrides) == (None, None, [])


@pytest.mark.parametrize("words", [[], ["--cfg", "TRAIN.BATCH_SIZE", "8"], ["X", "1"]])
def test_without_a_config(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words)
    assert caught.value.code == 2
    assert "--cfg" in capsys.readouterr().err


def test_help_is_quick_and_imports_no_torch():
    code = (
        "import sys\n"
        "from slowfast.cli.run_net import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    sys.exit(9 if 'torch' in sys.modules else end.code)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--opts" in done.stdout
    assert "examples:" in done.stdout
    assert time.perf_counter() - start < 10  # a second when the machine is idle
