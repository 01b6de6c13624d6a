"""The chart of a sweep: what is shown where, from sweep.json alone."""

import itertools
import json

import pytest
from matplotlib.figure import Figure

from slowfast.visualization import sweep_plot
from slowfast.visualization.sweep_plot import plot_sweep


def content(metrics=("top1_acc",), half=0.05, shown=True):
    """A sweep of two variants and two seeds."""
    runs, results = [], []
    for metric, (name, mean) in itertools.product(metrics, (("ours", 0.6), ("base", 0.3))):
        place = {"stage": "", "variant": {"run": name}}
        for value in (mean - 0.02, mean + 0.02):
            runs.append({**place, "metrics": {metric: {"value": value, "chance": 0.1}}})
        low, high = (mean - half, mean + half) if half else (None, None)
        difference = {"mean": 0.3} if name == "ours" else None
        numbers = {"mean": mean, "low": low, "high": high, "chance": 0.1}
        results.append(
            {**place, "metric": metric, **numbers, "shown": shown, "difference": difference}
        )
    return {"format": 1, "compare": {"run": "base"}, "runs": runs, "results": results}


@pytest.fixture
def plot(tmp_path, monkeypatch):
    """Plot; returns the axes that are visible."""
    figures = []
    real = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), real(f, *a, **k)))

    def plot(data):
        (tmp_path / "sweep.json").write_text(json.dumps(data), encoding="utf-8")
        path = plot_sweep(tmp_path)
        assert path == tmp_path / "sweep.png"
        assert path.read_bytes().startswith(b"\x89PNG")
        return figures[-1], [axis for axis in figures[-1].axes if axis.get_visible()]

    return plot


def test_dots_intervals_and_chance(plot):
    figure, (axis,) = plot(content())
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()]
    assert ([60.0], [0]) in lines
    assert ([30.0], [1]) in lines
    assert any(x == pytest.approx([55.0, 65.0]) and y == [0, 0] for x, y in lines)
    assert any(x == pytest.approx([58.0, 62.0]) and y == [0.24, 0.24] for x, y in lines)
    assert any(x == [10.0, 10.0] for x, _ in lines)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["ours", "base"]
    colors = {line.get_ydata()[0]: line.get_color() for line in axis.get_lines()[:-1]}
    assert colors[0] != colors[1]  # the variant that others are compared with has its own
    low, high = axis.get_xlim()
    assert low < 10 < 65 < high
    text = figure.get_supxlabel()
    assert text == (
        "dot and bar: mean and 95 % interval;  small dots: single runs;  dashed: chance level;  "
        "orange: base"
    )


def test_a_file_of_an_earlier_version(plot):
    text = json.dumps(content()).replace('"variant"', '"cell"')
    _, (axis,) = plot(json.loads(text))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["ours", "base"]


def test_one_run_each_has_no_bar(plot):
    data = content(half=None)
    data["runs"] = data["runs"][::2]
    _, (axis,) = plot(data)
    assert len(axis.get_lines()) == 3  # two dots and chance


def test_a_panel_for_each_metric_labels_once_in_a_row(plot):
    _, axes = plot(content(metrics=[f"metric_{number}" for number in range(5)]))
    assert [axis.get_title(loc="left") for axis in axes] == [f"metric_{n}" for n in range(5)]
    labeled = [axis.yaxis.get_tick_params()["labelleft"] for axis in axes]
    assert labeled == [True, False, False, True, False]


def test_an_interval_wider_than_possible_is_cut_off(plot):
    _, (axis,) = plot(content(half=3.0))
    assert axis.get_xlim() == (-2.0, 102.0)


def test_nothing_to_plot(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps(content(shown=False)), encoding="utf-8")
    assert plot_sweep(tmp_path) is None
    assert not (tmp_path / "sweep.png").exists()


def test_too_many_panels_are_left_out(plot, monkeypatch):
    monkeypatch.setattr(sweep_plot, "_MAX_PANELS", 2)
    _, axes = plot(content(metrics=["a", "b", "c"]))
    assert len(axes) == 2
