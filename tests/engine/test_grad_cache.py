"""Gradient caching: the ordinary step, with one chunk of activations in memory."""

from typing import ClassVar, NamedTuple

import pytest
import torch
from helpers.chunks import spy_on_chunks
from helpers.synthetic import synthetic_cfg
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import UserError
from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precision import Precision
from slowfast.engine.trainer import Trainer
from slowfast.models.losses.info_nce import info_nce
from slowfast.models.method import Method
from slowfast.utils.random import seed_everything

CPU = torch.device("cpu")


class Outputs(NamedTuple):
    views: Tensor  # (2, B, D)
    key: Tensor  # (B, D), without gradient
    more: dict  # of (B, D)
    prototypes: Tensor  # (P, D), a parameter
    nothing: Tensor | None = None


class Model(Method):
    output_batch_dims: ClassVar = {"views": 1, "prototypes": None}

    def __init__(self, *, dropout=0.0, norm=False):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.prototypes = nn.Parameter(torch.randn(5, 3))
        self.sizes = []

    def forward(self, batch):
        self.sizes.append(len(batch["x"]))
        hidden = self.dropout(self.norm(self.first(batch["x"])).tanh())
        z = F.normalize(self.second(hidden), dim=1)
        views = torch.stack([z, z.flip(1)])
        return Outputs(views, z.detach() + 1, {"square": z.square()}, self.prototypes)


def criterion(outputs, batch):
    first, second = outputs.views
    contrast = info_nce(first, second, 0.2, key_gradient=True)
    assert not outputs.key.requires_grad
    rest = (outputs.more["square"] * outputs.key * batch["weight"][:, None]).mean()
    assigned = (first @ outputs.prototypes.T).logsumexp(dim=1).mean()
    return {"loss": contrast + rest + assigned, "contrast": contrast}


def batch_of(size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, 4, generator=generator, dtype=torch.float64)
    names = [str(i) for i in range(size)]
    return {"x": x, "weight": x[:, 0], "index": torch.arange(size), "name": names, "whole": x[:1]}


def make(**kwargs):
    torch.manual_seed(0)
    return Model(**kwargs).double().train()


def in_chunks(model, batch, chunk):
    return backward_in_chunks(
        model,
        criterion,
        batch,
        chunk=chunk,
        precision=Precision(CPU),
        scale=lambda loss: loss * 3,
    )


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(("size", "chunk"), [(6, 2), (7, 3), (5, 1), (4, 3)])
def test_equals_the_ordinary_step(size, chunk):
    ordinary, cached = make(), make()
    batch = batch_of(size)
    outputs = ordinary(batch)
    losses = criterion(outputs, batch)
    (3 * losses["loss"]).backward()
    got, got_losses = in_chunks(cached, batch, chunk)
    assert max(cached.sizes) == chunk
    for name, value in losses.items():
        torch.testing.assert_close(got_losses[name], value, rtol=1e-12, atol=0)
    for name, value in gradients(ordinary).items():
        torch.testing.assert_close(gradients(cached)[name], value, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(got.views, outputs.views, rtol=1e-12, atol=0)
    torch.testing.assert_close(got.more, outputs.more, rtol=1e-12, atol=0)
    assert got.nothing is None


def test_random_numbers_are_repeated_and_statistics_counted_once():
    """The same chunks with all their graphs at once: as an ordinary step of several batches."""
    whole, cached = make(dropout=0.5, norm=True), make(dropout=0.5, norm=True)
    batch = batch_of(6)
    seed_everything(1)
    parts = [
        whole({"x": batch["x"][i : i + 2], "weight": batch["weight"][i : i + 2]}) for i in (0, 2, 4)
    ]
    joined = Outputs(
        torch.cat([p.views for p in parts], dim=1),
        torch.cat([p.key for p in parts]),
        {"square": torch.cat([p.more["square"] for p in parts])},
        whole.prototypes,
    )
    (3 * criterion(joined, batch)["loss"]).backward()
    expected = torch.rand(3)
    seed_everything(1)
    in_chunks(cached, batch, 2)
    assert torch.equal(torch.rand(3), expected)
    assert cached.norm.num_batches_tracked == 3
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(cached.state_dict()[name], value, rtol=1e-12, atol=0)
    for name, value in gradients(whole).items():
        torch.testing.assert_close(gradients(cached)[name], value, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        (
            {"prototypes": None},
            r"output 'views' of shape \(2, 3, 3\) .* the 3 samples .*dimension 0",
        ),
        ({"views": 1}, r"output 'prototypes' of shape \(5, 3\).*output_batch_dims"),
    ],
)
def test_an_output_without_its_samples_is_named(dims, message):
    model = make()
    model.output_batch_dims = dims
    with pytest.raises(UserError, match=rf"SOLVER\.GRAD_CACHE_CHUNK: {message}"):
        in_chunks(model, batch_of(6), 3)


def test_a_model_must_return_a_named_tuple():
    class Plain(Model):
        def forward(self, batch):
            return super().forward(batch).views

    torch.manual_seed(0)
    with pytest.raises(UserError, match="returns a Tensor, expected a NamedTuple"):
        in_chunks(Plain().double(), batch_of(6), 3)


def train(folder, *words):
    folder.mkdir()
    words = ("MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "TRAIN.MAX_STEPS", 2, *words)
    cfg = synthetic_cfg(folder, *words)
    seed_everything(cfg.RNG_SEED)
    trainer = Trainer(cfg, CPU)
    trainer.train()
    return trainer.model.state_dict()


@pytest.mark.parametrize("words", [(), ("SOLVER.ACCUMULATE_STEPS", 2)])
def test_the_trainer_takes_the_same_steps(tmp_path, monkeypatch, words):
    chunks = spy_on_chunks(monkeypatch)
    ordinary = train(tmp_path / "ordinary", *words)
    cached = train(tmp_path / "cached", *words, "SOLVER.GRAD_CACHE_CHUNK", 3)
    for name, value in ordinary.items():
        torch.testing.assert_close(cached[name], value, atol=1e-5, rtol=1e-4)
    whole = train(tmp_path / "whole", *words, "SOLVER.GRAD_CACHE_CHUNK", 4)
    for name, value in ordinary.items():
        assert torch.equal(whole[name], value), name
    assert set(chunks) == {3}


def test_a_negative_chunk_is_refused(tmp_path):
    with pytest.raises(Exception, match=r"SOLVER\.GRAD_CACHE_CHUNK: got -1, expected 0 or more"):
        synthetic_cfg(tmp_path, "SOLVER.GRAD_CACHE_CHUNK", -1)
