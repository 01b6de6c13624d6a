"""MoCo, SwAV, GDT, MMV and PySlowFast's forms equal the published code, over several steps."""

import contrastive
import pytest
import torch
from contrastive import bank
from contrastive.gdt import GDTOutputs, gdt_loss, pairs
from contrastive.mmv import MMV, FineHead, MMVOutputs, build_mmv_loss, mil_nce
from contrastive.moco import MoCo, build_moco_loss
from contrastive.npid import NPID, NPIDOutputs
from contrastive.pyslowfast import ClipMoCo, ClipOutputs, build_contrastive_loss, clip_loss
from contrastive.simclr import SimCLROutputs
from contrastive.swav import Assignment, SwAV, SwAVOutputs, swapped_prediction
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
from stica.loss import cross_modal_loss
from torch import nn
from torch.nn import functional as F

from slowfast.config import get_cfg
from slowfast.models.contrastive.ema import EmaEncoder
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.method import detached

D = 16


def config(**keys):
    cfg = get_cfg()
    contrastive.add_config(cfg)
    for key, value in keys.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def linear(weight, bias=None):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None).double()
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    return layer


class Normalized(nn.Sequential):
    def forward(self, x):
        return F.normalize(super().forward(x), dim=-1)


def sgd(model, lr):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(lr * parameter.grad)
                parameter.grad = None


MOCO = {
    "moco_image_1rank": ("body_0", "fc"),
    "moco_image_1rank_mlp": ("body_0", "fc_0", "fc_2"),
}


@pytest.mark.parametrize("case", MOCO)
def test_moco(case):
    golden, names = load(case), MOCO[case]
    layers = [linear(golden[f"init_{n}_weight"], golden[f"init_{n}_bias"]) for n in names]
    with_relu = [part for layer in layers for part in (layer, nn.ReLU())][:-1]
    head = Normalized(*with_relu)
    model = MoCo(
        video_encoder(10, head),
        dim=D,
        queue=12,
        momentum=0.99,
        schedule="constant",
        shuffle=False,
        seed=0,
    ).double()
    model.queue.rows.copy_(golden["queue0"].T)
    loss = build_moco_loss(config(MOCO__TEMPERATURE=0.2))
    for step in range(3):
        views = torch.stack([golden["xq"][step, 0], golden["xk"][step, 0]], dim=1)
        index = torch.arange(6)
        batch = {"video": as_video(views), "aug_seed": index, "index": index}
        model.before_step(progress(step))
        outputs = model(batch)
        value = loss(outputs, batch)["loss"]
        value.backward()
        close(value.detach(), golden[f"loss{step}"])
        for layer, name in zip(layers, names, strict=True):
            close(layer.weight.grad, golden[f"grad{step}_{name}_weight"])
        sgd(head, 0.5)
        model.after_batch(detached(outputs), batch, progress(step))
        model.after_step(progress(step))
        close(model.queue.rows, golden[f"queue{step + 1}"].T)
    close(layers[-1].weight.data, golden[f"query3_{names[-1]}_weight"])


@pytest.mark.parametrize("case", ["moco_pyslowfast_multiview", "moco_pyslowfast_singleview"])
def test_moco_over_clips(case):
    golden = load(case)
    layer = linear(golden["W0"], golden["b0"])
    encoder = video_encoder(10, layer)
    keys = EmaEncoder(encoder, momentum=0.994, schedule="cosine")
    queue = FeatureQueue(len(golden["queue0"]), D, seed=0)
    model = ClipMoCo(encoder, keys, queue=queue, queue_all="multi" in case).double()
    queue.rows.copy_(golden["queue0"])
    loss = build_contrastive_loss(
        config(CONTRASTIVE__TYPE="moco", CONTRASTIVE__T=0.1, CONTRASTIVE__SEQUENTIAL=True)
    )
    for step in range(len(golden["x"])):
        video = golden["x"][step].transpose(0, 1)  # (B, clips, Din)
        batch = {"video": as_video(video), "aug_seed": torch.arange(6), "index": torch.arange(6)}
        now = progress(step, float(golden["epoch_exact"][step]))
        model.before_step(now)
        close(model.key_encoder.encoder.head.weight.data, golden[f"Wk{step}"])
        outputs = model(batch)
        losses = loss(outputs, batch)
        losses["loss"].backward()
        close(losses["loss_logged"], golden[f"logged_loss{step}"])
        close(layer.weight.grad, golden[f"gradW{step}"])
        sgd(layer, 0.5)
        model.after_batch(detached(outputs), batch, now)
        model.after_step(now)
        close(queue.rows, golden[f"queue{step + 1}"])
        assert queue.pointer == golden[f"ptr{step + 1}"].item()


