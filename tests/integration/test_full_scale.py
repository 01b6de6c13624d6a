"""docs/full_scale.md: its numbers are those of the code, its commands run on tiny files."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.published_sets import FOLDS, make_hmdb51, make_kinetics400, make_ucf101
from stica.model import STiCAOutputs
from torch.nn import functional as F

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import LOSS_REGISTRY
from slowfast.models.complexity import count_complexity
from slowfast.utils.logging import read_stats
from slowfast.utils.lr_policy import get_lr_at_epoch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "full_scale.md").read_text(encoding="utf-8")
PRETRAIN = "configs/StiCA/R2plus1D_pretrain.yaml"

TINY = (
    "NUM_GPUS 0 RESNET.WIDTH_PER_GROUP 8 DATA.NUM_FRAMES 9 DATA.TRAIN_CROP_SIZE 32 "
    "DATA.TEST_CROP_SIZE 32 DATA_LOADER.NUM_WORKERS 0 TRAIN.BATCH_SIZE 3 LOG_PERIOD 1"
)
ONE_VIEW = "DATA.TRAIN_JITTER_SCALES [32,40] TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1"
PRETRAINING = f"{TINY} AUDIO.WIDTH 8 SOLVER.WARMUP_EPOCHS 0.0 SOLVER.MAX_EPOCH 3"
SHRINK = {
    "prepare": "--jobs 1",
    "check": "--jobs 1",
    "benchmark": f"--steps 2 --warmup 1 --seconds 0.5 {PRETRAINING}",
    "train": PRETRAINING,
    "test": f"{TINY} {ONE_VIEW}",
    "sweep": f"{TINY} {ONE_VIEW} DATA.TRAIN_CLIPS_PER_VIDEO 1 TRAIN.MAX_STEPS 2",
    "export": "",
}
"""What makes each command small; the page's own words stay."""


def commands():
    """The words of each command of the page."""
    text = PAGE.replace("\\\n", " ")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def table(column):
    """The rows of the table that has this column: a dict of texts each."""
    lines = PAGE[PAGE.index(column) :].split("\n\n")[0].splitlines()
    header = PAGE[: PAGE.index(column)].rpartition("\n")[2] + lines[0]
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in (header, *lines[2:])]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def pretraining():
    return load_config(PRETRAIN, ["DATA.PATH_TO_DATA_DIR", "k400"], validate=False).cfg


def test_the_multiply_adds_are_those_of_the_network():
    views = [
        2
        * count_complexity(
            load_config(yaml, ["DATA.PATH_TO_DATA_DIR", "k400"], validate=False).cfg
        ).multiply_adds
        for yaml in (PRETRAIN, PRETRAIN.replace("_pretrain", "_60f_pretrain"))
    ]
    short, long = (f"{found / 1e9:.0f} G" for found in views)
    assert f"takes {short} multiply-adds (60 frames: {long})" in PAGE
    # Forward and backward pass, two operations for a multiply-add.
    operations = [3 * 2 * found * 151 * 240_258 for found in views]
    short, long = (f"{found / 1e18:.1f}" for found in operations)
    assert f"are {short} EFLOP (60 frames: {long})" in PAGE
    fast, slow = ([f"{found / rate / 3600:.0f}" for found in operations] for rate in (1e14, 2e13))
    assert f"**{fast[0]} GPU hours** (60 frames: {fast[1]})" in PAGE
    assert f"{slow[0]} ({slow[1]})." in PAGE


def test_a_launcher_starts_the_same_command():
    lines = commands()
    launched = [words for words in lines if words[0] in ("srun", "torchrun")]
    assert len(launched) == 2
    for words in launched:
        assert words[words.index("-m") + 1 :] in lines


