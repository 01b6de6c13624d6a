"""Numbers recorded from the published codes of NPID, CMC, AVID, MoCo, SwAV and SimCLR, in float64.

What a run of several processes gave there is repeated here on one, with the joined batch.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slowfast.models.batch_norm import SplitBatchNorm1d
from slowfast.models.contrastive.ema import EmaEncoder, cosine_momentum
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.contrastive.memory_bank import MemoryBank
from slowfast.models.contrastive.negatives import shift_past
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.contrastive.shuffle import shuffle_rows, unshuffle_rows
from slowfast.models.contrastive.sinkhorn import sinkhorn
from slowfast.models.losses.info_nce import info_nce, nt_xent
from slowfast.models.losses.nce import nce_loss
from slowfast.models.method import Progress

FILE = Path(__file__).parents[2] / "data" / "golden_contrastive.npz"


def load(case):
    with np.load(FILE) as data:
        return {
            name.removeprefix(f"{case}/"): torch.from_numpy(data[name])
            for name in data.files
            if name.startswith(f"{case}/")
        }


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


def make_bank(rows):
    bank = MemoryBank(*rows.shape, momentum=0.5, seed=0).double()
    bank.rows.copy_(rows)
    return bank


def embed(x):
    """Return raw embeddings that collect a gradient, and the normalized ones."""
    raw = x.clone().requires_grad_()
    return raw, F.normalize(raw, dim=1)


def scores(query, rows, temperature=0.07):
    """Similarities of (B, D) with (B, K, D)."""
    return torch.einsum("bd,bkd->bk", query, rows) / temperature


def test_shifted_samples():
    golden = load("index_shifts")
    assert torch.equal(
        shift_past(golden["draw_one"], torch.arange(9)[:, None]), golden["index_one"]
    )
    assert torch.equal(shift_past(golden["draw_set"], golden["positives"]), golden["index_set"])


@pytest.mark.parametrize("temperature", ["0.07", "0.1", "0.5"])
def test_nt_xent(temperature):
    golden = load("nt_xent")
    (raw_1, view_1), (raw_2, view_2) = embed(golden["view1"]), embed(golden["view2"])
    loss = nt_xent(torch.stack([view_1, view_2], dim=1), float(temperature))
    loss.backward()
    close(loss, golden[f"loss_T{temperature}"])
    close(raw_1.grad, golden[f"grad1_T{temperature}"])
    close(raw_2.grad, golden[f"grad2_T{temperature}"])


@pytest.mark.parametrize(
    ("name", "factor", "epsilon", "iterations"),
    [
        ("eps0.05_it3", 1, 0.05, 3),
        ("eps0.05_it1", 1, 0.05, 1),
        ("eps0.03_it3", 1, 0.03, 3),
        ("eps0.5_it10", 1, 0.5, 10),
        ("unnormalised_scores", 12, 0.05, 3),
    ],
)
def test_sinkhorn(name, factor, epsilon, iterations):
    golden = load("swav_sinkhorn")
    codes = sinkhorn(golden["scores"] * factor, epsilon=epsilon, iterations=iterations)
    close(codes, golden[f"Q_{name}"])


def test_npid():
    """The code adds 1e-7 to its denominators: a shift of the constant, and a summand."""
    golden = load("npid_nce")
    bank, constant = make_bank(golden["bank0"]), PartitionConstant().double()
    shift = math.log1p(1e-7 * 40 / 12)
    for step in range(3):
        index, (raw, query) = golden["index"][step], embed(golden["x"][step])
        s = scores(query, bank.rows[golden[f"draw{step}"]])
        loss = nce_loss(s[:, 0], s[:, 1:], constant(s) + shift) + 12 * shift
        loss.backward()
        close(loss, golden[f"loss{step}"])
        if f"grad{step}" in golden:
            close(raw.grad, golden[f"grad{step}"])
        constant.update(s)
        bank.update(index, query)
    close(40 * constant.log_mean.exp(), golden["Z0"])
    close(bank.rows, golden["bank3"])


def test_cmc_with_softmax():
    golden = load("cmc_softmax")
    banks = {view: make_bank(golden[f"bank_{view}0"]) for view in ("l", "ab")}
    for view, other in (("l", "ab"), ("ab", "l")):
        raw, query = embed(golden[f"x_{view}"][0])
        rows = banks[other].rows[golden["draw0"]]
        loss = info_nce(query, rows[:, 0], 0.07, negatives=rows[:, 1:])
        loss.backward()
        close(loss, golden[f"loss_{view}0"])
        if view == "l":
            close(raw.grad, golden["grad_l0"])


def test_avid():
    """Two processes there; one index is on both."""
    golden = load("avid_cross_2ranks")
    banks = [make_bank(golden[f"bank_{name}0"]) for name in ("video", "audio")]
    constant = PartitionConstant().double()
    for step in range(2):
        index = golden["index"][step].flatten()
        sampled = torch.cat([golden[f"negative_index{step}_rank{rank}"] for rank in (0, 1)])
        embedded = [embed(golden[name][step].flatten(0, 1)) for name in ("video", "audio")]
        raw, query = zip(*embedded, strict=True)
        pairs = list(zip(query, reversed(banks), strict=True))  # each asks the other's bank
        positive = [(q * bank.rows[index]).sum(dim=1) / 0.07 for q, bank in pairs]
        negative = [scores(q, bank.rows[sampled]) for q, bank in pairs]
        log_mean = constant(negative[0])
        loss = sum(map(lambda p, n: nce_loss(p, n, log_mean), positive, negative)) / 2
        loss.backward()
        close(loss, sum(golden[f"loss{step}_rank{rank}"] for rank in (0, 1)) / 2)
        for name, x in zip(("video", "audio"), raw, strict=True):
            expected = torch.cat([golden[f"grad_{name}{step}_rank{rank}"] for rank in (0, 1)])
            close(x.grad, expected / 2)  # of each process's own loss there
        constant.update(negative[0])
        for bank, q in zip(banks, query, strict=True):
            bank.update(index, q)
    close(constant.log_mean.exp(), golden["avg_exp_score1"])
    close(banks[0].rows, golden["bank_video2"])
    close(banks[1].rows, golden["bank_audio2"])


class Encoder(nn.Module):
    """The small network of the recorded run, with batch statistics per process."""

    def __init__(self):
        super().__init__()
        norm = SplitBatchNorm1d(14, num_splits=2)
        self.body = nn.Sequential(nn.Linear(10, 14), norm, nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(14, 14), nn.ReLU(), nn.Linear(14, 16))

    def forward(self, x):
        return F.normalize(self.fc(self.body(x)), dim=1)


def parameters(golden, prefix):
    return {
        name: golden[f"{prefix}_{name.replace('.', '_')}"]
        for name, _ in Encoder().named_parameters()
    }


def test_moco():
    """Two processes with shuffled rows there: two parts of batch statistics here."""
    golden = load("moco_image_2rank_mlp_shufflebn")
    encoder = Encoder().double().train()
    encoder.load_state_dict(parameters(golden, "init"), strict=False)
    ema = EmaEncoder(Encoder().double(), momentum=0.99)
    queue = FeatureQueue(16, 16, seed=0).double()
    queue.rows.copy_(golden["queue0"].T)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    for step in range(3):
        ema.before_step(encoder)
        order = golden[f"perm{step}"]
        query = encoder(golden["xq"][step].flatten(0, 1))
        shuffled = shuffle_rows(golden["xk"][step].flatten(0, 1), order)
        key = unshuffle_rows(ema(shuffled), order)
        loss = info_nce(query, key, 0.2, negatives=queue.content())
        close(loss, sum(golden[f"loss{step}_rank{rank}"] for rank in (0, 1)) / 2)
        if step == 2:
            for name, expected in parameters(golden, "key2").items():
                close(ema.encoder.get_parameter(name).data, expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        queue.push(key)
        ema.after_step(encoder, Progress(step, 0, 0.0, 1, 3, stepped=True))
    close(queue.rows, golden["queue3"].T)
    assert queue.pointer == golden["ptr3"].item()
    for name, expected in parameters(golden, "query3").items():
        close(encoder.get_parameter(name).data, expected)


@pytest.mark.parametrize("start", ["0.994", "0.996"])
def test_momentum(start):
    epochs = (0, 50, 100, 150, 199.5, 200)
    got = [cosine_momentum(float(start), epoch, 200) for epoch in epochs]
    expected = load("schedules")[f"pyslowfast_momentum_{start}"].tolist()
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)
