"""The published behavior: against measured numbers of the published code, and an oracle.

Weights of the measured numbers depend on (seed, name, shape) only, inputs on the seed: see
``make_state`` and ``_randn``. So the files in tests/data hold boxes and outputs, nothing else.
"""

import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.zoo import make_state
from reference import stica as oracle
from stica.checkpoint_format import convert
from stica.config import CROP_KINDS
from stica.released import (
    RELEASED_SETTINGS,
    ReleasedBoxes,
    check_released,
    sample_boxes,
    windows,
)
from stica.released_loss import released_loss

from slowfast.models.build import LOSS_REGISTRY, build_model

DATA = Path(__file__).parents[2] / "data"
COUNTS = {"space_large": 2, "space_small": 4, "time_large": 2, "time_small": 1}
SEEDS = range(300)


@pytest.fixture
def released(cfg):
    cfg.STICA.COMPAT = "released"
    return cfg


def _randn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
def test_numbers_of_the_published_code(released):
    meta = json.loads((DATA / "released_30f_2layers.json").read_text())
    golden = np.load(DATA / "released_30f_2layers.npz")
    released.RESNET.WIDTH_PER_GROUP = released.AUDIO.WIDTH = 64
    released.STICA.HEAD_DIM, released.STICA.EMBED_DIM = 512, 256
    model = build_model(released)
    used = _load_published_weights(model, meta["seed"])
    batch, boxes = _published_input(meta)

    def check(name, got, **tolerance):
        expected = torch.from_numpy(golden[name])
        torch.testing.assert_close(
            got.detach(), expected, msg=lambda m: f"{name}: {m}", **tolerance
        )

    model.eval()
    with torch.no_grad():
        feature_map = model.backbone(batch["video"][:, 0]).maps[0]
        outputs, features = model(batch, boxes), model.embed(batch)
    # The map's values reach 86, the audio's 73; single ones are rounded by 1e-5 of that.
    check("eval_map1", feature_map[:, :64], rtol=0, atol=1e-3)
    check("eval_audio_feat", features["audio"][:, 0], rtol=0, atol=1e-4)
    for name, got in {
        "pooled1": features["video"][:, 0],
        "v1": outputs.video[0],
        "a": outputs.audio[0],
        "sL": outputs.space_large[0],
        "sS": outputs.space_small[0],
        "tL": outputs.time_large[0],
        "tS": outputs.time_small[0],
    }.items():
        check(f"eval_{name}", got, rtol=0, atol=1e-4)

    model.train()
    criterion = LOSS_REGISTRY.get("stica")(released)
    losses = criterion(model(batch, boxes), batch)
    means = {"crops": "loss_within", "av": "loss_cross", "total": "loss"}
    for name, ours in means.items():
        check(f"train_loss_{name}", losses[ours], rtol=0, atol=1e-4)
    # The losses that these are made of, in float64: batch norm over two samples magnifies rounding,
    # so that in float32 single losses come out up to 2e-4 apart with another number of threads.
    parts = {"LL": "space_large", "SL": "space_small", "TLTL": "time_large", "TSTL": "time_small"}
    parts |= {"av1": "cross_view0", "av2": "cross_view1"}
    with torch.no_grad():
        exact = criterion(copy.deepcopy(model).double()(_double(batch), boxes), _double(batch))
    for name, ours in (means | {k: f"loss_{v}" for k, v in parts.items()}).items():
        check(f"train_loss_{name}", exact[ours].float(), rtol=0, atol=1e-4)
    losses["loss"].backward()
    ours = dict(model.named_parameters())
    for name in golden.files:
        if name.startswith("gradnorm_"):
            grad = ours[used[name.removeprefix("gradnorm_")]].grad
            check(name, grad.norm(), rtol=0.03, atol=1e-6)


def _boxes(size, aug_seed, view):
    """First and excluded last positions of sampled crops, by kind: [r0, r1, c0, c1] or [t0, t1]."""
    sizes = windows(size[0])
    return {
        kind: [[end for p in crop for end in (p, p + sizes[kind])] for crop in firsts.tolist()]
        for kind, firsts in sample_boxes(COUNTS, size, aug_seed, view)._asdict().items()
    }


