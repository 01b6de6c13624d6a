"""The worked example of docs/adding_a_method.md, copied into an empty folder and run as it stands.

A process of its own each time, as the method registers itself and one must not see it here.
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

from slowfast.utils.checkpoint import find_last_checkpoint, load_checkpoint
from slowfast.visualization.curves import read_stats

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"
RUN_NET = PAGE.parents[1] / "tools" / "run_net.py"

pytestmark = pytest.mark.slow

WORDS = (
    "NUM_GPUS 0 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 2 "
    "DATA.TRAIN_CROP_SIZE 24 DATA.TEST_CROP_SIZE 24 DATA.TRAIN_JITTER_SCALES [24,32] "
    "TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 4 SOLVER.MAX_EPOCH 4 SOLVER.BASE_LR 0.001 LOG_PERIOD 1 "
    "DATA_LOADER.NUM_WORKERS 1 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 "
    "BN.NORM_TYPE sync_batchnorm NUM_THREADS 1"
).split()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, with the page's two files and eight videos."""
    root = tmp_path_factory.mktemp("method")
    (code,) = blocks("python")
    (yaml,) = blocks("yaml")
    assert len(code.splitlines()) < 100
    (root / "instance_bank.py").write_text(code, encoding="utf-8")
    (root / "instance_bank.yaml").write_text(yaml, encoding="utf-8")
    for split, count in (("train", 8), ("test", 4)):
        for number in range(count):
            path = root / "videos" / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_media(path, Video(ticks=range(30 * number, 30 * number + 20), size=(48, 32)))
    return root


def command(folder, out, *words):
    return [
        *(
            sys.executable,
            str(RUN_NET),
            "--cfg",
            str(folder / "instance_bank.yaml"),
        ),
        *("DATA.PATH_TO_DATA_DIR", str(folder / "videos"), "OUTPUT_DIR", str(folder / out)),
        *WORDS,
        *map(str, words),
    ]


def run(folder, out, *words):
    done = subprocess.run(
        command(folder, out, *words), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / out


def losses(out):
    stats = [s for s in read_stats(out) if s["_type"] == "train_iter"]
    return {s["step"]: s["loss"] for s in stats}


def state(out):
    return load_checkpoint(find_last_checkpoint(out))["model_state"]


@pytest.fixture(scope="module")
def straight(folder):
    return run(folder, "straight")


def test_it_learns_and_is_evaluated(straight):
    assert state(straight)["bank"].shape == (8, 64)
    curve = list(losses(straight).values())
    assert len(curve) == 8
    assert sum(curve[-3:]) < sum(curve[1:4])  # once all rows have been written
    assert "class_retrieval_r1" in (straight / "results.json").read_text(encoding="utf-8")


def test_killed_and_resumed_it_is_the_same_bit_for_bit(folder, straight):
    process = subprocess.Popen(
        command(folder, "killed", "TRAIN.CHECKPOINT_PERIOD", 1),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        if find_last_checkpoint(folder / "killed") or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run(folder, "killed")
    assert losses(resumed) == losses(straight)
    for name, value in state(straight).items():
        assert torch.equal(value, state(resumed)[name]), name


@pytest.mark.distributed
def test_two_processes_are_as_one(folder):
    words = ("TRAIN.MAX_STEPS", 4, "SOLVER.BASE_LR", 1e-4, "TEST.ENABLE", False)
    one = run(folder, "one", *words)
    two = run(folder, "two", *words, "NUM_CPU_PROCESSES", 2)
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
        command(folder, "mistake", *words), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
