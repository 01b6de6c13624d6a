"""Parts of contrastive methods over two gloo ranks: equal on both, as of the joined batch."""

import copy
from typing import ClassVar, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precision import Precision
from slowfast.models.batch_norm import SplitBatchNorm3d
from slowfast.models.contrastive.ema import EmaEncoder
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.contrastive.memory_bank import MemoryBank
from slowfast.models.contrastive.negatives import uniform_negatives
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.contrastive.shuffle import shuffle_order, shuffle_rows, unshuffle_rows
from slowfast.models.contrastive.sinkhorn import sinkhorn
from slowfast.models.data_parallel import distribute
from slowfast.models.losses.info_nce import info_nce, nt_xent
from slowfast.models.losses.nce import nce_loss
from slowfast.models.method import Method, Progress
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed

VALID = torch.tensor([True, True, False, False, True, False])
STEPPED = Progress(0, 0, 0.0, 1, 2, stepped=True)


def _rows(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(6, *shape, generator=generator, dtype=torch.float64), dim=-1)


def _own(x, rank=None):
    """Return the part of a rank: three of six rows."""
    return x.chunk(2)[distributed.rank() if rank is None else rank]


def _write(take, valid):
    """Push to a queue whose length no batch divides; update rows, one of them twice."""
    queue, bank = FeatureQueue(5, 4, seed=0), MemoryBank(9, 4, seed=1)
    constant = PartitionConstant(decay=0.5)
    index = torch.tensor([3, 0, 7, 1, 3, 8])
    for seed in range(2):
        rows = _rows(4, seed=seed).float()
        if seed:
            rows[4, 0] = float("nan")
        kept = None if valid is None else take(valid)
        queue.push(take(rows), kept)
        bank.update(take(index), take(rows), kept)
        constant.update(take(rows), kept)
    return queue.state_dict(), bank.state_dict(), constant.state_dict()


def _write_own(valid):
    return _write(_own, valid)


@pytest.mark.parametrize("valid", [None, VALID])
def test_state_is_that_of_the_joined_batch(two_ranks, valid):
    for states in two_ranks.run(_write_own, valid):
        for got, expected in zip(states, _write(lambda x: x, valid), strict=True):
            for name, value in expected.items():
                torch.testing.assert_close(got[name], value, rtol=1e-6, atol=1e-7, msg=name)


def _loss(take, kind, valid):
    kept = None if valid is None else take(valid)
    if kind == "nt_xent":
        x = take(_rows(2, 4)).clone().requires_grad_()
        loss = nt_xent(x, 0.3, valid=kept)
    elif kind == "nce":
        x = take(_rows(5)).clone().requires_grad_()
        constant = PartitionConstant()(x * 2, kept)
        loss = nce_loss(x[:, 0] * 2, x[:, 1:] * 3, constant, valid=kept)
    else:
        x = take(_rows(4)).clone().requires_grad_()
        key = take(_rows(4, seed=1))
        label = torch.tensor([0, 1, 0, 1, 0, 2])
        mask = take(label)[:, None] == label if kind == "positives" else None
        negatives = _rows(4, seed=2) if kind != "positives" else None
        kwargs = {"valid": kept, "negatives": negatives, "positive_mask": mask}
        loss = info_nce(x, key, 0.3, **kwargs)
    loss.backward()
    return loss.detach(), x.grad


def _own_loss(kind, valid):
    return _loss(_own, kind, valid)


