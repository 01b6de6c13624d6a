"""Means and intervals against scipy and by hand; what counts and what does not."""

import csv
import itertools
import json

import numpy as np
import pytest
from helpers.sweeps import runs_of, write_results, write_sweep
from scipy import stats

from slowfast.engine.sweep.report import collect, estimate, format_markdown, write_report
from slowfast.engine.sweep.run_state import load_states
from slowfast.engine.sweep.schema import load_sweep

TEXT = """
cfg: a.yaml
output_dir: out
grid: {pooling: {avg: {A.B: 1}, transformer: {A.B: 2}}, A.C: [1, 2]}
seeds: [1, 2, 3]
folds: [1, 2]
compare: {pooling: avg}
"""
TWO = """
cfg: a.yaml
output_dir: o
runs: {base: {A: 1}, ours: {A: 2}}
seeds: [1, 2]
compare: base
"""


def collected(folder, text, values=None, state="finished"):
    """Collect a sweep whose runs measured ``values[run]``; None: what the folder holds."""
    runs = runs_of(folder, text)
    for item in load_states(runs, {run.name: {} for run in runs}):
        if item.name in (values or {}):
            write_results(item.run.folder, **values[item.name])
            item.state, item.seconds = state, 1.5
            item.save()
    return collect(load_sweep(write_sweep(folder, text)), runs, load_states(runs, None))


def random_values(folder, text, *metrics):
    rng, runs = np.random.default_rng(0), runs_of(folder, text)
    return {r.name: {m: float(rng.uniform(0.2, 0.9)) for m in metrics} for r in runs}


def find(content, metric, **variant):
    (found,) = [
        result
        for result in content["results"]
        if result["metric"] == metric
        and result["variant"] == {k.replace("_", "."): v for k, v in variant.items()}
    ]
    return found


def t_interval(values):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return [np.mean(values), low, high]


@pytest.mark.parametrize("folds", [[None], [1, 2, 3, 4]])
def test_seeds_are_the_measurements_and_folds_are_averaged(folds):
    table = np.random.default_rng(1).uniform(size=(3, len(folds)))
    values = {(s, fold): table[s, n] for s in range(3) for n, fold in enumerate(folds)}
    *numbers, num, planned, unit = estimate(values, range(3), folds).values()
    assert numbers == pytest.approx(t_interval(table.mean(axis=1)))
    assert (num, planned, unit) == (3, 3, "seed")


def test_of_one_seed_the_folds_are_the_measurements():
    *numbers, num, planned, unit = estimate(
        {(None, 1): 0.5, (None, 2): 0.7}, [None], [1, 2, 3]
    ).values()
    assert numbers == pytest.approx(t_interval([0.5, 0.7]))
    assert (num, planned, unit) == (2, 3, "fold")


