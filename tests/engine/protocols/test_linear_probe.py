"""The linear probe, and the support vector machine, against scikit-learn."""

import logging

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table, probe_cfg

from slowfast.config import UserError
from slowfast.engine.protocols import linear_svm as svm_module
from slowfast.engine.protocols.linear_probe import linear_probe
from slowfast.engine.protocols.linear_svm import linear_svm


def standardized(table, by):
    values, reference = table.features["video"].double(), by.features["video"].double()
    return (values - reference.mean(dim=0)) / reference.std(dim=0, correction=0)


def test_the_probe_equals_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    test, gallery = blob_tables(classes=4, spread=2.0)
    result = linear_probe(Given(test, gallery), probe_cfg(WEIGHT_DECAY_GRID=[0.05]))[
        "linear_probe_top1"
    ]
    theirs = linear_model.LogisticRegression(C=1 / (2 * 0.05 * len(gallery)), tol=1e-8)
    theirs.fit(standardized(gallery, gallery), gallery.label)
    assert result.value == pytest.approx(theirs.score(standardized(test, gallery), test.label))
    assert result.chance == 0.25
    assert result.count == len(test)


def test_the_machine_equals_scikit_learns():
    svm = pytest.importorskip("sklearn.svm")
    test, gallery = blob_tables(classes=4, spread=2.0)
    result = linear_svm(Given(test, gallery), probe_cfg(SVM_COSTS=[0.1]))["linear_svm_top1"]
    theirs = svm.LinearSVC(C=0.1, random_state=0)
    theirs.fit(standardized(gallery, gallery), gallery.label)
    assert result.value == pytest.approx(theirs.score(standardized(test, gallery), test.label))
    assert result.chance == 0.25


@pytest.mark.parametrize("protocol", [linear_probe, linear_svm])
def test_the_test_split_is_never_looked_at_to_choose(protocol, caplog):
    """The same choice whatever the test labels are; and it is told."""
    test, gallery = blob_tables(spread=3.0)
    choices = []
    for label in (test.label, test.label.flip(0)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            protocol(Given(make_table(test.features, label), gallery), probe_cfg())
        choices.append(caplog.messages)
    assert choices[0] == choices[1]
    assert f"{protocol.__name__}: selected" in choices[0][0]
    assert "in validation" in choices[0][0]


def test_the_end_of_the_list_is_told(caplog):
    with caplog.at_level(logging.INFO):
        linear_probe(Given(*blob_tables(spread=0.01)), probe_cfg(WEIGHT_DECAY_GRID=[1e-4, 1e-3]))
    assert (
        "selected 0.001 (100.0 % in validation), at the end of PROBE.WEIGHT_DECAY_GRID"
        in caplog.text
    )


@pytest.mark.parametrize("protocol", [linear_probe, linear_svm])
@pytest.mark.parametrize("label", [[0], [3, 3], [0, 1], [0, 1, 1, 1]])
def test_tiny_galleries(protocol, label):
    """One video, one class, classes of one sample."""
    pytest.importorskip("sklearn")
    gallery = make_table({"video": torch.eye(5)[label]}, label)
    (result,) = protocol(Given(gallery, gallery), probe_cfg()).values()
    assert result.value == 1.0
    assert result.chance == 1 / len(set(label))


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setattr(svm_module, "has_scikit_learn", lambda: False)
    with pytest.raises(UserError, match=r"linear_svm' needs scikit-learn: pip install .*\[eval\]"):
        linear_svm(Given(*blob_tables()), probe_cfg())