@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("kind", ["nt_xent", "nce", "queue", "positives"])
def test_losses_and_gradients(two_ranks, kind, valid):
    loss, grad = _loss(lambda x: x, kind, valid)
    losses, grads = zip(*two_ranks.run(_own_loss, kind, valid), strict=True)
    torch.testing.assert_close(sum(losses) / 2, loss, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(torch.cat(grads) / 2, grad, rtol=1e-6, atol=1e-9)


def _codes(scores, valid):
    # Unequal parts: two rows, four rows.
    part = slice(0, 2) if distributed.rank() == 0 else slice(2, 6)
    return sinkhorn(scores[part], valid=None if valid is None else valid[part])


@pytest.mark.parametrize("valid", [None, VALID])
def test_codes(two_ranks, valid):
    scores = _rows(5)
    got = torch.cat(two_ranks.run(_codes, scores, valid))
    torch.testing.assert_close(got, sinkhorn(scores, valid=valid), rtol=1e-10, atol=1e-12)


def _negatives():
    return uniform_negatives(_own(torch.arange(6)), _own(torch.arange(6)), 40, 12)


def test_negatives(two_ranks):
    expected = uniform_negatives(torch.arange(6), torch.arange(6), 40, 12)
    assert torch.equal(torch.cat(two_ranks.run(_negatives)), expected)


def _norm(num_splits):
    torch.manual_seed(0)
    return SplitBatchNorm3d(2, num_splits=num_splits).double().train()


def _encode_shuffled():
    x, seeds = _rows(2, 1, 2, 2), torch.arange(6) * 77
    order = shuffle_order(_own(seeds))
    norm = _norm(1)
    return order, unshuffle_rows(norm(shuffle_rows(_own(x), order)), order).detach()


def test_shuffled_rows_on_two_processes_are_two_parts_on_one(two_ranks):
    x, order = _rows(2, 1, 2, 2), shuffle_order(torch.arange(6) * 77)
    orders, encoded = zip(*two_ranks.run(_encode_shuffled), strict=True)
    assert all(torch.equal(each, order) for each in orders)
    assert order.tolist() != sorted(order.tolist())
    expected = unshuffle_rows(_norm(2)(shuffle_rows(x, order)), order).detach()
    torch.testing.assert_close(torch.cat(encoded), expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(expected, _norm(2)(x))


class Contrast(Method):
    """Everything at once, in a model that DDP wraps."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.ema = EmaEncoder(self.encoder, momentum=0.9)
        self.queue = FeatureQueue(7, 4, seed=0)

    def forward(self, x):
        return self.encoder(x), self.ema(x), self.queue.content()


def _train(take, wrap):
    torch.manual_seed(distributed.rank())  # as the trainer seeds processes
    model = wrap(Contrast().double())
    method = getattr(model, "module", model)
    if wrap is not _wrap:
        torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for seed in range(3):
        method.ema.before_step(method.encoder)
        query, key, negatives = model(take(_rows(4, seed=seed)))
        info_nce(query, key, 0.3, negatives=negatives).backward()
        optimizer.step()
        optimizer.zero_grad()
        method.queue.push(key)
        method.ema.after_step(method.encoder, STEPPED)
    return copy.deepcopy(method.state_dict())


def _wrap(model):
    wrapped = distribute(model, torch.device("cpu"))
    ignored = wrapped.parameters_to_ignore
    assert {"queue.rows", "queue.pointer", "queue.filled"} <= set(ignored)
    return wrapped


def _train_distributed():
    return _train(_own, _wrap)


def test_training_with_an_average_and_a_queue(two_ranks):
    expected = _train(lambda x: x, lambda model: model)
    for state in two_ranks.run(_train_distributed):
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-11, msg=name)


class Embedded(NamedTuple):
    embedding: torch.Tensor  # (B, 2, D)
    prototypes: torch.Tensor  # (P, D)


class Embedder(Method):
    output_batch_dims: ClassVar = {"prototypes": None}

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.prototypes = nn.Parameter(torch.randn(5, 4))

    def forward(self, batch):
        z = F.normalize(self.encoder(batch["x"]), dim=1)
        return Embedded(torch.stack([z, z.flip(1)], dim=1), self.prototypes)


def _criterion(outputs, batch):
    scores = outputs.embedding.flatten(0, 1) @ outputs.prototypes.T
    assigned = -(sinkhorn(scores) * scores.log_softmax(dim=1)).sum(dim=1)
    loss = nt_xent(outputs.embedding, 0.3) + distributed.global_mean(assigned)
    return {"loss": loss}


def _cached_gradients(take, chunk):
    torch.manual_seed(0)
    model = Embedder().double()
    model = distribute(model, torch.device("cpu"))
    batch = {"x": take(_rows(4)), "index": take(torch.arange(6))}
    for _ in range(2):  # a second step finds DDP as the first left it
        model.zero_grad()
        if chunk:
            backward_in_chunks(
                model,
                _criterion,
                batch,
                chunk=chunk,
                precision=Precision(torch.device("cpu")),
                scale=lambda loss: loss,
            )
        else:
            _criterion(model(batch), batch)["loss"].backward()
    return [p.grad for p in model.parameters()]


def _own_cached_gradients(chunk):
    return _cached_gradients(_own, chunk)


@pytest.mark.parametrize("chunk", [1, 2])
def test_gradients_in_chunks(two_ranks, chunk):
    expected = _cached_gradients(lambda x: x, 0)
    for rank in two_ranks.run(_own_cached_gradients, chunk):
        for got, value in zip(rank, expected, strict=True):
            torch.testing.assert_close(got, value, rtol=1e-9, atol=1e-12)
