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
    with pytest.raises(UserError, match="classification' needs a label"):
        classification(Given(make_table(scores, [0, -1])), None)
    with pytest.raises(UserError, match=r"MODEL.NUM_CLASSES: the head has 3 .* label 5; .* 0 to 2"):
        classification(Given(make_table(scores, [0, 5])), None)
