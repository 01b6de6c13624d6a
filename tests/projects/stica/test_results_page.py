"""The numbers of RESULTS.md and when_to_use_crops.md are those of the results on file."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from slowfast.engine.sweep.results import RunResult

ROOT = Path(__file__).parents[3]
EVIDENCE = ROOT / "docs" / "evidence"
RESULTS = (ROOT / "projects/stica/RESULTS.md").read_text(encoding="utf-8")
CROPS_PAGE = (ROOT / "docs/when_to_use_crops.md").read_text(encoding="utf-8")
UNFINISHED: dict[str, set[int]] = {}
"""Sweep -> seeds that were not all run."""
SWEEPS = ("demo_ablation", "demo_controls", "demo_released", "demo_r2plus1d")
NUMBER = r"[+-]?\d+\.\d"
CITED = re.compile(rf"({NUMBER}) points\s+(?:better |worse )?\(({NUMBER}) to\s({NUMBER})\)")
ROW = re.compile(rf"\| +({NUMBER}) \| +({NUMBER}) to ({NUMBER}) \|")


def _without_a_row(text, reports):
    """Find the differences of a text, with their intervals, that are no row, nor one negated."""
    rows = {tuple(map(float, row)) for row in ROW.findall(reports)}
    cited = [tuple(map(float, found)) for found in CITED.findall(text)]
    return [c for c in cited if not {c, (-c[0], -c[2], -c[1])} & rows]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"projects/stica/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tables(text):
    return [part for part in text.strip().split("\n\n") if part.startswith("|")]


@pytest.mark.parametrize(("out", "sweeps"), [("demo_ablation", 1), ("demo_controls", 4)])
def test_the_report_is_made_of_the_results(out, sweeps, tmp_path, monkeypatch, capsys):
    report = load("report_ablation")
    paths = [str(EVIDENCE / f"{name}.json") for name in SWEEPS[:sweeps]]
    monkeypatch.setattr(sys, "argv", ["report", *paths, "--out", str(tmp_path / out)])
    report.main()
    assert (EVIDENCE / f"{out}.md").read_text(encoding="utf-8") == capsys.readouterr().out


def test_the_page_begins_with_all_differences(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))  # it imports report_ablation
    report = load("report_summary")
    monkeypatch.setattr(sys, "argv", ["report", "--out", str(tmp_path / "summary")])
    report.main()
    text = capsys.readouterr().out
    assert (EVIDENCE / "summary.md").read_text(encoding="utf-8") == text
    assert tables(text)[0] in RESULTS.split("## Published")[0]
    assert text.count("|\n") > 10


def test_the_summary_reads_folders_of_sweeps(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))
    report = load("report_summary")
    for name in ("when_words", "words_weights"):
        folder = tmp_path / "sweeps" / name
        folder.mkdir(parents=True)
        (folder / "sweep.json").write_bytes((EVIDENCE / f"{name}.json").read_bytes())
    words = ["report", "--evidence", str(tmp_path / "sweeps"), "--out", str(tmp_path / "summary")]
    monkeypatch.setattr(sys, "argv", words)
    report.main()
    text = capsys.readouterr().out
    assert "weight 0.5 from epoch 4 | `linear_probe_top1` | +0.9 | -0.7 to +2.6 | 5 |" in text
    assert "Not measured: demo_ablation, " in text


def test_the_loss_of_an_epoch_is_reported(tmp_path):
    (tmp_path / "config.yaml").write_text("TRAIN: {BATCH_SIZE: 32}", encoding="utf-8")
    rows = [{"_type": "train_epoch", "loss_cross": loss} for loss in (3.0, 2.0, 1.0)]
    lines = [f"json_stats: {json.dumps(row)}\n" for row in rows]
    (tmp_path / "json_stats.log").write_text("".join(lines), encoding="utf-8")
    read = load("report_loss").read_run
    run = RunResult("a", "", {"run": "a"}, 1, "finished", {})
    for epoch, loss in ((None, 1.0), (3, 1.0), (1, 3.0)):
        assert read(tmp_path, run, "loss_cross", epoch)["loss_cross"] == loss
    for epoch in (0, 4, -1):
        with pytest.raises(ValueError, match=rf"--epoch {epoch}: .* the epochs 1 to 3"):
            read(tmp_path, run, "loss_cross", epoch)


def test_the_page_cites_the_loss_before_crops_begin():
    measured = json.loads((EVIDENCE / "words_loss.json").read_text(encoding="utf-8"))
    text = load("report_loss").tabulate(measured, "loss_cross")
    assert (EVIDENCE / "words_loss.md").read_text(encoding="utf-8") == text
    losses = [run["loss_cross"] for run in measured if run["variant"] == "run transformer"]
    assert len(losses) == 5
    told = f"({min(losses):.2f} to {max(losses):.2f}; the plateau is {measured[0]['plateau']:.2f})"
    assert told in RESULTS
    assert max(losses) < measured[0]["plateau"]


def test_the_answer_cites_the_differences():
    answer = RESULTS.split("## Published")[0]
    told = (EVIDENCE / "summary.md").read_text(encoding="utf-8")
    told += (EVIDENCE / "when.md").read_text(encoding="utf-8")
    assert len(CITED.findall(answer)) >= 3
    assert _without_a_row(answer, told) == []


@pytest.mark.parametrize(("name", "seeds"), [("words_recipe", {92}), ("words_recipe_2d", {92, 93})])
def test_the_page_has_what_was_tried_on_words(name, seeds):
    rows = json.loads((EVIDENCE / f"{name}.json").read_text(encoding="utf-8"))
    text = (EVIDENCE / f"{name}.md").read_text(encoding="utf-8")
    assert load("report_tuning").tabulate(rows) == text
    assert tables(text)[0] in RESULTS
    assert {row["seed"] for row in rows} == seeds  # in no other table


def test_the_factors_are_tabulated():
    measured = json.loads((EVIDENCE / "demo_factors.json").read_text(encoding="utf-8"))
    text = (EVIDENCE / "demo_factors.md").read_text(encoding="utf-8")
    report = load("report_factors")
    assert report.tabulate(measured, report.COLUMNS, report.SHARES) == text
    assert tables(text)[0] in RESULTS


def test_the_page_has_the_tables_of_the_reports():
    for table in tables((EVIDENCE / "demo_ablation.md").read_text(encoding="utf-8")):
        assert table in RESULTS
    told = tables((EVIDENCE / "demo_controls.md").read_text(encoding="utf-8"))
    others = [t for t in told if t.startswith(("| control", "| as described"))]
    assert len(others) == 4  # two groups, two metrics
    for table in others:
        assert table in RESULTS


def test_the_page_has_the_faces_tables():
    measured = json.loads((EVIDENCE / "grid_loss.json").read_text(encoding="utf-8"))
    assert load("report_loss").tabulate(measured, "loss_cross").strip() in RESULTS
    assert tables((EVIDENCE / "grid_ablation.md").read_text(encoding="utf-8"))[0] in RESULTS


def test_the_page_has_the_tables_of_the_spoken_words():
    assert tables((EVIDENCE / "words_crops.md").read_text(encoding="utf-8"))[0] in RESULTS
    assert tables((EVIDENCE / "crop_controls.md").read_text(encoding="utf-8"))[0] in RESULTS


def test_the_pages_have_what_pretraining_is_worth_on_words(tmp_path, monkeypatch, capsys):
    files = [str(EVIDENCE / f"{name}.json") for name in ("words", "words_digits")]
    monkeypatch.setattr(sys, "argv", ["report", *files, "--out", str(tmp_path / "words")])
    load("report_words").main()
    text = capsys.readouterr().out
    assert (EVIDENCE / "words.md").read_text(encoding="utf-8") == text
    for table in tables(text):
        assert table in RESULTS
    for page in ("README.md", "docs/reproducing.md"):
        page_text = (ROOT / page).read_text(encoding="utf-8")
        for number in ("84.2 %", "16.1 %", "81.9 %", "43.1 %"):
            assert number in page_text
            assert f"| {number} |" in text


@pytest.mark.parametrize("path", sorted(EVIDENCE.glob("*.json")), ids=lambda path: path.stem)
def test_every_run_has_finished_and_none_names_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'"/(?!data/)|[a-z]:\\\\', text)
    content = json.loads(text)
    if "runs" in content:
        left = {run["seed"] for run in content["runs"] if run["state"] != "finished"}
        assert left == UNFINISHED.get(path.stem, set())


def test_the_page_has_the_variants_on_spoken_words(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))
    told = (EVIDENCE / "when.md").read_text(encoding="utf-8")
    effects = [t for t in tables(told) if t.startswith("| component |")]
    assert effects[0] in RESULTS  # of the linear probe
    assert effects[-1] in RESULTS  # over all sets and metrics
    (table,) = (t for t in tables(RESULTS) if t.startswith("| spoken words |"))
    for pooling in ("average", "transformer"):
        (row,) = (line for line in table.split("\n") if line.startswith(f"| {pooling} |"))
        assert f"| spoken words {row}" in told.split("**`class_retrieval_r1`**")[0]
    assert (EVIDENCE / "words_shortcuts.md").read_text(encoding="utf-8").strip() in RESULTS
    measured = json.loads((EVIDENCE / "words_shortcuts.json").read_text(encoding="utf-8"))
    report = load("report_shortcuts")
    found = load("report_factors").tabulate(measured, report.COLUMNS, report.SHARES)
    assert found == (EVIDENCE / "words_shortcuts.md").read_text(encoding="utf-8")


def test_the_seeds_are_not_those_that_were_tuned_on():
    for name in SWEEPS:
        text = (EVIDENCE / f"{name}.json").read_text(encoding="utf-8")
        assert {run["seed"] for run in json.loads(text)["runs"]} == {61, 62, 63, 64, 65}


def test_the_page_has_the_table_of_what_crops_see():
    results = json.loads((EVIDENCE / "receptive.json").read_text(encoding="utf-8"))["results"]
    table = load("report_receptive").table(results)
    assert (EVIDENCE / "receptive.md").read_text(encoding="utf-8") == table
    assert table in RESULTS


def _cost(found):
    rows = {r["source"]: r for r in reversed(found["rows"]) if r["crops"] == 16}  # small ones win
    ratios = [rows[s][k] for s in ("feature", "input") for k in ("time_ratio", "memory_ratio")]
    return f"| {found['title']} | {' | '.join(f'×{ratio:.2f}' for ratio in ratios)} |"


def _crops_page_facts():
    """Lines of reports and sentences that the page on crops may have."""
    costs = json.loads((ROOT / "benchmarks/results/crop_cost.json").read_text(encoding="utf-8"))
    losses = json.loads((EVIDENCE / "grid_loss.json").read_text(encoding="utf-8"))
    reports = ("summary", "words_crops", "receptive", "crop_controls")
    return [
        *(line for r in reports for line in (EVIDENCE / f"{r}.md").read_text("utf-8").split("\n")),
        *(_cost(found) for found in costs["results"].values()),
        f"ln 16 = {losses[0]['plateau']:.2f}",
    ]


NAMED = (  # parts of rows that the page on crops cites and does not show
    *("| -66.7 | -76.9 to -56.5 |", "| default | 83.8 % |"),
    *("| smaller | 82.5 % |", "| larger | 88.3 % |"),
)


def test_the_page_on_crops_quotes_the_reports():
    """A number of its text is in one of its tables, or in a fact that is named here."""
    facts = _crops_page_facts()
    lines = CROPS_PAGE.split("\n")
    rows = [line for line in lines if re.match(r"\|.*\d\.\d.* \|$", line)]
    rows = [line for line in rows if not re.search(r"`[A-Z_]+\.", line)]  # keys, with a reason
    assert len(rows) > 10
    assert [row for row in rows if row not in facts] == []
    assert facts[-1] in CROPS_PAGE
    prose = "\n".join(line for line in lines if line not in rows)
    assert _without_a_row(prose, "\n".join(facts)) == []
    squeezed = [" ".join(fact.split()) for fact in facts]
    assert [named for named in NAMED if not any(named in fact for fact in squeezed)] == []
    number = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
    known = {n for text in (*rows, *NAMED, facts[-1]) for n in number.findall(text)}
    prose = re.sub(r"`[^`]*`", "", CITED.sub("", prose))
    assert set(number.findall(prose)) - known - {"0.5", "0.1"} == set()  # weights
