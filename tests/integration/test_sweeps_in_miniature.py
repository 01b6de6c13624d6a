"""The sweeps behind the tables of RESULTS.md run in miniature: the format counts, not the outcome.

demo_ablation.yaml is in tests/projects/stica/test_report_ablation.py, demo_protocols.yaml in
tests/smoke.py, and the folds of UCF-101 and HMDB-51 in test_full_scale.py.
"""

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from helpers.data_files import write
from helpers.media_files import Audio, write_media

from slowfast.config import load_config
from slowfast.datasets.demo.generator import generate_demo, spec_from_cfg
from slowfast.engine.sweep.schema import load_sweep

ROOT = Path(__file__).parents[2]
SHORT = ("SOLVER.WARMUP_EPOCHS", "0.0", "TRAIN.BATCH_SIZE", "10")
ONE_EPOCH = ("SOLVER.MAX_EPOCH", "1")  # where it is not what varies; an epoch has two steps
DEMO = ("DEMO_SET.NUM_TRAIN_PER_CLASS", "2", "DEMO_SET.NUM_TEST_PER_CLASS", "1")
ON_THE_DEMO_SET = {
    "StiCA/sweeps/when_both.yaml": "report_when.py",
    "StiCA/sweeps/when_both_input.yaml": "",
    "StiCA/sweeps/when_both_input_count.yaml": "",
    "StiCA/sweeps/crop_controls.yaml": "",
    "StiCA/sweeps/demo_controls.yaml": "report_ablation.py",
    "StiCA/sweeps/demo_released.yaml": "",
    "StiCA/sweeps/demo_r2plus1d.yaml": "",
    "StiCA/sweeps/demo_precision.yaml": "",
    "Contrastive/sweeps/compare.yaml": "../contrastive/report.py",
}
ON_A_FOLDER = {
    "StiCA/sweeps/words.yaml": "f*/weights*",
    "StiCA/sweeps/words_digits.yaml": "*/weights=random/",
    "StiCA/sweeps/words_crops.yaml": "*",
    "StiCA/sweeps/when_words.yaml": "transformer+both*",
    "StiCA/sweeps/words_positions.yaml": "*",
    "StiCA/sweeps/words_weights.yaml": "*",
    "Contrastive/sweeps/compare_words.yaml": "*",
    "StiCA/sweeps/grid_ablation.yaml": "*",
}
MORE_EPOCHS = ("StiCA/sweeps/demo_controls.yaml",)
FEW = ("PROBE.FEW_SHOT_K", "[1]", "PROBE.FEW_SHOT_EPISODES", "2", "MODEL.NUM_CLASSES", "10")
OWN = {
    "StiCA/sweeps/words.yaml": (
        *("DATA.TRAIN_CLIPS_PER_VIDEO", "1", "DATA.TRAIN_VIDEOS_PER_CLASS", "2"),
    ),
}
"""Overrides of one sweep."""
OF_RUNS = {
    "StiCA/sweeps/demo_r2plus1d.yaml": ("report_factors.py", "--variants", "r2plus1d-avg"),
    "StiCA/sweeps/grid_ablation.yaml": ("report_loss.py",),
}
"""Reports that read the folders of the runs."""


def run_one_seed(yaml, out, *words, only="*"):
    """Run the variants of the first seed, and check that all have numbers, a table and a figure."""
    sweep = load_sweep(str(ROOT / "configs" / yaml))
    seed = min(stage.seeds[0] for stage in sweep.stages if stage.seeds)
    run_some(yaml, out, *words, only=f"{only}seed_{seed}")


