"""report.py: tables of a sweep; those in RESULTS.md are made of the results on file."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EVIDENCE = ROOT / "docs" / "evidence"
PROJECT = ROOT / "projects" / "contrastive"
TUNED_ON = {61, 62, 63}


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("contrastive_report", PROJECT / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_run(sweep, method, seed, before, after, *, audio=False, peak="2.50G", sec=0.25):
    folder = sweep / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    values = {"before": before, "chance": 0.1}
    if after is not None:
        values["after"] = after
    metrics = {"class_retrieval_r1": values, "linear_probe_top1": values}
    (folder / "results.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text(f"AUDIO:\n  ENABLE: {str(audio).lower()}\n")
    steps = [
        {"_type": "train_iter", "dt_net": sec, "step": step, "gpu_mem": "0.00G", "RAM_peak": peak}
        for step in (10, 20)
    ]
    lines = [f"json_stats: {json.dumps(step)}\n" for step in steps]
    (folder / "json_stats.log").write_text("".join(lines))


@pytest.fixture
def sweep(tmp_path):
    sweep = tmp_path / "sweep"
    for seed, after in ((1, 0.5), (2, 0.7), (3, 0.6)):
        make_run(sweep, "AVID", seed, 0.3, after, audio=True)
        make_run(sweep, "GDT", seed, 0.3, after + 0.2, audio=True, peak="3.00G", sec=seed / 4)
    make_run(sweep, "NPID", 1, 0.3, 0.4)
    make_run(sweep, "NPID", 2, 0.3, 0.6)
    make_run(sweep, "NPID", 3, 0.3, None)  # not finished
    return sweep


def run(report, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, words)])
    report.main()


def test_all_methods_of_the_table_have_the_same_seeds(report, sweep, monkeypatch, capsys):
    out = sweep.parent / "out" / "all"
    run(report, monkeypatch, sweep, "--out", out)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| GDT", "| AVID", "| NPID"]
    assert "| AVID | 2 | 60.0 | +30.0 (-97.1 to +157.1) |" in printed.out  # t of one degree: 12.7
    assert lines[2].endswith("| 0.25 | 3.00 |")
    assert "seeds 1, 2." in lines[-1]
    assert printed.err.strip().endswith("AVID 3, GDT 3")
    assert out.with_suffix(".md").read_text() == printed.out
    assert {r["seed"] for r in json.loads(out.with_suffix(".json").read_text())} == {1, 2}
    assert out.with_suffix(".png").stat().st_size > 1000


def test_methods_with_audio_have_a_table_of_all_of_their_seeds(report, sweep, monkeypatch, capsys):
    make_run(sweep, "MMV", 2, 0.3, 0.5, audio=True)
    run(report, monkeypatch, sweep, "--cross-modal", "--out", sweep.parent / "audio")
    printed = capsys.readouterr()
    assert "NPID" not in printed.out
    assert "| GDT | 3 | 80.0 | +50.0 (+25.2 to +74.8) |" in printed.out  # 4.303 * 0.1 / sqrt(3)
    assert "| MMV | 1 | 50.0 | +20.0 |" in printed.out
    assert printed.err == ""


def test_without_a_common_seed_there_is_no_table(report, sweep, monkeypatch, capsys):
    make_run(sweep, "MMV", 9, 0.3, 0.5, audio=True)
    with pytest.raises(SystemExit):
        run(report, monkeypatch, sweep, "--out", sweep.parent / "out")
    assert "no seed is finished for all methods" in capsys.readouterr().err


def tables(text):
    return [part for part in text.strip().split("\n\n") if part.startswith("|")]


@pytest.mark.parametrize("name", ["contrastive", "contrastive_cross_modal"])
def test_the_page_has_the_tables_of_the_results(report, name):
    runs = json.loads((EVIDENCE / f"{name}.json").read_text(encoding="utf-8"))
    made = (EVIDENCE / f"{name}.md").read_text(encoding="utf-8")
    assert report.tabulate(runs) == made
    assert tables(made)[0] in (PROJECT / "RESULTS.md").read_text(encoding="utf-8")
    seeds = {(run["method"], run["seed"]) for run in runs}
    assert len(seeds) == len(runs)
    if name == "contrastive":  # all methods have the same seeds
        assert len(seeds) == len({m for m, _ in seeds}) * len({s for _, s in seeds})
    assert not TUNED_ON & {seed for _, seed in seeds}
    assert (EVIDENCE / f"{name}.png").is_file()


@pytest.mark.parametrize(
    ("method", "seed", "metric", "when"),
    [
        ("SwAV", 71, "class_retrieval_r1", "after"),
        ("SwAV", 72, "class_retrieval_r1", "after"),
        ("CMC", 71, "class_retrieval_r1", "after"),
        ("CMC", 72, "class_retrieval_r1", "after"),
        ("CMA, no batch norm (tuning)", 61, "class_retrieval_r1", "before"),
        ("CMA, no batch norm (tuning)", 61, "class_retrieval_r1", "after"),
        ("CMA, batch norm (tuning)", 61, "class_retrieval_r1", "after"),
        ("CMA, batch norm, temperature 0.2 (tuning)", 61, "class_retrieval_r1", "after"),
    ],
)
def test_the_numbers_in_the_text_are_those_of_the_runs(method, seed, metric, when):
    name = "contrastive_tuning" if "tuning" in method else "contrastive"
    runs = json.loads((EVIDENCE / f"{name}.json").read_text(encoding="utf-8"))
    (run,) = (run for run in runs if (run["method"], run["seed"]) == (method, seed))
    text = (PROJECT / "RESULTS.md").read_text(encoding="utf-8")
    assert f"{100 * run[metric][when]:.1f} %" in text.split("\n\n![")[-1]
