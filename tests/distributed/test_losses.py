"""Losses over two gloo ranks: their mean, and its gradient, are those of the joint batch."""

import pytest
import torch
from torch.nn import functional as F

from slowfast.models.classifier import ClassifierOutputs
from slowfast.models.losses.cross_entropy import ClassificationLoss, label_loss
from slowfast.models.losses.info_nce import info_nce
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed

ALL = [[True] * 3, [True] * 3]
SOME = [[True, False, True], [False, True, False]]
ONE_SIDE = [[False] * 3, [True, True, False]]


def _pair(rank):
    generator = torch.Generator().manual_seed(rank)
    pair = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    return [x.clone().requires_grad_() for x in F.normalize(pair, dim=-1)]


def _contrast(valid, key_gradient):
    query, key = _pair(distributed.rank())
    flags = None if valid is None else valid[distributed.rank()]
    loss = info_nce(query, key, 0.3, valid=flags, key_gradient=key_gradient)
    loss.backward()
    return loss.detach(), query.grad, key.grad


@pytest.mark.parametrize("key_gradient", [False, True])
@pytest.mark.parametrize("valid", [None, ALL, SOME, ONE_SIDE])
def test_info_nce(two_ranks, valid, key_gradient):
    pairs = zip(_pair(0), _pair(1), strict=True)
    query, key = (torch.cat(x).detach().requires_grad_() for x in pairs)
    flags = None if valid is None else torch.tensor(valid)
    joint = info_nce(
        query, key, 0.3, valid=None if flags is None else flags.flatten(), key_gradient=key_gradient
    )
    joint.backward()
    losses, *grads = zip(*two_ranks.run(_contrast, flags, key_gradient), strict=True)
    # Halves, as data-parallel training averages the gradients of two ranks.
    torch.testing.assert_close(sum(losses) / 2, joint.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat(grads[0]) / 2, query.grad, rtol=1e-10, atol=1e-12)
    if key_gradient:
        torch.testing.assert_close(torch.cat(grads[1]) / 2, key.grad, rtol=1e-10, atol=1e-12)
    else:
        assert grads[1] == (None, None)


def _alone():
    query, key = _pair(distributed.rank())
    return info_nce(query, key, 0.3, gather=False).detach()


def test_info_nce_without_gathering(two_ranks):
    for rank, loss in enumerate(two_ranks.run(_alone)):
        torch.testing.assert_close(loss, info_nce(*_pair(rank), 0.3).detach(), rtol=0, atol=0)


def _logits(rank):
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(3, 2, 5, generator=generator, dtype=torch.float64).requires_grad_()


LABELS = torch.tensor([[0, 4, 2], [1, 1, 3]])


def _classify(valid):
    rank = distributed.rank()
    logits = _logits(rank)
    loss = ClassificationLoss(label_loss)(
        ClassifierOutputs(logits), {"label": LABELS[rank], "valid": valid[rank]}
    )["loss"]
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize("valid", [ALL, SOME, ONE_SIDE])
def test_cross_entropy(two_ranks, valid):
    valid = torch.tensor(valid)
    losses, grads = zip(*two_ranks.run(_classify, valid), strict=True)
    logits = torch.cat([_logits(0), _logits(1)]).detach().requires_grad_()
    batch = {"label": LABELS.flatten(), "valid": valid.flatten()}
    joint = ClassificationLoss(label_loss)(ClassifierOutputs(logits), batch)["loss"]
    joint.backward()
    torch.testing.assert_close(sum(losses) / 2, joint.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat(grads) / 2, logits.grad, rtol=1e-12, atol=1e-12)


def _evaluate():
    """Only one rank has a batch left: nothing may wait for the other."""
    if distributed.rank() == 1:
        return None
    valid = torch.tensor([True, True, False])
    with torch.no_grad():
        outputs = ClassifierOutputs(_logits(0))
        return ClassificationLoss(label_loss)(outputs, {"label": LABELS[0], "valid": valid})["loss"]


def test_cross_entropy_in_evaluation_talks_to_nobody(two_ranks):
    loss, nothing = two_ranks.run(_evaluate)
    assert nothing is None
    expected = F.cross_entropy(_logits(0)[:2].flatten(0, 1), LABELS[0][:2].repeat_interleave(2))
    torch.testing.assert_close(loss, expected.detach())
