"""Each method on two processes equals one process with the joined batch; audio may be missing."""

import contrastive
import pytest
import torch
from contrastive.avid import AVID, Mining, build_avid_loss
from contrastive.bank import BankOptions
from contrastive.cmc import CMC, build_cmc_loss
from contrastive.gdt import GDT, GDTOutputs, build_gdt_loss, gdt_loss, pairs
from contrastive.mmv import MMV, build_mmv_loss
from contrastive.moco import MoCo, build_moco_loss
from contrastive.npid import NPID, build_npid_loss
from contrastive.simclr import SimCLR, build_simclr_loss
from contrastive.swav import Assignment, SwAV, build_swav_loss
from helpers.gloo_pool import GlooPool
from helpers.golden_methods import (
    HYPOTHESES,
    as_audio,
    as_video,
    audio_encoder,
    close,
    dataset,
    load,
    progress,
    video_encoder,
)
from torch import nn
from torch.nn import functional as F

from slowfast.config import get_cfg
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.method import detached
from slowfast.utils import distributed

B, D, N = 8, 6, 12
METHODS = ("simclr", "npid", "npid_all", "cmc", "avid", "cma", "moco", "swav", "gdt", "mmv")
LOSSES = {
    "simclr": build_simclr_loss,
    "npid": build_npid_loss,
    "npid_all": build_npid_loss,
    "cmc": build_cmc_loss,
    "avid": build_avid_loss,
    "cma": build_avid_loss,
    "moco": build_moco_loss,
    "swav": build_swav_loss,
    "gdt": build_gdt_loss,
    "mmv": build_mmv_loss,
}
WITH_AUDIO = ("cmc", "avid", "cma", "gdt", "mmv")


@pytest.fixture(scope="module")
def two_ranks():
    pool = GlooPool(2)
    yield pool
    pool.close()


class Head(nn.Linear):
    def forward(self, x):
        return F.normalize(super().forward(x), dim=-1)


def build(name):
    torch.manual_seed(0)
    video, audio = video_encoder(D, Head(D, D)), audio_encoder()
    audio.head = Head(D, D)
    options = BankOptions(D, 0.2, 0 if name == "npid_all" else 5, own_row=False, seed=3)
    nce = PartitionConstant(0.9)
    model = {
        "simclr": lambda: SimCLR(video),
        "npid": lambda: NPID(video, options, momentum=0.5, constant=nce),
        "npid_all": lambda: NPID(video, options, momentum=0.5),
        "cmc": lambda: CMC(
            video,
            audio,
            options,
            pixels=([], []),
            momentum=0.5,
            constants=[nce, PartitionConstant()],
        ),
        "avid": lambda: AVID(
            video, audio, options, momentum=(0.5, 0.4), weights=(1.0, 0.5), constants=[nce]
        ),
        "cma": lambda: AVID(
            video,
            audio,
            options,
            momentum=(0.5, 0.4),
            weights=(1.0, 0.0),
            constants=[PartitionConstant(0.9) for _ in range(3)],
            mining=Mining(0, 1, 3, 4, "consensus"),
        ),
        "moco": lambda: MoCo(
            video, dim=D, queue=10, momentum=0.9, schedule="constant", shuffle=True, seed=1
        ),
        "swav": lambda: SwAV(
            video, dim=D, prototypes=5, assignment=Assignment(0.05, 3, 16, 0.0, 0.0), seed=1
        ),
        "gdt": lambda: GDT(video, audio, transformations=(0,)),
        "mmv": lambda: MMV(video, audio),
    }[name]()
    if hasattr(model, "setup"):
        model.setup(dataset(N, B))
    return model.double()