def test_byol_over_clips():
    golden = load("byol_pyslowfast")
    layer = linear(golden["q_body_weight"], golden["q_body_bias"])
    predictor = linear(golden["q_pred_weight"], golden["q_pred_bias"])
    encoder = video_encoder(10, layer)
    model = ClipMoCo(encoder, EmaEncoder(encoder, momentum=0.996), predictor=predictor).double()
    model.before_step(progress())
    outputs = model({"video": as_video(golden["x"].transpose(0, 1)), "aug_seed": torch.arange(6)})
    total, logged = clip_loss(outputs, 0.5)
    total.backward()
    close(logged.detach(), golden["logged_loss"])
    close(layer.weight.grad, golden["grad_body_weight"])
    close(predictor.weight.grad, golden["grad_pred_weight"])
    close(predictor.bias.grad, golden["grad_pred_bias"])


def test_simclr_over_clips():
    golden = load("simclr_pyslowfast")
    layer = linear(golden["W"], golden["b"])
    embedding = F.normalize(layer(golden["x"]), dim=-1).transpose(0, 1)
    loss = build_contrastive_loss(config(CONTRASTIVE__TYPE="simclr", CONTRASTIVE__T=0.1))
    losses = loss(SimCLROutputs(embedding), {})
    losses["loss"].backward()
    close(losses["loss_logged"], golden["logged_loss"])
    close(layer.weight.grad, golden["gradW"])
    close(layer.bias.grad, golden["gradb"])


def test_memory_bank_of_pyslowfast(monkeypatch):
    golden = load("mem_pyslowfast")
    layer = linear(golden["W"], golden["b"])
    options = bank.BankOptions(D, 0.07, 12, own_row=True, seed=0)
    model = NPID(video_encoder(10, Normalized(layer)), options, momentum=0.7)
    model.setup(dataset(40))
    model.double()
    model.bank.rows.copy_(golden["bank0"])
    loss = build_contrastive_loss(config(CONTRASTIVE__TYPE="mem"))
    for step in range(2):
        rows = golden[f"draw{step}"][:, 1:]
        monkeypatch.setattr(contrastive.npid, "uniform_negatives", lambda *_, r=rows, **__: r)
        index = golden["index"][step]
        batch = {"video": as_video(golden["x"][step][:, None]), "index": index, "aug_seed": index}
        outputs = model(batch)
        value = loss(outputs, batch)["loss"]
        value.backward()
        close(value.detach(), golden[f"loss{step}"])
        close(layer.weight.grad, golden[f"gradW{step}"])
        layer.zero_grad()
        model.after_batch(detached(outputs), batch, progress(step))
        close(model.bank.rows, golden[f"bank{step + 1}"])


def swav_model(layer, prototypes, queue, freeze=0.0):
    model = SwAV(
        video_encoder(layer.weight.shape[1], Normalized(layer)),
        dim=D,
        prototypes=len(prototypes),
        assignment=Assignment(0.05, 3, queue, 0.0, freeze),
        seed=0,
    ).double()
    model.prototypes.weight.data.copy_(prototypes)
    return model


