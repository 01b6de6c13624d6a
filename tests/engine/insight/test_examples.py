"""The predictions that are shown."""

import dataclasses

import pytest
import torch
from helpers.probes import make_table

from slowfast.engine.insight.examples import choose_predictions


def test_the_surest_predictions_wrong_and_right_ones_of_each_class():
    sure = torch.tensor([0.9, 0.8, 0.3, 0.6, 0.95, 0.45, 0.99])  # of class 0
    labels = [0, 0, 1, 1, 1, 0, -1]
    table = make_table({"scores": torch.stack([sure, 1 - sure], dim=1)}, labels)
    table = dataclasses.replace(table, index=torch.arange(10, 17))
    chosen = choose_predictions(table, 2)
    assert [(p.row, p.predicted, p.is_right) for p in chosen] == [
        *((14, 0, False), (13, 0, False)),
        *((10, 0, True), (12, 1, True)),  # not row 11, the second one of its class
    ]
    assert [p.score for p in chosen] == pytest.approx([0.95, 0.6, 0.9, 0.7])