def run_some(yaml, out, *words, only):
    """Run what a pattern names, and check that all have numbers, a table and a figure."""
    command = [sys.executable, "tools/sweep_net.py", "--sweep", f"configs/{yaml}", "--jobs", "2"]
    command += ["--only", only, "--output_dir", str(out), *SHORT, *words]
    command += () if yaml in MORE_EPOCHS else ONE_EPOCH
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((out / "sweep.json").read_text())
    mine = [r for r in content["runs"] if fnmatch(r["name"], only)]
    assert mine
    assert {run["state"] for run in mine} == {"finished"}
    for run in mine:
        assert all(0 <= entry["value"] <= 1 for entry in run["metrics"].values())
        assert run["metrics"] or run["stage"] == "pretrain"
    table = (out / "table.md").read_text()
    assert re.search(r"\| *\d+\.\d % *\|", table), table
    assert (out / "sweep.png").stat().st_size > 5000


def report_on_the_runs(yaml, out):
    """Run the report that reads the runs of a sweep, if there is one."""
    if yaml not in OF_RUNS:
        return
    script, *words = OF_RUNS[yaml]
    command = [sys.executable, f"projects/stica/{script}", out, *words, "--out", out / "told"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "told.md").read_text() == done.stdout
    assert re.search(r"\| -?\d+\.\d", done.stdout), done.stdout
    assert json.loads((out / "told.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("yaml", "report"), ON_THE_DEMO_SET.items())
def test_on_the_demo_set(yaml, report, tmp_path):
    out = tmp_path / Path(yaml).stem
    run_one_seed(yaml, out, *DEMO)
    report_on_the_runs(yaml, out)
    if report:
        script = (ROOT / "projects" / "stica" / report).resolve()
        results = ["--set", "demo", out] if script.name == "report.py" else [out / "sweep.json"]
        command = [sys.executable, script, *results, "--out", tmp_path / "report"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "report.md").read_text() == done.stdout
        assert (tmp_path / "report.png").stat().st_size > 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The videos of a demo set as anybody's: train/CLASS and test/CLASS."""
    cfg = load_config(ROOT / "configs/StiCA/R2plus1D_pretrain.yaml", list(DEMO)).cfg
    return generate_demo(tmp_path_factory.mktemp("videos"), spec_from_cfg(cfg))


@pytest.mark.slow
@pytest.mark.parametrize(("yaml", "only"), ON_A_FOLDER.items())
def test_on_a_folder(yaml, only, folder, tmp_path):
    words = ("DATA.PATH_TO_DATA_DIR", str(folder), *FEW, *OWN.get(yaml, ()))
    run_one_seed(yaml, tmp_path / "out", *words, only=only)
    report_on_the_runs(yaml, tmp_path / "out")


@pytest.mark.slow
def test_on_folds_of_audio(tmp_path):
    (tmp_path / "esc/audio").mkdir(parents=True)
    lines = ["filename,fold,category"]
    for number in range(20):  # two files of two classes in each of five folds
        name, fold = f"{number}.wav", number % 5 + 1
        lines.append(f"{name},{fold},{'low' if number < 10 else 'high'}")
        track = Audio("pcm_s16le", options={}, seconds=1.5 + number / 40)
        write_media(tmp_path / "esc/audio" / name, track)
    write(tmp_path / "esc/meta/esc50.csv", *lines)
    words = ("DATA.PATH_TO_DATA_DIR", str(tmp_path / "esc"), "MODEL.NUM_CLASSES", "2")
    only = "*/weights=random/fold_1"
    run_some("StiCA/sweeps/esc10.yaml", tmp_path / "out", *words, only=only)


def test_every_sweep_of_a_table_is_tried_somewhere():
    elsewhere = {"demo_ablation", "demo_protocols", "ucf101_folds", "hmdb51_folds"}
    # Not tried: other demo sets than in one that is.
    alike = {"when_neither", "when_order", "when_shared_audio"}
    alike |= {f"{name}{end}" for name in alike for end in ("_input", "_input_count")}
    shipped = {path.stem for path in (ROOT / "configs").glob("*/sweeps/[!_]*.yaml")}
    tried = {Path(yaml).stem for yaml in (*ON_THE_DEMO_SET, *ON_A_FOLDER, "esc10")}
    assert shipped == tried | elsewhere | alike
