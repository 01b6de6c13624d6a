"""The ablation's report finds the effects that were put into made-up runs."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    cells = {p + c: 0.05 * (p != "avg") + g for p in report.POOLINGS for c, g in gains.items()}
    cells |= {"transformer_mean+both": 0.17, "transformer_first+both": 0.07}
    wobble = [0.001, -0.001, 0.002, 0.0, -0.002]
    runs = [
        {
            "cell": {"run": name},
            "seed": seed,
            "metrics": {"class_retrieval_r1": 0.2 + seed / 10 + gain + wobble[(seed + n) % 5]},
        }
        for n, (name, gain) in enumerate(cells.items())
        for seed in range(5)
    ]
    path = tmp_path / "results.json"
    results = [{"metric": "class_retrieval_r1", "chance": 0.1}]
    path.write_text(json.dumps({"runs": runs, "results": results}))
    return path


def test_effects_are_found(report, tmp_path):
    values, chance = report.read_values(made_up(report, tmp_path), "class_retrieval_r1")
    assert chance == 0.1
    expected = [10, 2, 12, 5, 17, 0, 0, 10]
    for (_, weights), points in zip(report.CONTRASTS, expected, strict=True):
        found = report.contrast(values, weights)
        assert 100 * sum(found) / 5 == pytest.approx(points, abs=0.3)
    seen = [line.split("|")[-2].strip() for line in report.claim_table(values).splitlines()[2:]]
    assert seen == ["yes", "yes", "yes", "yes", "yes", "not shown", "not shown", "yes"]


def test_a_seed_that_lacks_a_cell_is_left_out(report, tmp_path):
    values, _ = report.read_values(made_up(report, tmp_path), "class_retrieval_r1")
    del values["avg"][3]
    assert len(report.contrast(values, report.CONTRASTS[0].weights)) == 4


def test_command_line(report, tmp_path):
    path = made_up(report, tmp_path)
    words = [sys.executable, str(SCRIPT), str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "| transformer | 45.0" in done.stdout
    assert (tmp_path / "out.md").read_text() == done.stdout
    assert (tmp_path / "out.png").stat().st_size > 10000
