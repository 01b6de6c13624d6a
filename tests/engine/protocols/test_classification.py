"""Classification by the model's head, against scikit-learn; few classes; wrong labels."""

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table

from slowfast.config import UserError
from slowfast.engine.protocols.classification import classification


@pytest.mark.parametrize("classes", [2, 4, 5, 8])
def test_it_equals_scikit_learns(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    label = torch.cat(
        [torch.zeros(1).long(), torch.randint(1, classes, (40,), generator=generator)]
    )
    scores = torch.rand(41, classes, generator=generator)
    results = classification(Given(make_table({"scores": scores}, label)), None)
    predicted = scores.argmax(dim=1)
    assert results["top1_acc"].value == pytest.approx(metrics.accuracy_score(label, predicted))
    assert results["mean_class_acc"].value == pytest.approx(
        metrics.balanced_accuracy_score(label, predicted)
    )
    assert results["top1_acc"].chance == results["mean_class_acc"].chance == 1 / classes
    assert results["top1_acc"].count == 41
    assert ("top5_acc" in results) == (classes > 5)
    if classes > 5:
        expected = metrics.top_k_accuracy_score(label, scores, k=5, labels=range(classes))
        assert results["top5_acc"].value == pytest.approx(expected)


def test_what_it_needs():
    with pytest.raises(UserError, match="needs a classifier"):
        classification(Given(*blob_tables()), None)
    scores = {"scores": torch.rand(2, 3)}
    with pytest.raises(UserError, match=r"MODEL.NUM_CLASSES: the head has 3 .* label 5; .* 0 to 2"):
        classification(Given(make_table(scores, [0, 5])), None)


def test_videos_without_a_label_do_not_count():
    scores = {"scores": torch.eye(3)}
    given = Given(make_table(scores, [0, -1, 0]))
    results = classification(given, None)
    assert results["top1_acc"].value == 0.5
    assert results["top1_acc"].count == 2
    assert "1 of 3 videos have no label" in given.warnings[0]
    given = Given(make_table(scores, [-1, -1, -1]))
    assert classification(given, None) == {}
    assert "nothing is measured" in given.warnings[0]


def test_mean_average_precision_equals_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40, 6, generator=generator)
    target = (torch.rand(40, 6, generator=generator) < 0.3).float()
    target[:, 4] = 0
    table = make_table({"scores": scores}, torch.cat([target, torch.full((1, 6), -1.0)]))
    table.features["scores"] = torch.cat([scores, torch.zeros(1, 6)])
    results = classification(Given(table), None)
    there = [0, 1, 2, 3, 5]
    expected = metrics.average_precision_score(target[:, there], scores[:, there], average="macro")
    assert results["map"].value == pytest.approx(expected)
    expected = metrics.average_precision_score(target, scores, average="micro")
    assert results["map_micro"].value == pytest.approx(expected)
    assert set(results) == {"map", "map_micro"}
    assert results["map"].chance == pytest.approx(target[:, there].mean().item())


def test_lists_of_classes_that_cannot_be_measured():
    scores = {"scores": torch.rand(2, 3)}
    with pytest.raises(UserError, match="no test video has a class"):
        classification(Given(make_table(scores, torch.zeros(2, 3))), None)
    with pytest.raises(UserError, match="NUM_CLASSES: the head has 3 classes, but labels have 4"):
        classification(Given(make_table(scores, torch.ones(2, 4))), None)
