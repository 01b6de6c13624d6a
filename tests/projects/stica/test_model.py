import copy

import pytest
import torch
from reference import stica as oracle
from stica.model import SpaceTimeCropAttend
from torch import nn

from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precision import Precision
from slowfast.models.build import (
    FEATURE_AUG_REGISTRY,
    HEAD_REGISTRY,
    LOSS_REGISTRY,
    build_model,
)
from slowfast.models.contracts import BackboneOutput
from slowfast.models.method import Progress
from slowfast.models.pooling import build_pooling

B, V, C = 3, 2, 8


class _Convolution(nn.Module):
    """The smallest backbone: one convolution and batch norm per pathway."""

    def __init__(self, dims, *, channels=3, steps=None, kind=nn.Conv3d, norm=nn.BatchNorm3d):
        super().__init__()
        self.convs = nn.ModuleList(kind(channels, d, 3, padding=1) for d in dims)
        self.norms = nn.ModuleList(norm(d) for d in dims)
        self.steps = steps
        self.out_channels = list(dims)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        maps = [n(c(x)) for c, n in zip(self.convs, self.norms, strict=True)]
        if self.steps:
            maps = [m[:, :, :s] for m, s in zip(maps, self.steps, strict=True)]
        return BackboneOutput(maps)


def _model(cfg, *, dims=(C,), steps=None, crops=True, audio=True):
    torch.manual_seed(0)
    backbone = _Convolution(dims, steps=steps)
    pooling = build_pooling(cfg, backbone)
    head = HEAD_REGISTRY.get("stica_projection")
    audio_backbone = None
    if audio:
        audio_backbone = _Convolution([6], channels=1, kind=nn.Conv2d, norm=nn.BatchNorm2d)
    model = SpaceTimeCropAttend(
        backbone,
        pooling,
        head(pooling.dim_out, cfg.STICA.EMBED_DIM, cfg),
        feature_aug=FEATURE_AUG_REGISTRY.get("feature_crop")(cfg) if crops else None,
        audio_backbone=audio_backbone,
        head_audio=head(6, cfg.STICA.EMBED_DIM, cfg) if audio else None,
        head_crops=(
            head(pooling.dim_out, cfg.STICA.EMBED_DIM, cfg)
            if cfg.STICA.WITHIN_HEAD == "own"
            else None
        ),
    ).double()
    with torch.no_grad():  # attention must matter
        for param in model.pooling.parameters():
            param.copy_(torch.randn_like(param) * 0.3 + (param.dim() == 1))
    return model


def _batch(*, frames=4, side=7, views=V, clips=1, seed=1, batch=B):
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "video": randn(batch, views, 3, frames, side, side),
        "audio": randn(batch, clips, 1, 9, 10),
        "audio_valid": torch.ones(batch, clips, dtype=torch.bool),
        "aug_seed": torch.arange(5, 5 + batch),
    }


def test_shapes_of_outputs(cfg):
    model = _model(cfg)
    outputs = model(_batch())
    assert model.head_video.norm.num_batches_tracked == 10 * V  # each slot of a view on its own
    dim = cfg.STICA.EMBED_DIM
    assert outputs.video.shape == (V, B, dim)
    assert outputs.audio.shape == (B, dim)
    assert outputs.space_large.shape == (V, 2, B, dim)
    assert outputs.space_small.shape == (V, 4, B, dim)
    assert outputs.time_large.shape == (V, 2, B, dim)
    assert outputs.time_small.shape == (V, 1, B, dim)
    for embedding in outputs[:6]:
        ones = torch.ones(embedding.shape[:-1], dtype=torch.float64)
        torch.testing.assert_close(embedding.norm(dim=-1), ones, rtol=0, atol=1e-12)