def _double(batch):
    return {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def _load_published_weights(model, seed):
    with gzip.open(DATA / "gdt_state_dict_keys.json.gz", "rt") as file:
        keys = json.load(file)["keys"]
    state = make_state({name: shape for name, (shape, _) in keys.items()}, seed)
    conversion = convert(state, model.state_dict())
    assert conversion.missed == []
    model.load_state_dict(conversion.state)
    return conversion.used


def _published_input(meta):
    batch, seed = meta["B"], 10 * meta["seed"]
    clips = [_randn(batch, 3, 30, 112, 112, seed=seed + view) for view in (1, 2)]
    audio = 3 * _randn(batch, 1, 257, 99, seed=seed + 3)
    boxes = [
        ReleasedBoxes(*(torch.tensor(kind)[:, ::2] for kind in (*meta[key][0], *meta[key][1])))
        for key in ("boxes_view1", "boxes_view2")
    ]
    return {"video": torch.stack(clips, dim=1), "audio": audio[:, None]}, boxes


class _Fixed(torch.nn.Module):
    """Returns what it is given, so that maps are the input."""

    out_channels = (8,)

    def forward(self, x):
        return type("Out", (), {"maps": [x]})


def _small(released, steps, *, pooling="transformer"):
    """The published model without backbones, in float64, and a batch of maps."""
    released.MODEL.POOLING = pooling
    released.RESNET.WIDTH_PER_GROUP = released.AUDIO.WIDTH = 1
    released.TEMPORAL_TRANSFORMER.LAYERS, released.TEMPORAL_TRANSFORMER.HEADS = 1, 2
    torch.manual_seed(0)
    model = build_model(released)
    model.backbone = model.audio_backbone = _Fixed()
    model = model.double()
    with torch.no_grad():
        for param in model.pooling.parameters():
            param.copy_(torch.randn_like(param) * 0.3 + (param.dim() == 1))
    batch = {
        "video": _randn(2, 2, 8, steps, 7, 7, seed=1).double(),
        "audio": _randn(2, 1, 8, 2, 3, seed=2).double(),
        "aug_seed": torch.tensor([8, 4]),
    }
    return model, batch


def test_where_outputs_have_the_samples(released):
    model, batch = _small(released, 4)
    batch = {name: torch.cat([value, value[:1]]) for name, value in batch.items()}
    for name, value in model(batch)._asdict().items():
        if name.startswith("queue"):
            assert value is None
            continue
        assert value.shape[model.output_batch_dims.get(name, 0)] == 3, name


@pytest.mark.parametrize("pooling", ["transformer", "avg"])
@pytest.mark.parametrize("steps", [4, 8, 12])
def test_agrees_with_the_oracle(released, steps, pooling):
    model, batch = _small(released, steps, pooling=pooling)
    loss = LOSS_REGISTRY.get("stica")(released)(model(batch), batch)["loss"]
    head, head_audio = (dict(h.named_parameters()) for h in (model.head_video, model.head_audio))
    weights = dict(model.pooling.pathways[0].named_parameters())

    def pool(rows):
        if not weights:
            return sum(rows) / len(rows)
        rows = oracle.stretch(rows, 4 if steps == 4 else 8)
        options = {"layers": 1, "heads": 2, "summary": "first", "project": False}
        return oracle.transform(rows, None, weights, **options)

    views = []
    for v in range(2):
        boxes = _boxes((steps, 7, 7), batch["aug_seed"], v)
        boxes["full"] = [[0, 7, 0, 7]]
        view = {}
        for kind, list_of_boxes in boxes.items():
            cut = oracle.time_crop if kind.startswith("time") else oracle.space_crop
            view[kind] = [
                oracle.project_group([pool(cut(m, box)) for m in batch["video"][:, v]], head)
                for box in list_of_boxes
            ]
        views.append(view)
    features = batch["audio"][:, 0].mean(dim=(2, 3))
    audio = oracle.project_group(list(features), head_audio)
    expected = oracle.released_loss(views, [audio, audio], {"space": 4, "time": 1})
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)


def test_which_embeddings_get_a_gradient(released):
    model, batch = _small(released, 4)
    outputs = model(batch)
    leaves = type(outputs)(*(x.detach().requires_grad_() for x in outputs[:6]))
    LOSS_REGISTRY.get("stica")(released)(leaves, batch)["loss"].backward()
    reached = {
        (name, view, slot)
        for name, x in leaves._asdict().items()
        if x is not None
        for view in range(2)
        for slot in range(x.shape[1] if name not in ("video", "audio") else 1)
        if (x.grad[view] if name in ("video", "audio") else x.grad[view, slot]).abs().sum() > 0
    }
    assert reached == {
        *((name, view, 0) for name in ("video", "audio") for view in range(2)),
        *((name, view, 1) for name in ("space_large", "time_large") for view in range(2)),
        *(("space_small", 1, slot) for slot in range(4)),
        ("time_small", 1, 0),
    }


def test_the_last_positions_are_never_sampled():
    starts = {kind: set() for kind in CROP_KINDS}
    for seed in SEEDS:
        for view in (0, 1):
            boxes = _boxes((4, 7, 7), torch.tensor([seed]), view)
            for kind, crops in boxes.items():
                starts[kind] |= {crop[i] for crop in crops for i in range(0, len(crop), 2)}
    assert starts == {
        "space_large": {0},
        "space_small": {0, 1, 2},
        "time_large": {0},
        "time_small": {0, 1},
    }


def test_longer_clips_have_longer_crops():
    for steps in (8, 12, 15):
        firsts = {"time_large": set(), "time_small": set()}
        for seed in SEEDS:
            boxes = _boxes((steps, 7, 7), torch.tensor([seed]), 0)
            for kind, length in (("time_large", 6), ("time_small", 4)):
                assert all(last - first == length for first, last in boxes[kind])
                firsts[kind] |= {first for first, _ in boxes[kind]}
        assert firsts["time_large"] == set(range(steps - 6))
        assert firsts["time_small"] == set(range(steps - 4))