def train(name, take, missing):
    """Three steps of plain SGD; what is left afterwards."""
    cfg = get_cfg()
    contrastive.add_config(cfg)
    cfg.CMC.VIEWS = "audio"
    model, loss = build(name), LOSSES[name](cfg)
    generator = torch.Generator().manual_seed(7)
    values = []
    for step in range(3):
        media = torch.randn(B, 3, D, generator=generator, dtype=torch.float64)
        index = torch.tensor([0, 3, 5, 1, 9, 2, 11, 4])
        batch = {"index": take(index), "aug_seed": take(index + 100 * step)}
        batch["video"] = as_video(take(media[:, :2] if name not in WITH_AUDIO else media[:, :1]))
        if name in WITH_AUDIO:
            batch["audio"] = as_audio(take(media[:, 2:]))
            valid = torch.ones(B, 1, dtype=torch.bool)
            if missing:
                valid[[1, 6, 7]] = False
            batch["audio_valid"] = take(valid)
        with torch.no_grad():
            if step == 0 and hasattr(model, "before_epoch"):
                model.before_epoch(progress(step))
            model.before_step(progress(step))
        outputs = model(batch)
        value = loss(outputs, batch)["loss"]
        value.backward()
        gathered = (
            distributed.all_reduce_sum(value.detach().clone()[None]) / distributed.world_size()
        )
        values.append(gathered)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    grad = distributed.all_reduce_sum(parameter.grad) / distributed.world_size()
                    parameter.sub_(0.1 * grad)
                    parameter.grad = None
            model.after_batch(detached(outputs), batch, progress(step))
            model.after_step(progress(step))
    state = model.state_dict()
    return torch.cat(values), state


def own(x):
    return x.chunk(2)[distributed.rank()]


def train_own_part(name, missing):
    return train(name, own, missing)


@pytest.mark.distributed
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("missing", [False, True])
def test_two_processes_are_one(two_ranks, name, missing):
    if missing and name not in WITH_AUDIO:
        pytest.skip("has no audio")
    joined, expected = train(name, lambda x: x, missing)
    for values, state in two_ranks.run(train_own_part, name, missing):
        close(values, joined, rtol=1e-7, atol=1e-9)
        assert state.keys() == expected.keys()
        for key, value in state.items():
            close(value, expected[key], rtol=1e-6, atol=1e-8)


def test_missing_audio_changes_no_bank():
    model = build("avid")
    banks = model.bank_video, model.bank_audio
    before = [bank.rows.clone() for bank in banks]
    media = torch.randn(B, 2, D, dtype=torch.float64)
    batch = {
        "index": torch.arange(B),
        "aug_seed": torch.arange(B),
        "video": as_video(media[:, :1]),
        "audio": as_audio(media[:, 1:]),
        "audio_valid": torch.zeros(B, 1, dtype=torch.bool),
    }
    outputs = model(batch)
    model.after_batch(detached(outputs), batch, progress())
    for bank, rows in zip(banks, before, strict=True):
        assert torch.equal(bank.rows, rows)


def gdt_of_rank(hypothesis, released):
    """Loss and gradients of this process, from its part of the golden case."""
    golden = load("gdt_hypotheses")
    video, audio = (golden[name][distributed.rank()].requires_grad_() for name in ("v", "a"))
    outputs = GDTOutputs(
        F.normalize(video, dim=-1)[:, :, None], F.normalize(audio, dim=-1), (0, 1, 2, 3)
    )
    loss = gdt_loss(outputs, pairs(*hypothesis), 0.07, released=released)
    loss.backward()
    return loss.detach(), video.grad, audio.grad


@pytest.mark.distributed
@pytest.mark.parametrize("number", HYPOTHESES)
@pytest.mark.parametrize("kind", ["clean", "released"])
def test_gdt_over_two_processes(two_ranks, number, kind):
    golden = load("gdt_hypotheses")
    results = two_ranks.run(gdt_of_rank, HYPOTHESES[number], kind == "released")
    for rank, (loss, grad_video, grad_audio) in enumerate(results):
        close(loss, golden[f"{kind}_loss_hyp{number}_rank{rank}"])
        close(grad_video, golden[f"{kind}_grad_v_hyp{number}_rank{rank}"])
        close(grad_audio, golden[f"{kind}_grad_a_hyp{number}_rank{rank}"])