def test_the_losses_are_those_of_the_code():
    cfg = pretraining()
    loss = LOSS_REGISTRY.get("stica")(cfg)
    for row in table("| clips in a step"):
        clips, gpus = int(row["clips in a step"]), int(row["GPUs, 8 per machine"])
        assert clips == gpus * cfg.TRAIN.BATCH_SIZE / 8
        # All equal; and the corners of a simplex, as far apart as points of a sphere can be.
        equal = torch.ones(clips, 1, dtype=torch.float64)
        apart = F.normalize(torch.eye(clips, dtype=torch.float64) - 1 / clips, dim=1)
        at_chance, at_best = (
            loss(STiCAOutputs(x.expand(2, -1, -1), x, *[x.expand(2, 1, -1, -1)] * 4), {})
            for x in (equal, apart)
        )
        assert {f"{float(value):.3f}" for value in at_chance.values()} == {
            row["each loss at chance"]
        }
        for name in ("loss_cross", "loss_within", "loss"):
            assert f"{float(at_best[name]):.3f}" == row[f"`{name}` at least"], name
        assert f"{float(at_best['loss_space']):.3f}" == row["`loss_within` at least"]


def test_the_steps_and_learning_rates_are_those_of_the_code():
    cfg = pretraining()
    (files,) = {int(text.replace(",", "")) for text in re.findall(r"240,258", PAGE)}
    for row in table("| epochs | step"):
        epoch = int(row["epochs"])
        assert int(row["step"]) == epoch * (files // cfg.SOLVER.BASE_BATCH_SIZE)
        assert get_lr_at_epoch(cfg, epoch, cfg.SOLVER.BASE_BATCH_SIZE) == pytest.approx(
            float(row["learning rate"])
        )
    assert epoch == cfg.SOLVER.MAX_EPOCH


def test_the_step_on_a_cpu_is_what_was_measured():
    rows = json.loads((ROOT / "benchmarks/results/step.json").read_text(encoding="utf-8"))["rows"]
    times = {row["what"]: row["ours"] for row in rows}
    what = "training step, R(2+1)D-18, 30 x 112^2, batch 2, 1 thread"
    shown = re.search(r"takes ([\d.]+) s on one CPU core, ([\d.]+) s in bfloat16", PAGE)
    assert [float(text) for text in shown.groups()] == [
        round(times[f"{what}, {dtype}"], 1) for dtype in ("float32", "bfloat16")
    ]


class Chain:
    """Runs commands of the page in a folder, made small, with data in ``data/``."""

    def __init__(self, folder):
        self.folder = folder
        paths = os.pathsep.join(path for path in sys.path if path)
        self.env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def start(self, words):
        words = [w.replace("/data/", f"{self.folder}/data/") for w in words[1:]]
        words += SHRINK[words[0]].split()
        return subprocess.Popen(
            [sys.executable, "-m", "slowfast", *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, words, status=0):
        process = self.start(words)
        text = process.communicate()[0]
        assert process.returncode == status, text
        return text

    def rows(self, name):
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def is_prepared(chain, text):
    lists = (chain.folder / "data/k400/train.csv").read_text().splitlines()
    videos = {Path(line).stem: int(line.split()[-1]) for line in lists}
    assert {name[:11]: label for name, label in videos.items()} == {
        "-0-P2FqK7uc": 0, "_4YTwq0-73Y": 0, "0347ZoDXyP0": 0,
        "---QUuC4vJs": 1, "--nQbRBEz2s": 1, "2cPLjY5AWXU": 1,
    }  # fmt: skip
    assert "DAMAGED" in (chain.folder / "data/k400/check/quarantine.csv").read_text()
    assert "without audio, or silent" in text
    assert "No labels in test" in text


def is_measured(chain, text):
    facts = json.loads((chain.folder / "k400_benchmark.json").read_text())
    runs = facts["processes"] * facts["epochs"]
    hours = runs * facts["epoch_sec"] / 3600
    assert hours == pytest.approx(runs * 6 / facts["samples_per_sec"] / 3600)
    assert f"all {facts['epochs']}: " in text


def is_evaluated(chain, text):
    results = json.loads((chain.folder / "output/k400_frozen/results.json").read_text())
    assert {"class_retrieval_r1", "knn_top1", "linear_probe_top1"} <= set(results)
    assert "weights from output/k400" in text


TESTED = {
    "ucf101": {
        fold: {
            f"v_ApplyEyeMakeup_g{fold:02d}_c01.avi": 0,
            f"v_HandStandPushups_g{fold:02d}_c01.avi": 1,
            f"v_YoYo_g{fold:02d}_c01.avi": 2,
        }
        for fold in FOLDS
    },
    "hmdb51": {
        fold: {
            f"April_09_brush_hair_u_nm_np1_ba_goo_{fold}.avi": 49,
            f"#437_How_To_Ride_A_Bike!_ride_bike_f_cm_np1_ba_med_{fold}.avi": 50,
        }
        for fold in FOLDS
    },
}
"""Label of each test video; of HMDB-51 the sorted classes begin with action_00 to action_48."""


def is_tabulated(chain, name, text):
    table_text = (chain.folder / f"output/sweeps/{name}_folds/table.md").read_text()
    assert "top1_acc" in table_text
    assert "3 folds" in table_text
    for fold, expected in TESTED[name].items():
        folder = f"output/sweeps/{name}_folds/fold_{fold}"
        log = (chain.folder / folder / "run.log").read_text()
        assert "weights from output/k400" in log
        assert re.search(r"missing: head\.projection\.bias, head\.projection\.weight$", log, re.M)
        rows = chain.rows(f"{folder}/predictions.csv")
        assert {Path(row["path"]).name: int(row["label"]) for row in rows} == expected


def is_exported(chain, out, text):
    card = (chain.folder / out / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-4.0" in card
    assert "Kinetics-400" in card
    assert ("`top1_acc`" in card) is (out == "stica-k400-ucf101")
    assert (chain.folder / out / "model.safetensors").exists()


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path):
    chain = Chain(tmp_path)
    make_kinetics400(tmp_path / "data" / "kinetics400")
    make_ucf101(tmp_path / "data" / "ucf101")
    make_hmdb51(tmp_path / "data" / "hmdb51")
    seen = []
    for words in commands():
        if words[0] != "slowfast":  # launchers and make: see above, and benchmarks/gpu
            continue
        name, out = words[1], words[words.index("-o") + 1] if "-o" in words else ""
        seen.append(name)
        if name == "train":
            is_stopped_and_resumed(chain, words)
            continue
        text = chain.run(words)
        if name == "prepare":
            is_prepared(chain, text)
        elif name == "check":
            assert "unusable    0" in text
        elif name == "benchmark":
            is_measured(chain, text)
        elif name == "test":
            is_evaluated(chain, text)
        elif name == "sweep":
            is_tabulated(chain, "ucf101" if "ucf101" in " ".join(words) else "hmdb51", text)
        else:
            is_exported(chain, out, text)
    assert seen == [
        *("prepare", "check", "check", "benchmark", "train", "test"),
        *("sweep", "sweep", "export", "export"),
    ]


def is_stopped_and_resumed(chain, words):
    """SIGTERM in the first epoch; the same command continues at the next step."""
    text = ""
    with chain.start(words) as process:
        for line in process.stdout:
            text += line
            if " iter 1/2 " in line:
                process.send_signal(signal.SIGTERM)
                break
        text += process.stdout.read()
    assert process.returncode == 75, text
    resumed = chain.run(words)
    assert "chance level of the loss: 1.099" in text  # ln 3
    assert "resuming from" in resumed
    output = chain.folder / "output" / "k400"
    stats = [s for s in read_stats(output) if s["_type"] == "train_iter"]
    assert [s["step"] for s in stats] == [1, 2, 3, 4, 5, 6]
    assert (output / "checkpoints" / "checkpoint_epoch_00003.pyth").exists()