@pytest.mark.parametrize("small", [0, 4])
@pytest.mark.parametrize("queue", [0, 12])
def test_swav(small, queue):
    if not small and not queue:
        pytest.skip("no golden case")
    golden = load(f"swav_loss_2large_{small}small_queue{queue}")
    layer = linear(golden["W0"], golden["b0"])
    model = swav_model(layer, golden["C0"], queue, freeze=0.05)
    for step in range(len(golden["x"])):
        crops = golden["x"][step].transpose(0, 1)  # (B, crops, Din)
        batch = {"video": as_video(crops[:, :2]), "aug_seed": torch.arange(6), "index": None}
        if small:
            batch["video_small"] = as_video(crops[:, 2:])
        now = progress(step, step / 10)
        with torch.no_grad():  # as the trainer calls hooks
            model.before_step(now)
        outputs = model(batch)
        value = swapped_prediction(outputs, 0.1)
        value.backward()
        close(value.detach(), golden[f"loss{step}"])
        close(outputs.codes.transpose(0, 1), golden[f"codes{step}"])
        close(layer.weight.grad, golden[f"gradW{step}"])
        model.after_backward(now)
        if step:
            close(model.prototypes.weight.grad, golden[f"gradC{step}"])
        else:
            assert model.prototypes.weight.grad is None
        sgd(model, 0.4)
        model.after_batch(detached(outputs), batch, now)
        close(model.prototypes.weight.data, golden[f"C{step + 1}"])
        if queue:  # newest first there, a ring here
            expected = golden[f"queue{step + 1}"]
            for ring, rows in zip(model.queues, expected, strict=True):
                filled = int(ring.filled)
                distance = torch.cdist(rows[:filled], ring.rows[:filled])
                assert (distance.min(dim=1).values < 1e-9).all()


@pytest.mark.parametrize(
    ("case", "queue"),
    [
        ("swav_pyslowfast_2clips_queue0", 0),
        ("swav_pyslowfast_2clips_queue12", 12),
        ("swav_pyslowfast_4clips_queue0", 0),
    ],
)
def test_swav_over_clips(case, queue):
    golden = load(case)
    golden = {name: value.double() for name, value in golden.items()}
    layer = linear(golden["W"], golden["b"])
    model = swav_model(layer, golden["prototypes_raw"], queue)
    x = golden["x"] if golden["x"].dim() == 4 else golden["x"][None]
    for step in range(len(x)):
        name = str(step) if f"loss{step}" in golden else ""
        with torch.no_grad():
            model.before_step(progress(step))
        batch = {"video": as_video(x[step].transpose(0, 1)), "aug_seed": torch.arange(6)}
        outputs = model(batch)
        value = swapped_prediction(outputs, 0.1)
        value.backward()
        close(value.detach(), golden[f"loss{name}"], rtol=1e-6, atol=1e-8)
        close(layer.weight.grad, golden[f"gradW{name}"], rtol=1e-5, atol=1e-6)
        model.zero_grad()
        model.after_batch(detached(outputs), batch, progress(step))


def gdt_outputs(golden, rank=0):
    video, audio = (golden[name][rank].clone().requires_grad_() for name in ("v", "a"))
    outputs = GDTOutputs(
        F.normalize(video, dim=-1)[:, :, None], F.normalize(audio, dim=-1), (0, 1, 2, 3)
    )
    return video, audio, outputs


@pytest.mark.parametrize("number", HYPOTHESES)
def test_gdt_on_one_process(number):
    golden = load("gdt_hypotheses")
    video, audio, outputs = gdt_outputs(golden)
    loss = gdt_loss(outputs, pairs(*HYPOTHESES[number]), 0.07)
    loss.backward()
    close(loss.detach(), golden[f"single_loss_hyp{number}"])
    close(video.grad, golden[f"single_grad_v_hyp{number}"])
    close(audio.grad, golden[f"single_grad_a_hyp{number}"])


