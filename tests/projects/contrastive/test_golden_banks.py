"""NPID, CMC, AVID and CMA equal the published code, over several steps."""

import math

import contrastive.avid
import contrastive.cmc
import contrastive.npid
import pytest
import torch
from contrastive import bank
from contrastive.avid import AVID, Mining, build_avid_loss
from contrastive.cmc import CMC
from contrastive.mining import mine_positives
from contrastive.npid import NPID
from helpers.golden_methods import (
    as_audio,
    as_video,
    audio_encoder,
    close,
    dataset,
    load,
    progress,
    video_encoder,
)

from slowfast.config import ParameterError, get_cfg
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.method import detached

N, D, K = 40, 16, 12
SHIFT = math.log1p(1e-7 * N / K)
"""NPID and CMC add 1e-7 to denominators: a larger constant, and this for each negative."""


def with_epsilon(outputs):
    if outputs.log_mean_exp is None:
        return outputs
    return outputs._replace(log_mean_exp=outputs.log_mean_exp + SHIFT)


def config(**keys):
    cfg = get_cfg()
    contrastive.config.add_config(cfg)
    for key, value in keys.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def options(temperature, *, own_row=False, negatives=K):
    return bank.BankOptions(D, temperature, negatives, own_row=own_row, seed=0)


def sampled_rows(monkeypatch, module, rows):
    """The negatives of the golden case instead of random ones."""
    monkeypatch.setattr(module, "uniform_negatives", lambda *args, **kwargs: rows)


def batch_of(index, **media):
    return {"index": index, "aug_seed": torch.zeros_like(index), **media}


@pytest.mark.parametrize("case", ["npid_nce", "npid_softmax"])
def test_npid(case, monkeypatch):
    golden = load(case)
    is_nce = case == "npid_nce"
    constant = PartitionConstant() if is_nce else None
    temperature = 0.07 if is_nce else 0.1
    model = NPID(
        video_encoder(D),
        options(temperature, own_row=True, negatives=K if is_nce else 0),
        momentum=0.5,
        constant=constant,
    )
    model.setup(dataset(N))
    model.double()
    model.bank.rows.copy_(golden["bank0"])
    loss = contrastive.npid.build_npid_loss(config())
    for step in range(len(golden["x"])):
        if is_nce:
            sampled_rows(monkeypatch, contrastive.npid, golden[f"draw{step}"][:, 1:])
        x = golden["x"][step].clone().requires_grad_()
        batch = batch_of(golden["index"][step], video=as_video(x[:, None]))
        outputs = model(batch)
        shift = SHIFT if is_nce else 0.0
        value = loss(with_epsilon(outputs), batch)["loss"]
        value.backward()
        close(value.detach() + K * shift, golden[f"loss{step}"])
        close(x.grad, golden[f"grad{step}"])
        model.after_batch(detached(outputs), batch, progress(step))
        close(model.bank.rows, golden[f"bank{step + 1}"])
    if is_nce:
        close(N * constant.log_mean.exp(), golden["Z0"])
        expected = bank.chance_level(K, nce=True)
        assert loss.chance_level(outputs) == pytest.approx(expected)


@pytest.mark.parametrize("case", ["cmc_nce", "cmc_softmax"])
def test_cmc(case, monkeypatch):
    golden = load(case)
    constants = None
    if case == "cmc_nce":
        constants = [PartitionConstant() for _ in range(2)]
    model = CMC(
        video_encoder(D),
        audio_encoder(),
        options(0.07, own_row=True),
        pixels=([], []),
        momentum=0.5,
        constants=constants,
    )
    model.setup(dataset(N))
    model.double()
    model.bank_one.rows.copy_(golden["bank_l0"])
    model.bank_two.rows.copy_(golden["bank_ab0"])
    loss = contrastive.cmc.build_cmc_loss(config())
    shift = SHIFT if constants else 0.0
    for step in range(len(golden["x_l"])):
        sampled_rows(monkeypatch, contrastive.cmc, golden[f"draw{step}"][:, 1:])
        one, two = (golden[name][step].clone().requires_grad_() for name in ("x_l", "x_ab"))
        media = {"video": as_video(one[:, None]), "audio": as_audio(two[:, None])}
        batch = batch_of(golden["index"][step], **media)
        outputs = model(batch)
        losses = loss(with_epsilon(outputs), batch)
        losses["loss"].backward()
        close(losses["loss"].detach() + 2 * K * shift, golden[f"loss{step}"])
        close(losses["loss_one"] + K * shift, golden[f"loss_l{step}"])
        close(losses["loss_two"] + K * shift, golden[f"loss_ab{step}"])
        close(one.grad, golden[f"grad_l{step}"])
        close(two.grad, golden[f"grad_ab{step}"])
        model.after_batch(detached(outputs), batch, progress(step))
        close(model.bank_one.rows, golden[f"bank_l{step + 1}"])
        close(model.bank_two.rows, golden[f"bank_ab{step + 1}"])


