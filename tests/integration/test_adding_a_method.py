"""The examples of docs/adding_a_method.md, copied into an empty folder and run as they stand.

A process of its own each time, as a method registers itself and one must not see it here.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.media_files import Video, write_media

from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.logging import read_stats

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"
RUN_NET = PAGE.parents[1] / "tools" / "run_net.py"

pytestmark = pytest.mark.slow

METHODS = ("simclr", "instance_bank")

# Batch norm over four clips amplifies rounding: plain convolutions round alike for two and four.
WORDS = (
    "NUM_GPUS 0 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 2 "
    "DATA.TRAIN_CROP_SIZE 24 DATA.TEST_CROP_SIZE 24 DATA.TRAIN_JITTER_SCALES [24,32] "
    "TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 4 SOLVER.MAX_EPOCH 4 SOLVER.BASE_LR 0.001 LOG_PERIOD 1 "
    "DATA_LOADER.NUM_WORKERS 1 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 "
    "BN.NORM_TYPE sync_batchnorm NUM_THREADS 1 MODEL.FAST_TIME_CONV False"
).split()


def files():
    """Find the page's files: a name in backquotes, a colon, a block."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"`(\w+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", text, re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, with the page's files and eight videos."""
    root = tmp_path_factory.mktemp("method")
    assert set(files()) == {f"{name}.{end}" for name in METHODS for end in ("py", "yaml")}
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")
    for split, count in (("train", 8), ("test", 4)):
        for number in range(count):
            path = root / "videos" / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_media(path, Video(ticks=range(30 * number, 30 * number + 20), size=(48, 32)))
    return root


def command(folder, method, out, *words):
    return [
        *(sys.executable, str(RUN_NET), "--cfg", str(folder / f"{method}.yaml")),
        *("DATA.PATH_TO_DATA_DIR", str(folder / "videos"), "OUTPUT_DIR", str(folder / out)),
        *WORDS,
        *map(str, words),
    ]


def run(folder, method, out, *words):
    done = subprocess.run(
        command(folder, method, out, *words),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / out


def losses(out):
    stats = [s for s in read_stats(out) if s["_type"] == "train_iter"]
    return {s["step"]: s["loss"] for s in stats}


def state(out):
    return read_checkpoint_file(find_last_checkpoint(out))["model_state"]


@pytest.fixture(scope="module")
def straight(folder):
    return run(folder, "instance_bank", "straight")


def test_the_files_are_short():
    lines = {name: len(text.splitlines()) for name, text in files().items()}
    assert lines["simclr.py"] < 120
    assert lines["instance_bank.py"] < 100


def test_the_bank_learns_and_is_evaluated(straight):
    assert state(straight)["bank.rows"].shape == (8, 64)
    curve = list(losses(straight).values())
    assert len(curve) == 8
    assert sum(curve[-3:]) < sum(curve[1:4])  # once all rows have been written
    assert "class_retrieval_r1" in (straight / "results.json").read_text(encoding="utf-8")


def test_simclr_learns_and_is_evaluated(folder):
    out = run(folder, "simclr", "simclr", "SOLVER.MAX_EPOCH", 8, "SOLVER.BASE_LR", 0.005)
    curve = list(losses(out).values())
    assert len(curve) == 16
    assert sum(curve[-4:]) < sum(curve[:4])
    assert "class_retrieval_r1" in (out / "results.json").read_text(encoding="utf-8")


def test_killed_and_resumed_it_is_the_same_bit_for_bit(folder, straight):
    process = subprocess.Popen(
        command(folder, "instance_bank", "killed", "TRAIN.CHECKPOINT_PERIOD", 1),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(3000):
        if find_last_checkpoint(folder / "killed"):
            break
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run(folder, "instance_bank", "killed")
    assert "resuming from" in (resumed / "stdout.log").read_text(encoding="utf-8")
    assert losses(resumed) == losses(straight)
    for name, value in state(straight).items():
        assert torch.equal(value, state(resumed)[name]), name


@pytest.mark.distributed
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_as_one(folder, method):
    words = ("TRAIN.MAX_STEPS", 4, "SOLVER.BASE_LR", 1e-4, "TEST.ENABLE", False)
    one = run(folder, method, f"{method}_one", *words)
    two = run(folder, method, f"{method}_two", *words, "NUM_CPU_PROCESSES", 2)
    assert list(losses(two).values()) == pytest.approx(list(losses(one).values()), abs=5e-3)
    for name, value in state(one).items():
        torch.testing.assert_close(state(two)[name], value, atol=5e-3, rtol=1e-2)


def test_config_yaml_of_a_run_starts_it_from_anywhere(folder, straight, tmp_path):
    shutil.copy(straight / "config.yaml", tmp_path / "again.yaml")
    words = ["OUTPUT_DIR", str(tmp_path / "out"), "TRAIN.MAX_STEPS", "1", "TEST.ENABLE", "False"]
    done = subprocess.run(
        [sys.executable, str(RUN_NET), "--cfg", "again.yaml", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PROJECTS_PATH", "['/nowhere']"], "PROJECTS_PATH: no such folder: /nowhere"),
        (["PROJECTS_PATH", "[]"], "no project 'instance_bank'"),
        (["PROJECTS_PATH", "3"], "got '3', expected a list of folders"),
    ],
)
def test_mistakes(folder, words, message):
    done = subprocess.run(
        command(folder, "instance_bank", "mistake", *words),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
