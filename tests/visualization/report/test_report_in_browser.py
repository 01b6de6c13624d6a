"""The report of a run and a comparison in Chromium."""

import pytest
from helpers.runs import HOSTILE, make_run, train_records, write_predictions

from slowfast.visualization.report import write_comparison, write_report

pytestmark = pytest.mark.browser


def test_report(tmp_path, open_page):
    folder = make_run(tmp_path / f"run {'x' * 60}", videos=60, classes=6)
    (folder / "bad_media.csv").write_text(
        f"split,path,reason\ntrain,/{'a' * 200}/{HOSTILE},no_video\n"
    )
    (folder / "warnings.log").write_text(f"[01:02:03] {HOSTILE} {'b' * 300}\n")
    opened = open_page(write_report(folder))
    opened.check()
    classes = "#classes .list"
    opened.sort(classes, "accuracy")
    values = [float(text.rstrip(" %")) for text in opened.column(classes, 2)]
    assert values == sorted(values)
    assert len(values) == 6
    opened.page.locator("#configuration summary").click()
    keys = "#configuration details .list"
    assert opened.filter(keys, "base_lr") == 2  # SOLVER.BASE_LR and its scaling over machines
    links = opened.page.locator("#sections a").all_inner_texts()
    assert links[:2] == ["Summary", "Metrics"]
    opened.check()


@pytest.mark.parametrize("classes", [150, 400])
def test_many_classes(tmp_path, open_page, classes):
    folder = make_run(tmp_path / "run", videos=0)
    write_predictions(folder, 1200, classes, wrong=0.5)
    opened = open_page(write_report(folder))
    opened.check()
    assert ("Confusion matrix" in opened.page.content()) == (classes <= 200)
    assert len(opened.column("#classes .list", 0)) == 50
    opened.page.locator("#classes .list .more").first.click()
    assert len(opened.column("#classes .list", 0)) == 100


def test_comparison(tmp_path, open_page):
    runs = [
        make_run(
            tmp_path / f"run{n}",
            records=train_records(2 + n),
            videos=0,
            SOLVER__BASE_LR=0.1 * n + 0.1,
        )
        for n in range(10)
    ]
    opened = open_page(write_comparison(runs, tmp_path / "comparison.html"))
    opened.check()
    legend = opened.page.locator("#curves .u-legend").first.inner_text()
    assert all(f"run{n}" in legend for n in range(10))
    opened.sort("#runs .list", "steps")
    opened.sort("#runs .list", "steps")
    assert opened.column("#runs .list", 0)[0] == "run9"
