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


def make_run(sweep, method, seed, before, after, *, peak="2.50G"):
    folder = sweep / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    values = {"before": before, "chance": 0.1}
    if after is not None:
        values["after"] = after
    metrics = {"class_retrieval_r1": values, "linear_probe_top1": values}
    (folder / "results.json").write_text(json.dumps(metrics))
    steps = [
        {"_type": "train_iter", "step": step, "gpu_mem": "0.00G", "RAM_peak": peak}
        for step in (10, 20)
    ]
    lines = [f"json_stats: {json.dumps(step)}\n" for step in steps]
    (folder / "json_stats.log").write_text("".join(lines))


@pytest.fixture
def sweep(tmp_path):
    sweep = tmp_path / "sweep"
    for seed, after in ((1, 0.5), (2, 0.7), (3, 0.6)):
        make_run(sweep, "AVID", seed, 0.3, after)
        make_run(sweep, "GDT", seed, 0.3, after + 0.2, peak="3.00G")
    make_run(sweep, "NPID", 1, 0.3, 0.4)
    make_run(sweep, "NPID", 2, 0.3, 0.6)
    make_run(sweep, "NPID", 3, 0.3, None)  # not finished
    return sweep


def run(report, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, words)])
    report.main()


def test_each_method_has_its_finished_seeds(report, sweep, monkeypatch, capsys):
    out = sweep.parent / "out" / "all"
    run(report, monkeypatch, "--set", "demo", sweep, "--out", out)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| GDT", "| AVID", "| NPID"]
    assert "| GDT | 1, 2, 3 | 80.0 | +50.0 (+25.2 to +74.8) |" in printed  # 4.303 * 0.1 / sqrt(3)
    assert "| NPID | 1, 2 | 50.0 | +20.0 (-107.1 to +147.1) |" in printed  # t of one degree: 12.7
    assert lines[4].endswith("| 3.00 |")
    assert out.with_suffix(".md").read_text() == printed
    assert len(json.loads(out.with_suffix(".json").read_text())["demo"]) == 8
    assert out.with_suffix(".png").stat().st_size > 1000


def test_results_of_two_machines_are_joined(report, sweep, monkeypatch, capsys):
    first = sweep.parent / "first"
    run(report, monkeypatch, "--set", "demo", sweep, "--out", first)
    make_run(sweep.parent / "other", "NPID", 4, 0.3, 0.5)
    capsys.readouterr()
    places = first.with_suffix(".json"), sweep.parent / "other"
    run(report, monkeypatch, "--set", "demo", *places, "--out", sweep.parent / "joined")
    assert "| NPID | 1, 2, 4 | 50.0 | +20.0 (-4.8 to +44.8) |" in capsys.readouterr().out


def test_sets_have_a_table_each_and_one_figure(report, sweep, monkeypatch, capsys):
    make_run(sweep.parent / "other", "NPID", 4, 0.3, 0.5)
    out = sweep.parent / "two"
    run(
        report, monkeypatch, "--set", "demo", sweep, "--set", "words", sweep.parent / "other",
        "--out", out,
    )  # fmt: skip
    demo, words = capsys.readouterr().out.split("**words**")
    assert demo.startswith("**demo**")
    assert "| GDT | 1, 2, 3 |" in demo
    assert "| NPID | 4 | 50.0 | +20.0 |" in words
    assert "GDT" not in words
    found = json.loads(out.with_suffix(".json").read_text())
    assert {title: len(runs) for title, runs in found.items()} == {"demo": 8, "words": 1}
    run(report, monkeypatch, "--set", "words", out.with_suffix(".json"), "--out", out)
    assert "| NPID | 4 | 50.0 |" in capsys.readouterr().out


def test_one_method_against_each_other_over_the_same_seeds(report, sweep, monkeypatch, capsys):
    out = sweep.parent / "against"
    words = ["--set", "demo", sweep, "--out", out]
    run(report, monkeypatch, *words, "--against", "GDT")
    text = capsys.readouterr().out
    assert "| AVID | 3 | +20.0 (+20.0 to +20.0) | +20.0 (+20.0 to +20.0) |" in text
    assert "| NPID | 2 | +30.0 (" in text  # seeds 1 and 2
    assert "| GDT | 3 |" not in text
    with pytest.raises(SystemExit):
        run(report, monkeypatch, *words, "--against", "BYOL")
    assert "--against BYOL: expected one of GDT, AVID, NPID" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("none",), "there is no such folder or file"),
        (("sweep", "sweep"), "is in two of the"),
        ((), "no folder is named"),
    ],
)
def test_wrong_places_are_named(report, sweep, monkeypatch, capsys, places, message):
    found = [sweep.parent / place for place in places]
    with pytest.raises(SystemExit):
        run(report, monkeypatch, "--set", "demo", *found, "--out", "unused")
    assert message in capsys.readouterr().err


def test_without_a_finished_run_there_is_no_table(report, sweep, monkeypatch, capsys):
    make_run(sweep.parent / "other", "MMV", 9, 0.3, None)
    with pytest.raises(SystemExit):
        run(report, monkeypatch, "--set", "demo", sweep.parent / "other", "--out", sweep / "out")
    assert "there is no finished run" in capsys.readouterr().err


def tables(text):
    return [part for part in text.strip().split("\n\n") if part.startswith("|")]


def seeds_of(runs):
    seeds = {}
    for run in runs:
        seeds.setdefault(run["method"], set()).add(run["seed"])
    return seeds


def test_the_page_has_the_table_of_the_results(report):
    measured = json.loads((EVIDENCE / "contrastive.json").read_text(encoding="utf-8"))
    made = tables((EVIDENCE / "contrastive.md").read_text(encoding="utf-8"))
    assert made == [
        table.strip()
        for runs in measured.values()
        for table in (report.tabulate(runs), report.against(runs, "StiCA"))
    ]
    assert {len(own) for runs in measured.values() for own in seeds_of(runs).values()} == {5}
    page = (PROJECT / "RESULTS.md").read_text(encoding="utf-8")
    assert all(table in page for table in made)
    assert not TUNED_ON & {run["seed"] for runs in measured.values() for run in runs}
    assert (EVIDENCE / "contrastive.png").is_file()


@pytest.mark.parametrize(
    ("method", "seed", "metric", "when"),
    [
        *(("SwAV", seed, "class_retrieval_r1", "after") for seed in (71, 72, 73, 74, 75)),
        *(("CMC", seed, "class_retrieval_r1", "after") for seed in (74, 75)),
    ],
)
def test_the_numbers_in_the_text_are_those_of_the_runs(method, seed, metric, when):
    measured = json.loads((EVIDENCE / "contrastive.json").read_text(encoding="utf-8"))
    (run,) = (run for run in measured["demo set"] if (run["method"], run["seed"]) == (method, seed))
    text = (PROJECT / "RESULTS.md").read_text(encoding="utf-8")
    assert f"{100 * run[metric][when]:.1f}" in text.split("\n\n* **")[1]