def test_small_crops_are_sampled_once_per_large_one():
    boxes = sample_boxes(COUNTS, (4, 7, 7), torch.tensor([1]), 0)
    assert [len(crops) for crops in boxes] == [2, 8, 2, 2]


def test_one_sample_serves_the_batch_and_views_are_sampled_apart():
    size = (4, 7, 7)
    seeds = torch.tensor([9, 3, 5])
    assert _boxes(size, seeds, 0) == _boxes(size, seeds[1:2], 0)
    assert _boxes(size, seeds, 0) != _boxes(size, seeds, 1)


def test_fifty_calls_of_the_head_and_two_of_audio(released):
    model, batch = _small(released, 4)
    model(batch)
    assert model.head_video.norm.num_batches_tracked == 50
    assert model.head_audio.norm.num_batches_tracked == 2


def test_each_view_has_batch_statistics_of_its_own(released):
    model = build_model(released)
    video = _randn(2, 2, 3, 30, 112, 112, seed=3)
    video[:, 1] *= 5  # a joint pass would see the difference
    batch = {"video": video, "audio": _randn(2, 1, 1, 257, 99, seed=4)}
    batch["aug_seed"] = torch.tensor([1, 2])
    outputs = model(batch)
    assert model.backbone.stem[1].num_batches_tracked == 2
    assert outputs.audio.shape[:2] == (2, 2)
    assert [x.shape[1] for x in outputs[2:6]] == [2, 4, 2, 1]
    LOSS_REGISTRY.get("stica")(released)(outputs, batch)["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_two_embeddings_of_audio_differ_by_dropout_only(released):
    released.STICA.HEAD_DROPOUT = 0.3
    model, batch = _small(released, 4)
    audio = model(batch).audio
    assert not torch.equal(audio[0], audio[1])
    audio = model.eval()(batch).audio
    assert torch.equal(audio[0], audio[1])


def test_every_row_of_the_decision_table_is_the_published_one(released):
    released.TEMPORAL_TRANSFORMER.READOUT = "mean"  # the switch goes before these
    released.TEMPORAL_TRANSFORMER.POSITIONS = "sinusoidal"
    released.STICA.HEAD_BN = "joint"
    released.STICA.TEMPERATURE_CROSS = 0.7
    model = build_model(released)
    attend = model.pooling.pathways[0]
    assert attend.cls is None
    assert attend.positions is None
    assert not list(attend.layers[0].attention.value.parameters())
    assert not list(attend.layers[0].attention.output.parameters())
    assert model.head_video.joint is False
    loss = LOSS_REGISTRY.get("stica")(released)
    assert loss.func is released_loss
    assert set(loss.keywords) == {"temperature_within", "within_weight"}


def test_without_audio_and_without_crops(released):
    released.AUDIO.ENABLE = False
    model, batch = _small_without_audio(released)
    losses = LOSS_REGISTRY.get("stica")(released)(model(batch), batch)
    assert "loss_cross" not in losses
    torch.testing.assert_close(losses["loss"], 0.5 * losses["loss_within"])
    released.AUDIO.ENABLE, released.MODEL.FEATURE_AUG = True, "none"
    model, batch = _small(released, 4)
    losses = LOSS_REGISTRY.get("stica")(released)(model(batch), batch)
    assert losses["loss_within"] == 0  # the published code divides 0 by 0
    torch.testing.assert_close(losses["loss"], 0.5 * losses["loss_cross"])


def _small_without_audio(released):
    released.RESNET.WIDTH_PER_GROUP = 1
    model = build_model(released)
    model.backbone = _Fixed()
    batch = {"video": _randn(3, 2, 8, 4, 7, 7, seed=1), "aug_seed": torch.tensor([1, 2, 3])}
    return model, batch


@pytest.mark.parametrize(
    ("size", "message"),
    [((4, 8, 8), "8 x 8; 'released' crops 7 x 7"), ((6, 7, 7), "6 time steps")],
)
def test_maps_that_the_published_code_cannot_crop(size, message):
    with pytest.raises(ValueError, match=message):
        sample_boxes(COUNTS, size, torch.tensor([1]), 0)


def test_keys_of_other_layers_are_demanded(released):
    problems = {problem.key: problem.message for problem in check_released(released)}
    assert "needs 257" in problems["AUDIO.NUM_MEL"]
    assert all("configs/StiCA/released.yaml" in message for message in problems.values())
    for key, value in RELEASED_SETTINGS.items():
        released.merge_from_list([key, value])
    released.BN.WEIGHT_DECAY = released.SOLVER.WEIGHT_DECAY
    assert check_released(released) == []
    released.STICA.COMPAT = ""
    released.AUDIO.NUM_MEL = 80
    assert check_released(released) == []
