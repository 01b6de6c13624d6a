"""A mistake in a call of a report ends in one message and status 2, never in a traceback."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EVIDENCE = ROOT / "docs/evidence"
OF_SWEEPS = {
    "ablation": ["demo_ablation"],
    "when": ["when_both", "when_order"],
    "words": ["words", "words_digits"],
    "summary": [],
}
OF_RUNS = ("factors", "shortcuts", "loss")
SCRIPTS = {
    **{name: ROOT / f"projects/stica/report_{name}.py" for name in (*OF_SWEEPS, *OF_RUNS)},
    "tuning": ROOT / "projects/stica/report_tuning.py",
    "receptive": ROOT / "projects/stica/report_receptive.py",
    "contrastive": ROOT / "projects/contrastive/report.py",
}


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a report; returns its status, and what it wrote to standard error."""
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))

    def run(name, *words):
        spec = importlib.util.spec_from_file_location(f"report_{name}", SCRIPTS[name])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", ["report", *map(str, words)])
        try:
            status = module.main()
        except SystemExit as stop:  # of the parser
            status = stop.code
        return status, capsys.readouterr().err

    return run


def results(name):
    return [EVIDENCE / f"{stem}.json" for stem in OF_SWEEPS[name]]


@pytest.mark.parametrize("name", OF_SWEEPS)
def test_a_new_folder_is_made(name, call, tmp_path):
    out = tmp_path / "new" / "v0.5"
    assert call(name, *results(name), "--out", out) == (0, "")
    assert sorted(path.name for path in out.parent.iterdir()) == ["v0.5.md", "v0.5.png"]


@pytest.mark.parametrize("name", OF_SWEEPS)
def test_a_folder_that_cannot_be_made(name, call, tmp_path):
    (tmp_path / "file").write_text("")
    status, error = call(name, *results(name), "--out", tmp_path / "file" / "x")
    assert status == 2
    assert error.startswith("error: ")
    assert "file" in error


@pytest.mark.parametrize("name", ["ablation", "when"])
def test_an_unknown_metric(name, call, tmp_path):
    status, error = call(name, *results(name), "--metric", "top9", "--out", tmp_path / "x")
    assert status == 2
    assert "top9" in error


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1}', '"text"', ""])
@pytest.mark.parametrize("name", ["ablation", "when", "words", *OF_RUNS, "tuning", "contrastive"])
def test_a_file_that_is_no_result(name, content, call, tmp_path):
    folder = tmp_path / "when_both"
    folder.mkdir()
    for file in ("sweep.json", "results.json"):
        (folder / file).write_text(content)
    place = [folder / "sweep.json"] if name in OF_SWEEPS else [folder]
    words = ["--set", "demo", *place] if name == "contrastive" else place
    status, error = call(name, *words, "--out", tmp_path / "x")
    assert status == 2
    assert "when_both" in error


@pytest.mark.parametrize("name", OF_RUNS)
def test_runs_that_are_gone(name, call, tmp_path):
    shutil.copy(EVIDENCE / "grid_ablation.json", tmp_path / "sweep.json")
    status, error = call(name, tmp_path, "--out", tmp_path / "x")
    assert status == 2
    assert str(tmp_path) in error


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_sweep_without_finished_runs(name, call, tmp_path):
    content = json.loads((EVIDENCE / "grid_ablation.json").read_text(encoding="utf-8"))
    for run in content["runs"]:
        run.update(state="new", metrics={})
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    status, error = call(name, tmp_path, "--out", tmp_path / "x")
    assert status == 2
    assert "finished" in error
    assert not (tmp_path / "x.md").exists()


@pytest.mark.parametrize(
    "words", [["KEY"], ["NO.KEY", "1"], ["DATA.NUM_FRAMES", "many"], ["MODEL.ARCH", "nope"]]
)
def test_overrides_that_are_wrong(words, call, tmp_path):
    head = ["--backbones", "C3D", "--out", tmp_path / "x", "--"]
    status, error = call("receptive", *head, *words)
    assert status == 2
    assert words[0] in error


def make_run(sweep, stats):
    """A sweep of one finished run, with what its training logged."""
    folder = sweep / "avg" / "seed_1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("TRAIN: {BATCH_SIZE: 16}\n")
    (folder / "json_stats.log").write_text("".join(f"json_stats: {json.dumps(s)}\n" for s in stats))
    run = {"name": "avg/seed_1", "stage": "", "variant": {"run": "avg"}, "seed": 1}
    run |= {"state": "finished", "metrics": {}}
    content = {"sweep": "a.yaml", "runs": [run], "results": []}
    (sweep / "sweep.json").write_text(json.dumps(content))


@pytest.mark.parametrize("stats", [[], [{"_type": "train_epoch", "loss": 1.0}]])
def test_a_loss_that_was_not_logged(stats, call, tmp_path):
    make_run(tmp_path, stats)
    status, error = call("loss", tmp_path, "--loss", "loss_odd", "--out", tmp_path / "x")
    assert status == 2
    assert "loss_odd" in error
    assert "loss." in error if stats else "none." in error


def test_a_loss_is_tabulated(call, tmp_path):
    make_run(tmp_path, [{"_type": "train_epoch", "loss": 1.0}])
    assert call("loss", tmp_path, "--loss", "loss", "--out", tmp_path / "x") == (0, "")
    assert "| run avg | 1.00 |" in (tmp_path / "x.md").read_text(encoding="utf-8")


def test_a_report_of_methods_on_a_file_that_is_none(call, tmp_path):
    file = tmp_path / "x.json"
    for content in ("{", "[1]", '{"demo": 1}', '{"demo": [{"method": "a"}]}'):
        file.write_text(content)
        status, error = call("contrastive", "--set", "demo", file, "--out", tmp_path / "y")
        assert status == 2
        assert str(file) in error
