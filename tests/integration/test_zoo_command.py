"""``zoo://`` as a user types it: fetched, checked, loaded and tested by the command itself."""

import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.http_files import serve
from helpers.synthetic import OVERRIDES, synthetic_cfg

from slowfast.models.build import build_model

pytestmark = pytest.mark.slow  # each run of the command is a process that imports everything

TESTS = Path(__file__).parents[1]
PROJECT = '''
"""A project that only adds a row to the zoo."""
import helpers.synthetic
from slowfast.models.zoo.rows import ZooEntry, register_rows

def add_config(cfg):
    pass

@register_rows
def rows():
    yield ZooEntry("mine_r3d", {url!r}, "mine.yaml", "torchvision", "noise", "none", "this test")
'''


@pytest.fixture
def checkpoint(tmp_path):
    """Weights under torchvision's names: one layer too few, one too many, another classifier."""
    torch.manual_seed(5)
    state = build_model(synthetic_cfg(tmp_path / "none")).state_dict()
    names = {key: re.sub(r"^head\.projection", "fc", key) for key in state}
    file = {names[key].removeprefix("backbone."): value for key, value in state.items()}
    del file["layer4.1.conv2.0.weight"]
    file |= {"extra.weight": torch.zeros(2), "fc.weight": torch.zeros(7, 32)}
    content = io.BytesIO()
    torch.save(file, content)
    return content.getvalue()


@pytest.fixture
def run(tmp_path):
    """Run the command on the row whose address is given."""
    (tmp_path / "mine.yaml").write_text("PROJECTS: ['mine']\nTASK: ''\n", encoding="utf-8")

    def run_net(url, **env):
        (tmp_path / "mine.py").write_text(PROJECT.format(url=url), encoding="utf-8")
        command = [sys.executable, TESTS.parent / "tools" / "run_net.py", "--cfg", "mine.yaml"]
        words = [*OVERRIDES.split(), "OUTPUT_DIR", "out", "TRAIN.ENABLE", "False"]
        words += ["TEST.CHECKPOINT_FILE_PATH", "zoo://mine_r3d", "TEST.RANDOM_HEAD", "True"]
        paths = os.pathsep.join([str(tmp_path), str(TESTS)])
        return subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": paths, "SLOWFAST_CACHE": "cache", **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_net


def test_fetched_once_then_offline(tmp_path, checkpoint, run):
    name = f"mine-{hashlib.sha256(checkpoint).hexdigest()[:8]}.pth"
    with serve(checkpoint) as server:
        url = server.url(name)
        done = run(url)
        assert len(server.requests) == 1
    assert done.returncode == 0, done.stderr
    assert "weights from zoo://mine_r3d: 120 keys loaded, 2 of the model's missing" in done.stdout
    assert "missing: backbone.layer4.1.conv2.0.weight, head.projection.weight\n" in done.stdout
    assert "skipped, the model has no such key: backbone.extra.weight\n" in done.stdout
    assert "skipped, shape (7, 32) -> (3, 32) in the model: head.projection.weight" in done.stdout
    assert "checkpoint format: torchvision" in done.stdout
    assert "top1_acc" in (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    again = run(url, SLOWFAST_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert "weights from zoo://mine_r3d: 120 keys loaded" in again.stdout


def test_offline_without_the_file_is_one_message_and_status_2(run):
    done = run("https://example.org/zoo/mine.pth", SLOWFAST_OFFLINE="1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(
        "error: TEST.CHECKPOINT_FILE_PATH: https://example.org/zoo/mine.pth"
    )
    assert "place it at cache/downloads/example.org/zoo/mine.pth" in errors[0]
    assert "unset SLOWFAST_OFFLINE" in errors[0]
