"""The command line: both spellings of overrides, several jobs, help without torch."""

import subprocess
import sys
import time

import pytest

from slowfast.cli.arguments import parse_arguments


@pytest.mark.parametrize(
    ("line", "files", "overrides", "others"),
    [
        ("--cfg a.yaml", "a.yaml", "", {"shard_id": None, "num_shards": None}),
        ("--cfg a.yaml TRAIN.BATCH_SIZE 8 N -1", "a.yaml", "TRAIN.BATCH_SIZE 8 N -1", {}),
        ("--cfg a.yaml A 1 --shard_id 2 --opts B -3 C x=y", "a.yaml", "A 1 B -3 C x=y",
         {"shard_id": 2}),
        ("--cfg a.yaml b.yml X 1", "a.yaml b.yml", "X 1", {}),
        ("--num_shards 4 --cfg a.yaml X 1 --init_method tcp://h:9", "a.yaml", "X 1",
         {"num_shards": 4, "init_method": "tcp://h:9"}),
    ],
)  # fmt: skip
def test_both_spellings_of_overrides(line, files, overrides, others):
    args = parse_arguments(line.split())
    assert (args.cfg_files, args.overrides) == (files.split(), overrides.split())
    assert {name: getattr(args, name) for name in others} == others


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