CASES = {
    "avid_cross": ((1.0, 0.0), None),
    "avid_self": ((0.0, 1.0), None),
    "avid_joint": ((1.0, 1.0), None),
    "cma_loss": ((1.0, 0.0), Mining(0, 1, 5, 12, "consensus")),
    "cma_loss_fewer_within": ((1.0, 0.0), Mining(0, 1, 5, 4, "consensus")),
}


@pytest.mark.parametrize("case", CASES)
def test_avid_and_cma(case, monkeypatch):
    golden = load(case)
    weights, mining = CASES[case]
    constant = PartitionConstant()
    model = AVID(
        video_encoder(D),
        audio_encoder(),
        options(0.07, own_row=True),
        momentum=(0.5, 0.5),
        weights=weights,
        constants=[constant],
        mining=mining,
    )
    model.setup(dataset(N))
    model.double()
    model.bank_video.rows.copy_(golden["bank_video0"])
    model.bank_audio.rows.copy_(golden["bank_audio0"])
    if mining:
        model.positive_set.copy_(golden["positive_set"])
        model.before_step(progress())
    loss = build_avid_loss(config())
    for step in range(len(golden["video"])):
        sampled_rows(monkeypatch, contrastive.avid, golden[f"negative_index{step}"])
        video, audio = (golden[name][step].clone().requires_grad_() for name in ("video", "audio"))
        media = {"video": as_video(video[:, None]), "audio": as_audio(audio[:, None])}
        batch = batch_of(golden["index"][step], **media)
        outputs = model(batch)
        value = loss(outputs, batch)["loss"]
        value.backward()
        close(value.detach(), golden[f"loss{step}"])
        close(video.grad, golden[f"grad_video{step}"])
        close(audio.grad, golden[f"grad_audio{step}"])
        model.after_batch(detached(outputs), batch, progress(step))
        if f"bank_video{step + 1}" in golden:
            close(model.bank_video.rows, golden[f"bank_video{step + 1}"])
            close(model.bank_audio.rows, golden[f"bank_audio{step + 1}"])
    close(constant.log_mean.exp(), golden["avg_exp_score0"])


def test_comparisons_within_a_modality_have_constants_of_their_own():
    """With equal embeddings of a modality, its loss is at chance level."""
    mining = Mining(0, 1, 3, 4, "consensus")
    cfg = config(CMA__ENABLE=True)

    def within(constants):
        torch.manual_seed(5)
        model = AVID(
            video_encoder(D),
            audio_encoder(),
            options(0.1, own_row=False),
            momentum=(0.5, 0.5),
            weights=(1.0, 0.0),
            constants=[PartitionConstant(0.99) for _ in range(constants)],
            mining=mining,
        )
        model.setup(dataset(N))
        model.bank_video.rows.copy_(torch.eye(D)[0])
        model.bank_audio.rows.copy_(torch.eye(D)[1])
        model.before_epoch(progress())
        model.before_step(progress())
        rows = torch.eye(D)[torch.tensor([[0, 1]])].repeat(4, 1, 1)
        media = {"video": as_video(rows[:, :1]), "audio": as_audio(rows[:, 1:])}
        batch = batch_of(torch.arange(4), **media)
        outputs = model(batch)
        before = outputs.log_mean_exp
        model.after_batch(detached(outputs), batch, progress())
        torch.testing.assert_close(model(batch).log_mean_exp, before)
        return build_avid_loss(cfg)(outputs, batch)["loss_within"].item()

    assert within(3) == pytest.approx(bank.chance_level(4, nce=True), abs=1e-4)
    assert within(1) > 30


@pytest.mark.parametrize("agreement", ["consensus", "union", "video", "audio"])
def test_mining(agreement):
    golden = load("cma_positives")
    found = mine_positives(golden["bank_video"], golden["bank_audio"], 5, agreement=agreement)
    assert torch.equal(found, golden[f"positives_{agreement}"])


def test_mining_excludes_the_row_itself_among_duplicates():
    rows = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    rows[3] = rows[1]
    found = mine_positives(rows, rows, 1, agreement="consensus")
    assert found[1].item() == 3
    assert found[3].item() == 1


def test_mining_refuses_more_positives_than_videos():
    rows = torch.eye(4)
    with pytest.raises(ParameterError, match="4 positives of 4"):
        mine_positives(rows, rows, 4, agreement="consensus")