def test_first_hypothesis_is_the_cross_modal_loss_of_stica():
    _, _, outputs = gdt_outputs(load("gdt_hypotheses"))
    plain = GDTOutputs(outputs.video[:, :1], outputs.audio[:, :1], (0,))
    ours = gdt_loss(plain, pairs("none", "none"), 0.07)
    close(
        ours, cross_modal_loss(outputs.video[:, :1, 0].transpose(0, 1), outputs.audio[:, 0], 0.07)
    )


@pytest.mark.parametrize(("name", "twice"), [("paper", False), ("release", True)])
def test_mil_nce(name, twice):
    golden = load("mil_nce")
    video, text = (golden[key].clone().requires_grad_() for key in ("video", "text"))
    loss = mil_nce(video[:, None], text.unflatten(0, (6, 4)), 1.0, positives_twice=twice)
    loss.backward()
    close(loss.detach(), golden[f"{name}_loss"])
    close(video.grad, golden[f"{name}_grad_video"])
    close(text.grad, golden[f"{name}_grad_text"])


@pytest.mark.parametrize(
    ("name", "compat"), [("paper", ""), ("vatt_asymmetric", "released"), ("masked", "")]
)
def test_mmv_losses(name, compat):
    golden = load("mmv_fac")
    unit = {
        key: F.normalize(golden[key], dim=-1)
        for key in ("fine_video", "coarse_video", "fine_audio", "coarse_text")
    }
    has_text = golden["has_text"] if name == "masked" else torch.ones(6, dtype=torch.bool)
    outputs = MMVOutputs(
        unit["fine_video"][:, None],
        unit["fine_audio"],
        unit["coarse_video"][:, None],
        unit["coarse_text"].unflatten(0, (6, 4)),
        has_text,
    )
    loss = build_mmv_loss(config(MMV__TEXT_WEIGHT=1.0, MMV__COMPAT=compat))
    losses = loss(outputs, {})
    if name == "masked":
        close(losses["loss_text"], golden["masked_paper_loss_vt"])
        return
    close(losses["loss"], golden[f"{name}_loss"])
    close(losses["loss_audio"], golden[f"{name}_loss_va"])
    close(losses["loss_text"], golden[f"{name}_loss_vt"])


def test_fac_graph():
    """Fine and coarse spaces of MMV, and the gradients of both losses at the inputs."""
    golden = load("mmv_fac")
    cfg = config(MMV__TEXT_WEIGHT=1.0)
    head = FineHead(20, 12, norm=nn.BatchNorm1d).double()
    first, second = head.layers[0], head.layers[3]
    first.load_state_dict({"weight": golden["v1_w"], "bias": golden["v1_b"]})
    second.load_state_dict({"weight": golden["v2_w"]})
    coarse = nn.Sequential(linear(golden["c_w"], golden["c_b"]), nn.BatchNorm1d(8).double())
    video, audio, text = (golden[k].clone().requires_grad_() for k in ("video", "audio", "text"))
    encoders = video_encoder(20, head), audio_encoder()
    encoders[1].head = Normalized(linear(golden["a_w"], golden["a_b"]))
    embed_text = Normalized(linear(golden["t_w"], golden["t_b"]))
    model = MMV(*encoders, coarse=coarse, text=embed_text, bag=4)
    batch = {
        "video": as_video(video[:, None]),
        "audio": as_audio(audio[:, None]),
        "text": text.reshape(6, -1),  # features in place of tokens
        "aug_seed": torch.arange(6),
    }
    outputs = model(batch)
    close(outputs.video[:, 0], F.normalize(golden["fine_video"], dim=-1))
    close(outputs.coarse[:, 0], F.normalize(golden["coarse_video"], dim=-1))
    build_mmv_loss(cfg)(outputs, batch)["loss"].backward()
    for name, value in (("video", video), ("audio", audio), ("text", text)):
        close(value.grad, golden[f"paper_grad_{name}"])


