"""``slowfast report``, and the report at the end of a run."""

import json

import pytest
from helpers.runs import make_run
from helpers.synthetic import OVERRIDES

from slowfast.cli import report_job
from slowfast.cli.main import main
from slowfast.cli.run_net import main as run_net
from slowfast.utils.logging import read_stats


def train(tmp_path, *words):
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    out = tmp_path / "out"
    words = [*OVERRIDES.split(), "OUTPUT_DIR", str(out), *map(str, words)]
    return run_net(["--cfg", str(config), *words]), out


def test_a_run_and_a_comparison(tmp_path, capsys, monkeypatch):
    runs = [str(make_run(tmp_path / name, videos=0)) for name in ("a", "b")]
    assert main(["report", runs[0]]) == 0
    assert (tmp_path / "a" / "report.html").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["report", *runs]) == 0
    assert main(["report", *runs, "-o", "x/y.html"]) == 0
    assert (tmp_path / "comparison.html").exists()
    assert (tmp_path / "x" / "y.html").exists()
    assert "x/y.html (0.1 MB): open it in a browser" in capsys.readouterr().out


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path} has no config.yaml; expected the OUTPUT_DIR of a run, " + (
        "which holds config.yaml.\n"
    )


def test_every_run_ends_with_a_report(tmp_path):
    status, out = train(tmp_path)
    assert status == 0
    assert "top1_acc" in (out / "report.html").read_text(encoding="utf-8")
    assert f"report: {out / 'report.html'}" in (out / "stdout.log").read_text(encoding="utf-8")
    first = next(stats for stats in read_stats(out) if stats["_type"] == "train_iter")
    assert 0 <= first["share_wait"] <= first["share_wait"] + first["share_copy"] <= 1
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert [set(start["seconds"]) for start in record["starts"]] == [{"train", "test"}]
    assert record["starts"][0]["source"] == str(tmp_path / "x.yaml")
    train(tmp_path)
    assert len(json.loads((out / "run.json").read_text(encoding="utf-8"))["starts"]) == 2


def test_a_run_that_diverges_has_one_too(tmp_path):
    status, out = train(tmp_path, "TRAIN.KILL_LOSS_EXPLOSION_FACTOR", 1.02, "LOG_PERIOD", 1)
    assert status == 2
    assert not (out / "results.json").exists()
    assert (out / "json_stats.log").exists()
    assert (out / "report.html").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyError("x")])
def test_a_report_that_fails_never_fails_the_run(tmp_path, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(report_job, "write_report", fail)
    status, out = train(tmp_path, "TEST.ENABLE", False)
    assert status == 0
    warnings = (out / "warnings.log").read_text(encoding="utf-8")
    assert warnings.count("the report could not be written: ") == 1
    assert type(error).__name__ in warnings


def test_without_jinja_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(report_job, "find_spec", lambda name: None)
    status, out = train(tmp_path, "TEST.ENABLE", False)
    assert status == 0
    assert not (out / "report.html").exists()
    log = (out / "stdout.log").read_text(encoding="utf-8")
    assert log.count("report.html needs Jinja2: pip install 'slowfast-stica[report]'") == 1


def test_reports_can_be_off(tmp_path):
    status, out = train(tmp_path, "TEST.ENABLE", False, "REPORT.ENABLE", False)
    assert status == 0
    assert not (out / "report.html").exists()
