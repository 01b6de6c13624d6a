"""Mistakes in REPORT and in the plots of TensorBoard are errors that name the key."""

import pytest

from slowfast.config import get_cfg
from slowfast.config.sections.unsupported import check_unsupported
from slowfast.engine.insight import checks
from slowfast.engine.insight.checks import check_confusion_matrix, check_report, note_board


def report(**keys):
    cfg = get_cfg()
    cfg.REPORT.update(keys)
    return [(problem.key, problem.message) for problem in check_report(cfg)]


def test_report():
    assert report() == []
    assert report(MAP="umap") == [("REPORT.MAP", "got 'umap'. Known: pca, tsne.")]
    found = dict(report(MAX_VIDEOS=1, EXAMPLES=-1))
    assert found == {
        "REPORT.MAX_VIDEOS": "got 1; expected 2 or more.",
        "REPORT.EXAMPLES": "got -1; expected 0 or more.",
    }


@pytest.mark.parametrize("installed", [True, False])
def test_tsne_needs_its_library(monkeypatch, installed):
    monkeypatch.setattr(checks, "has_scikit_learn", lambda: installed)
    found = report(MAP="tsne")
    assert len(found) == (not installed)
    assert all("pip install 'slowfast-stica[eval]'" in message for _, message in found)


def matrix(*words):
    cfg = get_cfg()
    cfg.merge_from_list(["TENSORBOARD.CONFUSION_MATRIX.ENABLE", True, *words])
    return [(problem.key, problem.message) for problem in check_confusion_matrix(cfg)]


def test_confusion_matrix(monkeypatch):
    on = ("TENSORBOARD.ENABLE", True)
    assert check_confusion_matrix(get_cfg()) == []
    assert matrix() == []  # TensorBoard is off: note_board
    ((key, message),) = matrix(*on, "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE", [8])
    assert key == "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE"
    assert "got [8]; expected [width, height]" in message
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    ((_, message),) = matrix(*on)
    assert "pip install 'slowfast-stica[report]'" in message
    monkeypatch.undo()
    assert matrix(*on) == []


def test_plots_without_tensorboard_are_noted():
    cfg = get_cfg()
    assert note_board(cfg) == []
    cfg.TENSORBOARD.HISTOGRAM.ENABLE = cfg.TENSORBOARD.CONFUSION_MATRIX.ENABLE = True
    (note,) = note_board(cfg)
    assert note.endswith(" (TENSORBOARD.ENABLE is False)")
    assert "TENSORBOARD.CONFUSION_MATRIX.ENABLE True" in note
    assert "TENSORBOARD.HISTOGRAM.ENABLE True" in note
    assert "GRAD_CAM" not in note
    assert check_unsupported(cfg) == []
    cfg.TENSORBOARD.ENABLE = True
    assert note_board(cfg) == []
    assert [problem.key for problem in check_unsupported(cfg)] == ["TENSORBOARD.HISTOGRAM.ENABLE"]