def test_a_clip_is_not_its_own_key():
    key = F.normalize(torch.randn(4, 3, 8), dim=-1)
    total, logged = clip_loss(ClipOutputs(key, key, None), 1.0)
    pairs_of_clips = [
        (key[:, v] * key[:, u]).sum(1).mean() for v in range(3) for u in range(3) if u != v
    ]
    close(total, -torch.stack(pairs_of_clips).sum() / 2)
    close(logged, total / 6)


CLIPS = (4, 3, 8)  # B, V, D


def forms_of_pyslowfast(clips):
    """Outputs of all types of CONTRASTIVE.TYPE, by the embeddings of clips (B, V, D)."""
    unit, other = F.normalize(clips, dim=-1), F.normalize(clips.flip(2), dim=-1)
    queue = F.normalize(torch.arange(40.0, dtype=torch.float64).sin().unflatten(0, (5, 8)), dim=-1)
    codes = clips[..., :5].softmax(dim=2)[:, :2]
    return {
        "moco": ClipOutputs(unit, other, queue),
        "byol": ClipOutputs(unit, other, None),
        "simclr": SimCLROutputs(unit),
        "swav": SwAVOutputs(unit[..., :5], codes, (0, 1), unit[:, :2]),
        "mem": NPIDOutputs(unit[:, 0], bank.Scores(clips[:, :, :1], clips[:, :, 1:]), None),
    }


@pytest.mark.parametrize("kind", ["moco", "byol", "simclr", "swav", "mem"])
def test_invalid_samples_are_left_out_of_the_forms_of_pyslowfast(kind):
    clips = torch.randn(*CLIPS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    loss = build_contrastive_loss(config(CONTRASTIVE__TYPE=kind, CONTRASTIVE__T=0.5))
    valid = torch.tensor([True, False, True, True])
    expected = loss(forms_of_pyslowfast(clips[valid])[kind], {})["loss"]
    clips[1] = 100.0 * clips[1]
    close(loss(forms_of_pyslowfast(clips)[kind], {"valid": valid})["loss"], expected)


def test_invalid_samples_are_not_queued():
    encoder = video_encoder(8, nn.Linear(8, 8))
    queue = FeatureQueue(6, 8, seed=0)
    model = ClipMoCo(encoder, EmaEncoder(encoder, momentum=0.9), queue=queue, queue_all=True)
    key = F.normalize(torch.randn(*CLIPS), dim=-1)
    valid = torch.tensor([True, False, False, True])
    model.after_batch(ClipOutputs(key, key, queue.content()), {"valid": valid}, progress())
    torch.testing.assert_close(queue.rows, key[valid].transpose(0, 1).flatten(0, 1))


def test_each_crop_is_compared_with_the_same_crop_of_other_videos():
    generator = torch.Generator().manual_seed(4)
    video, audio = (
        F.normalize(torch.randn(5, n, 8, dtype=torch.float64, generator=generator), dim=-1)
        for n in (3, 2)
    )
    valid = torch.tensor([True, True, False, True, True])
    for twice in (False, True):
        one_by_one = [
            mil_nce(video[:, k : k + 1], audio, 0.2, valid=valid, positives_twice=twice)
            for k in range(3)
        ]
        joined = mil_nce(video, audio, 0.2, valid=valid, positives_twice=twice)
        close(joined, torch.stack(one_by_one).mean())


def test_the_keys_of_crops_are_gathered_once(monkeypatch):
    gathered = []

    def gather(x):
        gathered.append(tuple(x.shape))
        return x

    monkeypatch.setattr(contrastive.mmv, "gather_with_gradient", gather)
    mil_nce(torch.randn(5, 4, 8), torch.randn(5, 1, 8), 0.2)
    assert gathered == [(5, 4, 8), (5, 1, 8)]
