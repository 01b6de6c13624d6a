"""The report of a run, without a browser."""

import json
import re
import time

import pytest
from helpers.runs import HOSTILE, make_run, train_records, write_predictions, write_stats

from slowfast.config import UserError
from slowfast.visualization.report import Run, write_comparison, write_report


def text_of(path):
    """Visible text, without tags, scripts and styles."""
    html = re.sub(
        r"<(script|style).*?</\1>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def charts(path):
    """Title -> label of a curve -> (x, y)."""
    found = re.findall(
        r"<figcaption>([^<]*)</figcaption>\s*<div data-plot=\"lines\"[^>]*>"
        r"<script type=\"application/json\">(.*?)</script>",
        path.read_text(encoding="utf-8"),
    )
    return {
        title: {s["label"]: (s["x"], s["y"]) for s in json.loads(data)["series"]}
        for title, data in found
    }


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", SOLVER__BASE_LR=0.3)


def test_what_is_on_the_page(run):
    (run / "bad_media.csv").write_text(f"split,path,reason\ntrain,{HOSTILE},no_video: x\n")
    (run / "warnings.log").write_text(
        "[01:02:03] first\nsecond line\n[01:02:04] first\nsecond line\n"
    )
    text = text_of(write_report(run))
    for piece in (
        "top1_acc 84.0 % 95 % interval 79.0 to 89.0 %; chance 10.0 %",
        "class_retrieval_r1 90.0 % 95 % interval 85.0 to 95.0 %; before 30.0 %; chance 10.0 %",
        "epochs 3 of 3 30 optimizer steps",
        "device CPU 1 process, 4 cores",
        "time 3 min 00 s",  # of both starts
        "The model is the bottleneck: 85 % of the time (0.425 s of each iteration)",
        "1 file could not be read",
        "no_video: x",
        "first second line",
        "SOLVER.BASE_LR 0.3 0.1 command line",
        "MODEL.MODEL_NAME &#39;SlowFast&#39; &#39;SlowFast&#39; command line",  # unlike the YAML
    ):
        assert piece in text, piece
    assert text.count("first second line") == 1
    assert "synthetic" not in text


def test_curves_are_the_log(run):
    found = charts(write_report(run))
    steps = list(range(1, 31))
    losses = found["Losses (median of each logging interval)"]
    assert losses["loss"] == (steps, [3.0 / s for s in steps])
    assert losses["loss_space"][1][0] == 1.5
    assert set(losses) == {"loss", "loss_space"}
    assert found["Validation (1 is 100 %)"]["top1_acc"][0] == [10, 20, 30]
    assert "Learning rate" in found
    assert found["Memory"].keys() == {"training process (peak)"}  # no GPU


def test_resumed_steps_are_shown_once(run):
    records = train_records()
    again = [{**r, "loss": 7.0} for r in records if r["_type"] == "train_iter" and r["step"] > 25]
    write_stats(run, [*records, *again])
    with (run / "json_stats.log").open("a") as file:
        file.write('json_stats: {"_type": "train_iter", "step": 31, "lo')  # killed here
    x, y = charts(write_report(run))["Losses (median of each logging interval)"]["loss"]
    assert x == list(range(1, 31))
    assert y[-5:] == [7.0] * 5


def test_names_are_text(run):
    write_predictions(run, 8, 2, wrong=1.0, name=lambda row: HOSTILE)
    html = write_report(run).read_text(encoding="utf-8")
    assert html.count("<script>alert") == 0
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in html


def test_classes(run):
    text = text_of(write_report(run))
    wrong = int(re.search(r"40 videos, (\d+) of them with a wrong prediction", text)[1])
    rows = Run.open(run).rows("wrong_predictions.csv")
    assert wrong == len(rows) > 0
    assert "Confusion matrix" in text
    row = Run.open(run).rows("per_class.csv")[0]
    assert f"class 0 10 {100 * float(row['accuracy']):.1f} %" in text


def test_tests_of_several_views_are_told_apart(run):
    (run / "predictions.csv").unlink()
    for views in ("1_views", "3_views"):
        (run / views).mkdir()
        write_predictions(run / views, 12, 3)
    (run / "eval").mkdir()
    write_predictions(run / "eval", 5, 3)
    (run / "eval" / "config.yaml").write_text("A: 1\n")  # a run of its own
    assert [name for name, _ in Run.open(run).predictions] == ["1_views", "3_views"]
    text = text_of(write_report(run))
    assert "Confusion matrix of 1 views" in text
    assert "Confusion matrix of 3 views" in text


def test_a_run_that_only_started(tmp_path):
    folder = make_run(tmp_path / "run", records=[], videos=0)
    for name in ("results.json", "run.json", "json_stats.log"):
        (folder / name).unlink()
    text = text_of(write_report(folder))
    assert "Configuration" in text
    assert "Throughput" not in text


def test_demo_runs_say_so(tmp_path):
    folder = make_run(tmp_path / "run", DATA__DEMO_CFG="demo.yaml", videos=0)
    assert "Its results say nothing about real video." in text_of(write_report(folder))


def test_damaged_files_are_named(run, tmp_path):
    with pytest.raises(UserError, match=r"nothing is no folder; expected the OUTPUT_DIR"):
        write_report(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"has no config\.yaml"):
        write_report(tmp_path)
    (run / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json is damaged: it is not JSON"):
        write_report(run)
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml is not valid YAML"):
        write_report(run)
    (run / "config.yaml").write_text("text")
    with pytest.raises(UserError, match="is no configuration: got str"):
        write_report(run)


def test_comparison(tmp_path):
    one = make_run(tmp_path / "a" / "run", SOLVER__BASE_LR=0.3, videos=0)
    two = make_run(
        tmp_path / "b" / "run",
        records=train_records(2, second_loss=False, wait=0.7),
        SOLVER__BASE_LR=0.1,
        DATA__PATH_TO_DATA_DIR="/elsewhere",
        videos=0,
    )
    write_report(one)
    page = write_comparison([one, two], tmp_path / "comparison.html")
    text, found = text_of(page), charts(page)
    assert "SOLVER.BASE_LR 0.3 0.1" in text
    assert "PATH_TO_DATA_DIR" not in text  # a path
    assert 'href="a/run/report.html"' in page.read_text(encoding="utf-8")
    assert "b/run. The data loader is the bottleneck: 70 %" in text
    assert found["loss (mean of each epoch)"].keys() == {"a/run", "b/run"}
    assert found["loss_space (mean of each epoch)"].keys() == {"a/run"}
    assert found["top1_acc"]["b/run"][0] == [10, 20]
    assert "top1_acc 84.0 % [79.0, 89.0] 84.0 % [79.0, 89.0] 10.0 %" in text
    with pytest.raises(UserError, match="is given twice"):
        write_comparison([one, one], page)


@pytest.mark.slow
def test_ten_thousand_videos_are_small_and_fast(tmp_path):
    folder = make_run(tmp_path / "run", records=train_records(100, 100), videos=0)
    long = "/data/videos/of/some/class with a long name/"
    write_predictions(folder, 10_000, 400, wrong=0.9, name=lambda row: f"{long}{row:08}.mp4")
    started = time.process_time()
    page = write_report(folder)
    assert time.process_time() - started < 60
    assert page.stat().st_size < 20e6
    assert "with the highest scores" not in text_of(page)  # all of the 9,000 are there
