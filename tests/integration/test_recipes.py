"""MViT's shipped recipe trains on the demo set, with RandAugment, random erasing and mixup."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from slowfast.datasets.demo.generator import DemoSpec, generate_demo
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.logging import read_stats

ROOT = Path(__file__).parents[2]
SMALL = (
    "NUM_GPUS 0 TRAIN.BATCH_SIZE 3 DATA_LOADER.NUM_WORKERS 1 DATA.NUM_FRAMES 4 "
    "DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64 "
    "SOLVER.MAX_EPOCH 3 SOLVER.WARMUP_EPOCHS 1.0 TRAIN.CHECKPOINT_PERIOD 1 TEST.ENABLE False "
    "MODEL.NUM_CLASSES 10 LOG_PERIOD 1 MVIT.EMBED_DIM 24 LOG_MODEL_INFO False"
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    spec = DemoSpec(num_train_per_class=1, num_test_per_class=1)
    return generate_demo(tmp_path_factory.mktemp("videos"), spec, num_workers=0)


def start(videos, output_dir):
    words = [*SMALL.split(), "DATA.PATH_TO_DATA_DIR", str(videos), "OUTPUT_DIR", str(output_dir)]
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "tools" / "run_net.py")),
            *("--cfg", "Kinetics/MVITv2_S_16x4.yaml", *words),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def losses(output_dir):
    if not (output_dir / "json_stats.log").exists():
        return {}
    stats = [s for s in read_stats(output_dir) if s["_type"] == "train_iter"]
    return {s["step"]: (s["loss"], s["top1_err"]) for s in stats}


@pytest.mark.slow
def test_mvit_is_killed_and_resumes_bit_for_bit(videos, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert start(videos, straight).wait() == 0
    expected = losses(straight)
    assert len(expected) == 9  # 3 steps of 3 videos, 6 clips, in 3 epochs

    process = start(videos, killed)
    # In the second epoch, once the checkpoint of the first is written (in the background).
    while max(losses(killed), default=0) < 4 or not find_last_checkpoint(killed):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(losses(killed)) < 9
    assert start(videos, killed).wait() == 0
    assert "resuming from" in (killed / "stdout.log").read_text(encoding="utf-8")
    assert losses(killed) == expected
    states = [read_checkpoint_file(find_last_checkpoint(out)) for out in (straight, killed)]
    for name, value in states[0]["model_state"].items():
        assert torch.equal(value, states[1]["model_state"][name]), name
