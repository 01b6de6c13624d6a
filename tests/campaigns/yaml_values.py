"""Wrong values in a YAML: a run works, or ends with one message that names the key.

    python tests/campaigns/yaml_values.py [--full | --count N] [--seed S]

A trial is one config key, with values of each kind of ``VALUES``: another type, negative, zero,
huge, empty, not a number. The YAML around it trains a tiny audio-visual model of a project for a
step on real files and evaluates it. Each runs in a fork of its own, with limits of time, memory and
processes.
"""

from __future__ import annotations

import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign
from campaigns.tiny_runs import session
from helpers.media_files import Audio, Video, write_media

from slowfast.cli.run_net import main as run_net
from slowfast.config import CfgNode, load_config

BASE: dict[str, Any] = yaml.safe_load("""
PROJECTS: [stica, contrastive]
OUTPUT_DIR: out
NUM_GPUS: 0
NUM_THREADS: 1
LOG_PERIOD: 1
MODEL: {MODEL_NAME: StiCA, ARCH: r2plus1d_18, POOLING: transformer, FEATURE_AUG: feature_crop,
  HEAD: stica_projection, LOSS_FUNC: stica}
RESNET: {WIDTH_PER_GROUP: 2}
STICA: {HEAD_DIM: 8, EMBED_DIM: 4}
AUDIO: {ENABLE: true, WIDTH: 2, CLIP_SEC: 0.25}
DATA: {PATH_TO_DATA_DIR: videos, NUM_FRAMES: 16, SAMPLING_RATE: 1, TRAIN_CROP_SIZE: 48,
  TRAIN_CROP_NUM_SPATIAL: 2,
  TEST_CROP_SIZE: 48, TRAIN_JITTER_SCALES: [48, 48], DECODING_SHORT_SIZE: 48}
DATA_LOADER: {NUM_WORKERS: 0}
TRAIN: {DATASET: kinetics, BATCH_SIZE: 2, MAX_STEPS: 1}
TEST: {DATASET: kinetics, BATCH_SIZE: 4, NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1,
  PROTOCOLS: [linear_probe, class_retrieval]}
SOLVER: {MAX_EPOCH: 1}
REPORT: {ENABLE: false}
TENSORBOARD: {ENABLE: false}
""")
VALUES: tuple[Any, ...] = (
    *(None, "", "abc", "no/such/file", "\x1b[31m\xfc", True, 0, 1, -1, 3, 10**6, 10**12, -(10**20)),
    *(0.0, 0.5, -0.5, 1.5, 1e30, 1e-30, math.nan, math.inf),
    *([], [0], [-1, 2], ["a"], [[1], [2]], [0.5, 0.5], [None], [10**9] * 3, {}, {"A": 1}),
)
SAMPLED = 6
LONGEST_SEC, MOST_BYTES, MOST_PROCESSES = 60.0, 6 << 30, 24
ALLOWED = (0, 1, 2)


@dataclass
class Prepared:
    """The folder in which runs start, the seed, and all keys."""

    folder: Path
    seed: int
    keys: list[str]


def all_keys() -> list[str]:
    """Every key of the framework and the projects of ``BASE``."""
    cfg = load_config(None, ["PROJECTS", str(BASE["PROJECTS"])], validate=False).cfg
    return list(_flat(cfg, ""))


def _flat(node: CfgNode, prefix: str) -> Any:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def prepare(folder: Path, seed: int) -> Prepared:
    from slowfast.cli.runner import rehearse_config

    videos = (folder / "videos").absolute()
    videos.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(6):
        path = videos / f"{number}.mp4"
        if not path.exists():
            write_media(path, Video(), Audio())
        rows.append(f"{path} {number % 2}\n")
    for split in ("train", "val", "test"):
        (videos / f"{split}.csv").write_text("".join(rows), encoding="utf-8")
    (folder / "x.yaml").write_text(yaml.safe_dump(BASE), encoding="utf-8")
    words = ["DATA.PATH_TO_DATA_DIR", str(videos)]
    rehearse_config(load_config(folder / "x.yaml", words, validate=False).cfg, [])  # warms caches
    status, printed = run(folder, {}, folder / "printed.txt")
    assert status == 0, printed
    keys = all_keys()
    random.Random(seed).shuffle(keys)  # a part of the trials is a fair sample
    return Prepared(folder, seed, keys)


