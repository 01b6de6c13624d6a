"""No command imports files of the working folder: a ``torch.py`` or ``random.py`` there is data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast.cli.sweep_net import RUN_COMMAND

ROOT = Path(__file__).parents[2]
NAMES = (
    *("torch", "numpy", "yaml", "av", "cv2", "fvcore", "simplejson", "sitecustomize", "synthetic"),
    *("random", "threading", "signal", "pickle", "struct", "socket", "logging", "json", "pathlib"),
    "multiprocessing",
)


@pytest.fixture
def folder(tmp_path):
    """A working folder whose modules leave a trace when they are imported."""
    for name in NAMES:
        text = (
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + '\\n')\nraise SystemExit"
        )
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


def run(folder, *words, env=None):
    """Run a command there; return its output."""
    known = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, **known, **(env or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    imported = folder / "imported"
    assert not imported.exists(), imported.read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command", [("-m", "slowfast", "configs"), (ROOT / "tools" / "run_net.py", "--help")]
)
def test_commands_do_not_import_what_is_there(folder, command):
    assert run(folder, *command)


def test_runs_of_a_sweep_take_the_package_of_the_sweep(folder):
    """The sweep passes the setting on, so that not even a folder ``slowfast`` is taken."""
    code = (
        "import subprocess\n"
        "from slowfast.cli.sweep_net import RUN_COMMAND\n"
        "from slowfast.utils.exit_codes import exit_with\n"
        "print(exit_with(lambda: subprocess.run([*RUN_COMMAND, '--help']).returncode))"
    )
    assert RUN_COMMAND[0] == sys.executable
    (folder / "slowfast").mkdir()
    (folder / "slowfast" / "__init__.py").write_text("raise SystemExit(3)", encoding="utf-8")
    assert run(folder, "-P", "-c", code).endswith("0\n")


@pytest.mark.slow
def test_processes_of_a_training_do_not_import_what_is_there(folder):
    words = (
        "TRAIN.DATASET fake TRAIN.MAX_STEPS 1 NUM_CPU_PROCESSES 2 DATA_LOADER.NUM_WORKERS 1 "
        "MODEL.NUM_CLASSES 3 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16 "
        "TRAIN.BATCH_SIZE 4 NUM_GPUS 0 TEST.ENABLE False TRAIN.EVAL_PERIOD 0"
    ).split()
    words += ["OUTPUT_DIR", folder / "out", "DATA.DEMO_CFG", "", "DATA.PATH_TO_DATA_DIR", "unused"]
    cfg = ROOT / "configs" / "Kinetics" / "R2PLUS1D_18_30f.yaml"
    run(folder, ROOT / "tools" / "run_net.py", "--cfg", cfg, *words)
    assert list((folder / "out" / "checkpoints").glob("*.pyth"))
