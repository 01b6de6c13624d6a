"""The report on when crops and attention help finds the effects that were put into made-up runs."""

import json
import sys
from pathlib import Path

import pytest
from helpers.sweeps import write_sweep_json

from slowfast.engine.sweep.schema import load_sweep

ROOT = Path(__file__).parents[3]
METRICS = ("linear_probe_top1", "class_retrieval_r1")


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))
    import report_when

    return report_when


def write_runs(report, path, gain_of):
    """Write a sweep.json with 0.3 + 0.05 per seed + the gain of a variant."""
    runs = [
        (
            {"run": pooling + crops},
            seed,
            dict.fromkeys(METRICS, 0.3 + 0.05 * seed + gain_of(pooling, crops)),
        )
        for pooling in report.POOLINGS
        for crops in report.WITHIN
        for seed in range(5)
    ]
    path.parent.mkdir()
    return str(write_sweep_json(path, runs))


def test_effects_are_found_in_the_sets_that_have_them(report, tmp_path, monkeypatch, capsys):
    gains = {
        "neither": lambda pooling, crops: 0.0,
        "order": lambda pooling, crops: 0.2 * (pooling == "transformer"),
        "shared_audio": lambda pooling, crops: 0.1 * bool(crops) + 0.1 * (crops in report.CROPS),
        "both": lambda pooling, crops: 0.2 * (pooling == "transformer") - 0.1 * bool(crops),
    }
    files = [
        write_runs(report, tmp_path / f"when_{name}" / "sweep.json", gain)
        for name, gain in gains.items()
    ]
    monkeypatch.setattr(sys, "argv", ["report", *files, "--out", str(tmp_path / "when")])
    report.main()
    text = capsys.readouterr().out
    assert text == (tmp_path / "when.md").read_text(encoding="utf-8")
    assert (tmp_path / "when.png").stat().st_size > 10_000
    rows = [line.split(" | ") for line in text.splitlines() if line.count(" | ") == 7]
    found = {
        (row[0].strip("| ").split(",")[0], row[1]): (row[3], row[-1].strip(" |")) for row in rows
    }
    open_ = "interval includes 0"
    assert found["transformer", "classes differ in order"] == ("+20.0", "helps")
    assert found["transformer", "classes share audio"] == ("+0.0", open_)
    assert found["within-modal loss (views or crops)", "classes share audio"] == ("+17.5", "helps")
    assert found["crops", "classes share audio"] == ("+10.0", "helps")
    assert found["within-modal loss (views or crops)", "both kinds of class"] == ("-10.0", "hurts")
    assert {value for (_, name), value in found.items() if name == "neither"} == {("+0.0", open_)}
    assert found["both crops and transformer", "classes differ in order"] == ("+20.0", "helps")


def test_probability_of_improvement_counts_pairs_of_seeds_and_half_of_ties(report):
    values = {"a": {0: 0.1, 1: 0.3}, "b": {0: 0.1, 1: 0.2}}
    effect = report.Effect("", (("a", "b"),), frozenset())
    assert report.improvement(values, effect.pairs) == (0.5 + 0 + 1 + 1) / 4
    assert effect.differences(values) == [0.0, 0.1]


def test_a_file_of_no_set_is_refused(report, tmp_path):
    with pytest.raises(
        ValueError, match="expected a folder or file named when_neither, when_order"
    ):
        report.set_of(tmp_path / "other" / "sweep.json")


@pytest.mark.parametrize("name", ["neither", "order", "shared_audio", "both"])
def test_the_sweeps_have_the_variants_of_the_report_and_seeds_of_their_own(report, name):
    sweep = load_sweep(ROOT / f"configs/StiCA/sweeps/when_{name}.yaml")
    (axis,), (stage,) = sweep.axes, sweep.stages
    assert set(axis.bundles) == {
        pooling + crops for pooling in report.POOLINGS for crops in report.WITHIN
    }
    assert not set(stage.seeds) & set(range(1, 80))