def with_value(key: str, value: Any) -> dict[str, Any]:
    """Return ``BASE`` with a key."""
    tree: dict[str, Any] = yaml.safe_load(yaml.safe_dump(BASE))
    node, (*above, last) = tree, key.split(".")
    for name in above:
        node = node.setdefault(name, {})
    node[last] = value
    return tree


def run(folder: Path, tree: dict[str, Any], log: Path) -> tuple[int | str, str]:
    """Run a YAML; returns the exit status, or what limit it has reached, and what was printed."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "x.yaml").write_text(yaml.safe_dump(tree or BASE), encoding="utf-8")
    pid = os.fork()
    if pid == 0:
        _run_here(folder, log)
    status: int | str = _wait(pid)
    for left in session(pid):
        os.kill(left, signal.SIGKILL)
    return status, log.read_text(encoding="utf-8", errors="replace")


def _run_here(folder: Path, log: Path) -> None:
    status = 99
    try:
        os.setsid()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
        os.chdir(folder)
        status = run_net(["--cfg", "x.yaml"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int) -> int | str:
    start = checked = time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
        now = time.monotonic()
        if now - checked < 0.2:
            continue
        checked, found = now, session(pid)
        reason = "a hang" if now - start > LONGEST_SEC else ""
        reason = f"{len(found)} processes" if len(found) > MOST_PROCESSES else reason
        if reason:
            for process in found:
                os.kill(process, signal.SIGKILL)
            os.waitpid(pid, 0)
            return reason


def find_fault(key: str, status: int | str, printed: str) -> str:
    """Return what is wrong with how a run ended, or ""."""
    if "Traceback (most recent call last)" in printed:
        return f"traceback: {printed.strip().splitlines()[-1][:200]}"
    if status not in ALLOWED:
        return f"ended with {status}: {printed.strip()[-200:]}"
    is_named = re.search(r"\b[A-Z][A-Z0-9_]+(: |(\.[A-Z0-9_]+)+)", printed)
    if status and not is_named:
        return f"the message names no key: {printed.strip().splitlines()[-1][:200]}"
    if "\x1b" in printed:
        return "a control character is printed as it is"
    return ""


def trial(prepared: Prepared, number: int) -> Trial:
    key = prepared.keys[number]
    rng = random.Random(f"{prepared.seed} {key}")
    result = Trial(facts={"key": key, "refused": 0})
    problems = []
    for value in rng.sample(VALUES, SAMPLED):
        tree = with_value(key, value)
        status, printed = run(prepared.folder, tree, prepared.folder / "printed.txt")
        result.inputs += 1
        result.facts["refused"] += status == 2
        if fault := find_fault(key, status, printed):
            result.uncaught += 1
            problems.append(f"{key}: {value!r}: {fault}")
    result.why = "; ".join(problems)
    return result


def conclude(facts: list[dict[str, Any]]) -> str:
    """How many values were refused."""
    return f"{len(facts)} keys, {sum(row['refused'] for row in facts)} values refused"


NUM_KEYS = len(all_keys())
CAMPAIGN = Campaign(
    "yaml_values",
    "each config key with values of another type, negative, zero, huge, empty, not a number, in a "
    "YAML that trains and evaluates a tiny audio-visual model: it runs, or one message names the "
    "key; no traceback, no hang, at most 6 GB",
    sample=NUM_KEYS,
    full=NUM_KEYS,
    prepare=prepare,
    trial=trial,
    load="a process for each value",
    conclude=conclude,
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
