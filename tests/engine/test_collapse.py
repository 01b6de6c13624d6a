"""Embeddings that collapse to a point or to few directions are noticed."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.engine.collapse import CollapseWatch, spread_of


class Outputs(NamedTuple):
    video: Tensor
    scores: Tensor | None = None


def rows(*shape, seed=0):
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def look(outputs, dims=None, batch_size=32, *, may_warn=True, watch=None):
    return (watch or CollapseWatch()).look(outputs, dims or {}, batch_size, may_warn=may_warn)


def test_spread_of_known_embeddings():
    even = spread_of(torch.cat([torch.eye(4), -torch.eye(4)]))
    assert even.deviation == pytest.approx(1.0)
    assert even.rank == pytest.approx(4.0)
    equal = spread_of(torch.tensor([[0.6, 0.8]]).expand(8, 2))
    assert equal == (0.0, 0.0)
    line = spread_of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert line.deviation == pytest.approx(math.sqrt(2) / 2)
    assert line.rank == pytest.approx(1.0)


@pytest.mark.parametrize(("shape", "dims"), [((32, 16), {}), ((2, 32, 16), {"video": 1})])
def test_embeddings_that_are_spread_are_measured(caplog, shape, dims):
    found = look(Outputs(rows(*shape), scores=torch.zeros(32, 5)), dims)
    assert found["embedding_std"] == pytest.approx(1.0, abs=0.1)
    assert found["embedding_rank"] > 10
    assert not caplog.text


@pytest.mark.parametrize(
    ("kind", "name", "most"),
    [("a point", "embedding_std", 0.01), ("a line", "embedding_rank", 1.01)],
)
def test_a_collapse_is_said_once_with_a_remedy(caplog, kind, name, most):
    if kind == "a point":
        collapsed = F.normalize(torch.ones(32, 16) + 0.01 * rows(32, 16), dim=1)
    else:
        collapsed = torch.eye(16)[:1].expand(32, 16) * torch.tensor([1.0, -1.0]).repeat(16)[:, None]
    watch = CollapseWatch()
    look(Outputs(collapsed), may_warn=False, watch=watch)
    assert not caplog.text
    for _ in range(2):
        assert look(Outputs(collapsed), watch=watch)[name] < most
    assert caplog.text.count("the embeddings 'video' of a batch") == 1
    assert "SOLVER.BASE_LR" in caplog.text


@pytest.mark.parametrize(
    "outputs",
    [
        torch.randn(32, 16),  # not a NamedTuple
        Outputs(torch.randn(32, 16)),  # not of length 1: logits
        Outputs(rows(31, 16)),  # no row for each sample: a bank
        Outputs(rows(32, 16) * torch.nan),
    ],
)
def test_other_outputs_are_not_looked_at(outputs):
    assert look(outputs) == {}


def test_small_batches_and_shared_outputs_are_not_looked_at():
    assert look(Outputs(rows(4, 16)), batch_size=4) == {}
    assert look(Outputs(rows(32, 16)), {"video": None}) == {}
