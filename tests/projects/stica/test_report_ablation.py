"""The ablation's report finds the effects that were put into made-up runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.sweeps import write_sweep_json

METRIC = "class_retrieval_r1"
SCRIPT = Path(__file__).parents[3] / "projects/stica/report_ablation.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("report_ablation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up(report, tmp_path):
    """Space +10, time +2, both +12, transformer +5 points, no interaction; seeds differ a lot."""
    gains = {"": 0.0, "+space": 0.10, "+time": 0.02, "+both": 0.12}
    variants = {p + c: 0.05 * (p != "avg") + g for p in report.POOLINGS for c, g in gains.items()}
    variants |= {"transformer_mean+both": 0.17, "transformer_first+both": 0.07}
    wobble = [0.001, -0.001, 0.002, 0.0, -0.002]
    runs = [
        ({"run": name}, seed, {METRIC: 0.2 + seed / 10 + gain + wobble[(seed + n) % 5]})
        for n, (name, gain) in enumerate(variants.items())
        for seed in range(5)
    ]
    return write_sweep_json(tmp_path / "results.json", runs)


def test_effects_are_found(report, tmp_path):
    values, chance = report.read_values([made_up(report, tmp_path)], METRIC)
    assert chance == 0.1
    expected = [10, 2, 12, 5, 17, 0, 0, 10]
    for (_, weights), points in zip(report.CLAIMS, expected, strict=True):
        found = report.contrast(values, weights)
        assert 100 * sum(found) / 5 == pytest.approx(points, abs=0.3)
    seen = [
        line.split("|")[-2].strip()
        for line in report.contrast_table(values, "claim").splitlines()[2:]
    ]
    open_ = "interval includes 0"
    assert seen == ["yes", "yes", "yes", "yes", "yes", open_, open_, "yes"]


def test_a_seed_that_lacks_a_variant_is_left_out(report, tmp_path):
    values, _ = report.read_values([made_up(report, tmp_path)], METRIC)
    del values["avg"][3]
    assert len(report.contrast(values, report.CLAIMS[0].weights)) == 4


def test_command_line(report, tmp_path):
    path = made_up(report, tmp_path)
    words = [str(path), "--metric", METRIC, "--out", str(tmp_path / "out")]
    command = [sys.executable, str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| transformer | 45.0" in done.stdout
    assert (tmp_path / "out.md").read_text() == done.stdout
    assert (tmp_path / "out.png").stat().st_size > 10000


def controls(report, tmp_path, variants):
    runs = [
        ({"run": variant}, seed, {METRIC: value + seed / 10})
        for variant, value in variants.items()
        for seed in range(5)
    ]
    return write_sweep_json(tmp_path / "controls.json", runs)


def test_controls_are_reported_with_the_ablation(report, tmp_path):
    variants = {"no_order-avg+both": 0.3, "no_order-transformer+both": 0.3}
    variants["released-pairing"] = 0.27
    paths = [made_up(report, tmp_path), controls(report, tmp_path, variants)]
    values, _ = report.read_values(paths, METRIC)
    lines = report.contrast_table(values, "control").splitlines()[2:]
    told = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in lines}
    # alike in every seed; and of variants that were not run nothing is told
    assert told["some classes differ in order alone: transformer"] == "yes"
    assert told["no classes differ in order alone: transformer"] == "interval includes 0"
    assert not any("R(2+1)D" in name or "positions" in name for name in told)
    assert "+10.0 |" in report.contrast_table(values, "as described, not as released")
    alone, _ = report.read_values(paths[:1], METRIC)
    assert report.contrast_table(alone, "control") == ""


def test_a_variant_in_two_sweeps_is_refused(report, tmp_path):
    path = made_up(report, tmp_path)
    with pytest.raises(ValueError, match="another variant 'avg'"):
        report.read_values([path, path], METRIC)


def test_a_metric_that_nobody_measured_is_refused(report, tmp_path):
    with pytest.raises(ValueError, match="--metric top1: no run of"):
        report.read_values([made_up(report, tmp_path)], "top1")


@pytest.mark.slow
def test_the_ablation_in_miniature(tmp_path):
    """One seed of all variants, on a handful of clips: the format is checked, not the outcome."""
    root = SCRIPT.parents[2]
    out = tmp_path / "sweep"
    words = ["--only", "*seed_61", "--output_dir", str(out), "--jobs", "2"]
    tiny = "DEMO_SET.NUM_TRAIN_PER_CLASS 2 DEMO_SET.NUM_TEST_PER_CLASS 1 SOLVER.MAX_EPOCH 1"
    tiny += " SOLVER.WARMUP_EPOCHS 0.0 TRAIN.BATCH_SIZE 10"
    sweep = [sys.executable, "tools/sweep_net.py", "--sweep"]
    sweep += ["configs/StiCA/sweeps/demo_ablation.yaml", *words, *tiny.split()]
    done = subprocess.run(sweep, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    script = [sys.executable, str(SCRIPT), str(out / "sweep.json"), "--out", str(tmp_path / "out")]
    text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert text.count("| average |") == text.count("| transformer, first token |") == 2
    rows = [line for line in text.splitlines() if line.startswith(("| average", "| transformer |"))]
    for row in rows:
        values = [float(word) for word in row.strip("|").split("|")[1:]]
        assert len(values) == 4
        assert all(0 <= value <= 100 for value in values)
    assert (tmp_path / "out.png").stat().st_size > 10000