def test_what_is_missing_is_listed_and_the_rest_is_reported(report, tmp_path, monkeypatch, capsys):
    """One run lacks a metric, another all of them; four sets have no file."""
    path = Path(write_runs(report, tmp_path / "when_order" / "sweep.json", lambda *_: 0.0))
    content = json.loads(path.read_text())
    for run in content["runs"]:
        if run["variant"]["run"] == "transformer+both" and run["seed"] in (1, 4):
            run["metrics"] = {METRICS[0]: 0.5} if run["seed"] == 1 else {}
    path.write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["report", str(path), "--out", str(tmp_path / "when")])
    report.main()
    text = capsys.readouterr().out
    assert "- classes differ in order: transformer+both, seeds 1, 4\n" in text
    assert text.count("no results (when_") == 4
    assert "no results on input crops (when_order_input.yaml)" in text
    row = next(
        r for r in text.splitlines() if r.startswith("| both crops and transformer, against")
    )
    assert row.split(" | ")[6] == "4"  # seeds 0 to 3 have the first metric


def test_runs_of_the_same_seed_are_compared_over_sets_and_metrics(report):
    """Seeds differ more than variants do, which only the comparison of equal seeds sees."""
    from improvement import improvement, wins_by_seed, wins_of_groups

    pairs = (("a", "b"),)
    better = {"a": {s: s + 0.5 for s in range(5)}, "b": {s: float(s) for s in range(5)}}
    mixed = {"a": {0: 1.0, 1: 0.0, 7: 0.0}, "b": {0: 1.0, 1: 1.0}}
    assert improvement(better, pairs) == 15 / 25
    assert wins_by_seed([better], pairs) == [1.0] * 5
    assert wins_by_seed([better, mixed], pairs) == [0.75, 0.5]
    assert wins_by_seed([{"a": {0: 1.0}}], pairs) == []
    other_seeds = {"a": {10: 0.0, 11: 1.0, 12: 0.0}, "b": {10: 1.0, 11: 0.0, 12: 0.0}}
    groups = [[better, better], [other_seeds]]
    assert wins_of_groups(groups, pairs) == pytest.approx([2 / 3, 1.0, 2.5 / 3])


def test_real_video_with_seeds_of_its_own_counts_with_the_demo_sets(report):
    """The component wins in each run of the demo set and in none of the words."""
    pairs = report.HYPOTHESES[2].pairs
    first, second = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}

    def values(seeds, wins):
        high, low = (first, second) if wins else (second, first)
        return {v: dict.fromkeys(seeds, float(v in high)) for v in high | low}

    sets = {"order": values((81, 82), wins=True), "words": values((141, 142, 143), wins=False)}
    rows = [
        line
        for line in report.summary({"m": sets}).split("\n")
        if report.HYPOTHESES[2].title in line
    ]
    assert [row.split(" | ")[1:] for row in rows] == [
        ["100 %", "100 %", "100 to 100", "2", "order |"],
        ["50 %", "50 %", "50 to 50", "2", "order, words |"],
    ]
    other = values((83, 84), wins=True)  # unfinished sweeps
    unlike = report.summary({"m": {"order": sets["order"], "both": other}})
    assert report.HYPOTHESES[2].title not in unlike


def test_runs_on_input_crops_belong_to_the_set_of_their_name(report, tmp_path):
    paths = [
        tmp_path / f"when_both{suffix}" / "sweep.json" for suffix in ("", *report.INPUT_SUFFIXES)
    ]
    assert report.files_of_sets(paths) == {"both": paths}


@pytest.mark.parametrize("name", ["neither", "order", "shared_audio", "both"])
def test_sweeps_on_input_crops_have_the_set_and_the_seeds_of_the_others(report, name):
    (base,) = load_sweep(ROOT / f"configs/StiCA/sweeps/when_{name}.yaml").stages
    for suffix, arm in zip(report.INPUT_SUFFIXES, report.INPUT_ARMS, strict=True):
        sweep = load_sweep(ROOT / f"configs/StiCA/sweeps/when_{name}{suffix}.yaml")
        (axis,), (stage,) = sweep.axes, sweep.stages
        assert set(axis.bundles) == {pooling + arm for pooling in report.POOLINGS}
        assert stage.overrides == base.overrides
        assert set(stage.seeds) <= set(base.seeds)