def test_a_seed_without_all_folds_does_not_count():
    found = estimate({(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.1}, [1, 2], [1, 2])
    assert list(found.values()) == [pytest.approx(0.6), None, None, 1, 2, "seed"]
    assert estimate({(2, 1): 0.1}, [1, 2], [1, 2]) is None


def test_one_run_stands_alone():
    found = estimate({(None, None): 0.3}, [None], [None])
    assert list(found.values()) == [0.3, None, None, 1, 1, "run"]


def test_variants_and_paired_differences(tmp_path):
    values = random_values(tmp_path, TEXT, "top1_acc", "knn")
    content = collected(tmp_path, TEXT, values)
    assert len(content["runs"]) == len(values) == 2 * 2 * 3 * 2
    assert len(content["results"]) == 2 * 4
    for metric, lr in itertools.product(("top1_acc", "knn"), "12"):
        avg, transformer = (
            [
                np.mean([values[f"{variant},A.C={lr}/seed_{s}/fold_{f}"][metric] for f in (1, 2)])
                for s in (1, 2, 3)
            ]
            for variant in ("pooling=avg", "pooling=transformer")
        )
        base = find(content, metric, pooling="avg", A_C=lr)
        other = find(content, metric, pooling="transformer", A_C=lr)
        assert base["difference"] is None
        assert other["mean"] == pytest.approx(np.mean(transformer))
        difference = other["difference"]
        expected = t_interval(np.subtract(transformer, avg))
        assert [difference[name] for name in ("mean", "low", "high")] == pytest.approx(expected)
        assert difference["excludes_zero"] is bool(expected[1] > 0 or expected[2] < 0)
        assert (base["chance"], base["num"], base["unit"]) == (pytest.approx(0.1), 3, "seed")


def test_pairing_takes_out_what_seeds_have_in_common(tmp_path):
    easy = {1: 0.2, 2: 0.8}
    values = {f"base/seed_{s}": {"m": v} for s, v in easy.items()}
    values |= {f"ours/seed_{s}": {"m": v + 0.05 + 0.001 * s} for s, v in easy.items()}
    content = collected(tmp_path, TWO, values)
    ours = find(content, "m", run="ours")
    assert ours["low"] < 0.2  # by itself no one could tell
    assert ours["difference"]["excludes_zero"] is True


def test_only_pairs_count_in_a_difference(tmp_path):
    values = {"base/seed_1": {"m": 0.5}, "ours/seed_1": {"m": 0.7}, "ours/seed_2": {"m": 0.9}}
    content = collected(tmp_path, TWO, values)
    difference = find(content, "m", run="ours")["difference"]
    assert (round(difference["mean"], 6), difference["low"], difference["num"]) == (0.2, None, 1)
    assert difference["excludes_zero"] is None
    assert "+20.0" in format_markdown(content)


@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
def test_only_finished_runs_count(tmp_path, state):
    text = "cfg: a.yaml\noutput_dir: o\n"
    content = collected(tmp_path, text, {"run": {"m": 0.5}}, state)
    assert content["runs"][0]["state"] == state
    assert content["runs"][0]["metrics"] == {}
    assert content["results"] == []
    assert format_markdown(content) == ""


def test_runs_of_another_sweep_do_not_count(tmp_path):
    text = "cfg: a.yaml\noutput_dir: o\noverrides: {A: 1}\n"
    collected(tmp_path, text, {"run": {"m": 0.5}})
    assert collected(tmp_path, text)["runs"][0]["state"] == "finished"
    (row,) = collected(tmp_path, text.replace("A: 1", "A: 2"))["runs"]
    assert (row["state"], row["metrics"], row["seconds"]) == ("changed", {}, None)


def test_what_a_run_measured(tmp_path):
    text = "cfg: a.yaml\noutput_dir: o\n"
    collected(tmp_path, text, {"run": {}})
    content = {
        "format": 1,
        "records": [{"metric": "a"}],
        "a": {"before": 0.1, "after": 0.5, "chance": 0.2},
        "b": {"value": 0.3, "chance": None},
        "c": {"before": 0.1, "chance": 0.2},
    }
    (tmp_path / "out/run/results.json").write_text(json.dumps(content), encoding="utf-8")
    (row,) = collected(tmp_path, text)["runs"]
    measured = {"a": {"value": 0.5, "chance": 0.2}, "b": {"value": 0.3, "chance": None}}
    assert (row["metrics"], row["seconds"], len(row["config_hash"])) == (measured, 1.5, 64)


def test_the_table(tmp_path):
    values = {
        "base/seed_1": {"top1_acc": 0.25},
        "base/seed_2": {"top1_acc": 0.35},
        "ours/seed_1": {"top1_acc": 0.505},
        "ours/seed_2": {"top1_acc": 0.605},
    }
    content = collected(tmp_path, TWO, values)
    lines = format_markdown(content).splitlines()
    fields = [[field.strip() for field in line.strip("|").split("|")] for line in lines]
    assert fields[0] == [
        *["metric", "run", "mean", "95 % interval", "n", "chance"],
        *["minus base", "95 % interval", "beyond 0"],
    ]
    interval = "-33.5 to 93.5"  # 12.706 * 0.05 on either side
    assert fields[2] == ["top1_acc", "base", "30.0 %", interval, "2 seeds", "10.0 %", "", "", ""]
    assert fields[3][:3] == ["", "ours", "55.5 %"]
    assert fields[3][6:] == ["+25.5", "+25.5 to +25.5", "yes"]
    assert len({len(line) for line in lines}) == 1


def test_stages_have_tables_of_their_own(tmp_path):
    text = """
output_dir: o
stages: {one: a.yaml, two: {cfg: b.yaml, folds: [1, 2, 3]}}
grid: {two.A: [1, 2]}
metrics: ["top*"]
"""
    values = {"one": {"top1": 0.5, "knn": 0.1}}
    values |= {f"two/two.A={a}/fold_{f}": {"top5": 0.1 * f} for a in (1, 2) for f in (1, 2)}
    content = collected(tmp_path, text, values)
    table = format_markdown(content)
    assert table.count("## ") == 2
    assert "knn" not in table
    assert "2 of 3 folds" in table
    assert "1 run" in table
    assert {r["metric"]: r["shown"] for r in content["results"]} == {
        "top1": True,
        "knn": False,
        "top5": True,
    }


def test_the_files(tmp_path):
    content = collected(tmp_path, TEXT, random_values(tmp_path, TEXT, "top1_acc"))
    write_report(tmp_path / "new", content)
    assert json.loads((tmp_path / "new/sweep.json").read_text(encoding="utf-8")) == content
    assert "24 of 24 runs are finished" in (tmp_path / "new/table.md").read_text(encoding="utf-8")
    lines = (tmp_path / "new/table.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert len(rows) == 4
    for row in rows:  # in full precision
        result = find(content, "top1_acc", pooling=row["pooling"], A_C=row["A.C"])
        assert float(row["mean"]) == result["mean"]
        if result["difference"]:
            assert float(row["difference_low"]) == result["difference"]["low"]
            assert row["excludes_zero"] == str(result["difference"]["excludes_zero"])
        else:
            assert row["difference"] == ""
