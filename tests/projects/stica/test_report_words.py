"""The report on spoken words pairs the seeds of the runs and compares video with pixels."""

import importlib.util
import sys
from pathlib import Path

import pytest
from helpers.sweeps import write_sweep_json

ROOT = Path(__file__).parents[3]
SWEEP = "configs/StiCA/sweeps/words.yaml"


@pytest.fixture
def report():
    path = ROOT / "projects/stica/report_words.py"
    spec = importlib.util.spec_from_file_location("report_words", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, seeds, stage="frozen_jitter", sweep=SWEEP):
    """Write a sweep.json: a probe of 0.5 + 0.01 x seed, random weights 0.4 below, pixels 0.1."""
    runs = [
        (
            {"weights": weights},
            seed,
            {
                "linear_probe_top1": 0.5 + seed / 100 - loss,
                "baseline_mean_color": 0.2 + seed / 100,
            },
            stage,
        )
        for seed in seeds
        for weights, loss in (("pretrained", 0.0), ("random", 0.4))
    ]
    return str(write_sweep_json(path, runs, sweep=sweep))


def run(report, monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["report", *words])
    report.main()
    return capsys.readouterr().out


def test_runs_of_several_files_are_paired_by_seed(report, tmp_path, monkeypatch, capsys):
    files = write(tmp_path / "a.json", [1, 2]), write(tmp_path / "b.json", [3])
    out = tmp_path / "words"
    text = run(report, monkeypatch, capsys, *files, "--out", str(out))
    title = "video, shifted and scaled"
    assert (
        f"| {title} | `linear_probe_top1` | 52.0 % | 12.0 % | +40.0 | +40.0 to +40.0 | 3 |" in text
    )
    pixels = f"| {title}: mean color of each frame | 52.0 % | 22.0 % | +30.0 | +30.0 to +30.0 | 3 |"
    assert pixels in text
    assert "fine-tuned" not in text  # not run
    assert (tmp_path / "words.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "words.png").stat().st_size > 10_000


def test_runs_without_a_probe_have_a_table(report, tmp_path, monkeypatch, capsys):
    file = write(tmp_path / "a.json", [1, 2], "frozen_video")
    text = Path(file).read_text(encoding="utf-8").replace("linear_probe_top1", "knn_top1")
    Path(file).write_text(text, encoding="utf-8")
    text = run(report, monkeypatch, capsys, file, "--out", str(tmp_path / "words"))
    assert "| video | `knn_top1` | 51.5 % | 11.5 % | +40.0 |" in text


def test_digits_are_rows_of_their_own(report, tmp_path, monkeypatch, capsys):
    digits = "configs/StiCA/sweeps/words_digits.yaml"
    file = write(tmp_path / "d.json", [1, 2], "frozen_video", digits)
    text = run(report, monkeypatch, capsys, file, "--out", str(tmp_path / "words"))
    assert "| video, digits alone | `linear_probe_top1` | 51.5 % | 11.5 % | +40.0 |" in text
    assert "| video | " not in text


@pytest.mark.parametrize("seeds", [[], [1]])
def test_too_few_seeds_are_told(seeds, report, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(report, monkeypatch, capsys, write(tmp_path / "a.json", seeds), "--out", "x")
    assert "expected two seeds" in capsys.readouterr().err


def test_a_missing_file_is_told(report, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(report, monkeypatch, capsys, str(tmp_path / "none.json"), "--out", "x")
    assert "none.json: there is no such file" in capsys.readouterr().err


def test_every_stage_of_the_sweeps_is_reported(report):
    from slowfast.engine.sweep.schema import load_sweep

    for name in ("words", "words_digits"):
        sweep = load_sweep(ROOT / f"configs/StiCA/sweeps/{name}.yaml")
        stages = {stage.name for stage in sweep.stages if stage.name != "pretrain"}
        assert stages == {stage for of, stage in report.STAGES if of == name}