def test_gradients_in_chunks_are_those_of_the_batch(cfg):
    model, batch = _model(cfg).eval(), _batch() | {"index": torch.arange(B)}
    cached = copy.deepcopy(model)
    criterion = LOSS_REGISTRY.get("stica")(cfg)
    loss = criterion(model(batch), batch)["loss"]
    loss.backward()
    _, losses = backward_in_chunks(
        cached,
        criterion,
        batch,
        chunk=2,
        precision=Precision(torch.device("cpu")),
        scale=lambda loss: loss,
    )
    torch.testing.assert_close(losses["loss"], loss, rtol=1e-12, atol=0)
    for (name, param), got in zip(model.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(got.grad, param.grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize(("frames", "side"), [(4, 7), (2, 3), (3, 5)])
@pytest.mark.parametrize(
    ("within_head", "pooling"), [("shared", "transformer"), ("own", "transformer"), ("own", "avg")]
)
def test_steps_of_training_agree_with_the_oracle(cfg, frames, side, within_head, pooling):
    """Loss and every gradient, also on maps so small that large crops are half of them."""
    cfg.TEMPORAL_TRANSFORMER.LAYERS, cfg.TEMPORAL_TRANSFORMER.HEADS = 1, 2
    cfg.STICA.WITHIN_HEAD, cfg.MODEL.POOLING = within_head, pooling
    model = _model(cfg)
    plain = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = LOSS_REGISTRY.get("stica")(cfg)
    losses = []
    for step in range(4):
        batch = _batch(frames=frames, side=side, seed=step)
        optimizer.zero_grad()
        loss = criterion(model(batch), batch)["loss"]
        loss.backward()
        plain.zero_grad()
        expected = _oracle_loss(plain, batch)
        expected.backward()
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-8)
        theirs = dict(plain.named_parameters())
        for name, param in model.named_parameters():
            torch.testing.assert_close(
                param.grad, theirs[name].grad, rtol=0, atol=1e-7, msg=f"{name}, step {step}"
            )
        optimizer.step()
        with torch.no_grad():
            for param in plain.parameters():
                param -= 0.1 * param.grad
        losses.append(loss.item())
    assert len(set(losses)) == len(losses)


def _oracle_loss(model, batch):
    """Crop by crop and sample by sample, from the maps on."""
    maps = model.backbone(batch["video"].flatten(0, 1)).maps[0]
    boxes = model.feature_aug.sample([maps.shape[2:]], batch["aug_seed"], B * V)[0]
    pooling = dict(model.pooling.pathways[0].named_parameters())
    head = dict(model.head_video.named_parameters())
    head_crops = dict((model.head_crops or model.head_video).named_parameters())

    def pool(steps, positions):
        if not pooling:
            return sum(steps) / len(steps)
        return oracle.transform(steps, positions, pooling, layers=1, heads=2, summary="cls")

    def group(view, cut, head=head_crops):
        rows = []
        for b in range(B):
            steps, positions = cut(maps[b * V + view], b * V + view)
            rows.append(pool(steps, positions))
        return oracle.project_group(rows, head)

    def full(feature_map, row):
        box = (0, feature_map.shape[2], 0, feature_map.shape[3])
        return oracle.space_crop(feature_map, box), list(range(feature_map.shape[1]))

    def space(slot):
        def cut(feature_map, row):
            steps = oracle.space_crop(feature_map, boxes.space[row, slot].tolist())
            return steps, list(range(len(steps)))

        return cut

    def time(slot):
        def cut(feature_map, row):
            box = boxes.time[row, slot].tolist()
            return oracle.time_crop(feature_map, box), list(range(*box))

        return cut

    video = [group(v, full, head) for v in range(V)]
    heard = model.audio_backbone(batch["audio"][:, 0]).maps[0].mean(dim=(2, 3))
    audio = oracle.project_group(list(heard), dict(model.head_audio.named_parameters()))
    space_slots = [[group(v, space(k)) for k in range(6)] for v in range(V)]
    time_slots = [[group(v, time(k)) for k in range(3)] for v in range(V)]
    in_space = oracle.within([s[:2] for s in space_slots], [s[2:] for s in space_slots], 0.5)
    in_time = oracle.within([s[:2] for s in time_slots], [s[2:] for s in time_slots], 0.5)
    return (oracle.cross_modal(video, audio, 0.1) + (in_space + in_time) / 2) / 2


def test_both_views_pass_the_backbone_in_one_call_and_the_audio_passes_once(cfg):
    model = _model(cfg)
    model(_batch())
    assert model.backbone.calls == 1
    assert model.audio_backbone.calls == 1


def test_two_pathways(cfg):
    model = _model(cfg, dims=(C, 4), steps=(4, 8))
    batch = _batch(frames=8)
    criterion = LOSS_REGISTRY.get("stica")(cfg)
    criterion(model(batch), batch)["loss"].backward()
    assert model.embed(batch)["video"].shape == (B, V, C + 4)
    assert all(p.grad is not None for p in model.parameters())


def test_crops_follow_the_seed_and_nothing_else(cfg):
    model, batch = _model(cfg).eval(), _batch()
    torch.manual_seed(1)
    first = model(batch)
    torch.manual_seed(2)
    second = model(batch)
    for a, b in zip(first[:6], second[:6], strict=True):
        assert torch.equal(a, b)
    other = model({**batch, "aug_seed": batch["aug_seed"] + 100})
    assert torch.equal(other.video, first.video)
    assert not torch.equal(other.space_small, first.space_small)


def test_only_what_is_compared_is_embedded(cfg):
    outputs = _model(cfg, audio=False)(_batch())
    assert outputs.video is None
    assert outputs.audio is None
    assert outputs.space_large.shape[1] == 2
    outputs = _model(cfg, crops=False)(_batch())
    assert outputs.video.shape[:2] == (V, B)
    assert [x.shape[1] for x in outputs[2:6]] == [0, 0, 0, 0]
    with pytest.raises(ValueError, match=r"no audio and no crops.*AUDIO\.ENABLE"):
        _model(cfg, crops=False, audio=False)(_batch())


def test_crops_begin_at_an_epoch(cfg):
    cfg.STICA.WITHIN_START_EPOCH = 2.5
    assert build_model(cfg).crops_from_epoch == 2.5
    model, plain = _model(cfg), _model(cfg, crops=False)
    model.crops_from_epoch = 2.5
    progress = Progress(step=0, epoch=2, epoch_float=2.0, max_epoch=4, steps_per_epoch=10)
    for epoch, is_cropping in ((2.4, False), (2.5, True), (3.0, True)):
        model.before_step(progress._replace(epoch_float=epoch))
        outputs, expected = model(_batch()), plain(_batch())
        assert (outputs.space_large.shape[1] > 0) is is_cropping
        if not is_cropping:
            torch.testing.assert_close(outputs.video, expected.video, rtol=0, atol=0)
            assert set(LOSS_REGISTRY.get("stica")(cfg)(outputs, _batch())) == {"loss", "loss_cross"}


@pytest.mark.parametrize("pooling", ["transformer", "avg"])
@pytest.mark.parametrize(("crops", "audio"), [(True, True), (True, False), (False, True)])
def test_every_parameter_gets_a_gradient(cfg, pooling, crops, audio):
    cfg.MODEL.POOLING = pooling
    model, batch = _model(cfg, crops=crops, audio=audio), _batch()
    LOSS_REGISTRY.get("stica")(cfg)(model(batch), batch)["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_embedding_for_evaluation(cfg):
    model, batch = _model(cfg).eval(), _batch(views=6, clips=2)
    features = model.embed(batch)
    dim = cfg.STICA.EMBED_DIM
    assert features["video"].shape == (B, 6, C)
    assert features["video_embedding"].shape == (B, 6, dim)
    assert features["audio"].shape == (B, 2, 6)
    assert features["audio_embedding"].shape == (B, 2, dim)
    one = model.embed({"video": batch["video"][1:2, 3:4], "audio": batch["audio"][1:2, 1:]})
    for name, (view, expected) in {
        "video": (3, one["video"]),
        "video_embedding": (3, one["video_embedding"]),
        "audio": (1, one["audio"]),
        "audio_embedding": (1, one["audio_embedding"]),
    }.items():
        torch.testing.assert_close(features[name][1:2, view : view + 1], expected)
    norms = features["video_embedding"].norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_the_training_embedding_is_that_of_evaluation(cfg):
    model, batch = _model(cfg).eval(), _batch()
    outputs, features = model(batch), model.embed(batch)
    torch.testing.assert_close(outputs.video.transpose(0, 1), features["video_embedding"])
    torch.testing.assert_close(outputs.audio, features["audio_embedding"][:, 0])


def test_embedding_without_audio(cfg):
    batch = _batch()
    silent = {key: value for key, value in batch.items() if not key.startswith("audio")}
    assert set(_model(cfg).embed(silent)) == {"video", "video_embedding"}
    model = _model(cfg, audio=False)
    assert set(model.embed(batch)) == {"video", "video_embedding"}
    with pytest.raises(ValueError, match=r"no audio branch.*AUDIO\.ENABLE"):
        model.embed_audio(batch["audio"][:, 0])


def test_built_from_the_configuration(cfg):
    model = build_model(cfg)
    prefixes = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert prefixes == {"backbone", "pooling", "head_video", "audio_backbone", "head_audio"}
    assert model.no_weight_decay() == set()


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        (["AUDIO.ENABLE", False], {"audio_backbone", "head_audio"}),
        (["STICA.WITHIN_WEIGHT", 1.0], {"audio_backbone", "head_audio"}),
        (["STICA.WITHIN_WEIGHT", 0.0], {"feature_aug"}),
        (["MODEL.FEATURE_AUG", "none"], {"feature_aug"}),
    ],
)
def test_what_cannot_matter_is_not_built(cfg, values, absent):
    cfg.merge_from_list(values)
    model = build_model(cfg)
    parts = {"audio_backbone", "head_audio", "feature_aug"}
    assert {part for part in parts if getattr(model, part) is None} == absent


def test_a_head_of_their_own_for_crops_changes_nothing_else_at_the_start(cfg):
    batch = {name: value.float() for name, value in _batch(frames=16, side=48).items()}
    batch |= {"audio": torch.randn(B, 1, 1, 80, 99), "aug_seed": torch.arange(B)}
    models = {}
    for name in ("shared", "own"):
        cfg.STICA.WITHIN_HEAD = name
        torch.manual_seed(0)
        models[name] = build_model(cfg)
    assert models["shared"].head_crops is None
    assert models["own"].head_crops is not models["own"].head_video
    shared, own = (models[name](batch) for name in ("shared", "own"))
    assert torch.equal(shared.video, own.video)
    assert torch.equal(shared.audio, own.audio)
    assert not torch.equal(shared.space_large, own.space_large)
    cfg.AUDIO.ENABLE = False  # crops alone: one head is enough
    assert build_model(cfg).head_crops is None
