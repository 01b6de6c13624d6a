import pytest
import torch
from helpers.configs import make_cfg
from torch import nn

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier
from slowfast.models.contracts import BackboneOutput, CropGroup, Tokens
from slowfast.models.heads import LinearHead
from slowfast.models.pooling import AvgPooling, PathwayPooling


class _Backbone(nn.Module):
    """Two pathways of different length."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.norm = nn.BatchNorm3d(4)
        self.out_channels = [4, 4]

    def forward(self, x):
        maps = self.norm(self.conv(x))
        return BackboneOutput([maps[:, :, ::2], maps])


class _FirstAndLastStep(nn.Module):
    """Two crops of one step each, and one of all steps: two groups."""

    def forward(self, maps, aug_seed):
        self.aug_seed = aug_seed
        sample = torch.arange(maps[0].shape[0])

        def tokens(m, where):
            values = m.mean(dim=(3, 4)).transpose(1, 2)[:, where]
            return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool), None)

        def stack(parts):
            values, masks = (torch.cat([p[i] for p in parts]) for i in (0, 1))
            return Tokens(values, masks, torch.zeros(masks.shape, dtype=torch.int64))

        ends = [stack([tokens(m, slice(0, 1)), tokens(m, slice(-1, None))]) for m in maps]
        full = [stack([tokens(m, slice(None))]) for m in maps]
        return [
            CropGroup(("first", "last"), ends, sample.repeat(2)),
            CropGroup(("full",), full, sample),
        ]


def _model(feature_aug=None, **kwargs):
    torch.manual_seed(0)
    return Classifier(
        _Backbone(),
        PathwayPooling([AvgPooling(), AvgPooling()], [4, 4]),
        LinearHead(8, 5, init_std=1.0),
        feature_aug=feature_aug,
        **kwargs,
    )


def _batch(rows=2, views=3):
    generator = torch.Generator().manual_seed(1)
    return {
        "video": torch.randn(rows, views, 3, 4, 2, 2, generator=generator),
        "aug_seed": torch.arange(rows),
    }


def test_views_are_folded_and_unfolded():
    model = _model().eval()
    batch = _batch()
    out = model(batch)
    assert out.logits.shape == (2, 3, 5)
    assert out.crop_logits is None
    for b in range(2):
        for v in range(3):
            one = model({"video": batch["video"][b : b + 1, v : v + 1]})
            torch.testing.assert_close(one.logits[0, 0], out.logits[b, v], rtol=1e-5, atol=1e-5)


def test_crops_in_training():
    augment = _FirstAndLastStep()
    model = _model(augment).train()
    batch = _batch()
    out = model(batch)
    assert out.logits.shape == (2, 3, 5)
    assert out.crop_logits.shape == (3, 2, 3, 5)
    assert out.crop_logits.shape[Classifier.output_batch_dims["crop_logits"]] == 2
    assert augment.aug_seed is batch["aug_seed"]
    # The crop of everything has the logits of the full map, the others have not.
    torch.testing.assert_close(out.crop_logits[2], out.logits, rtol=1e-5, atol=1e-5)
    assert (out.crop_logits[0] - out.logits).abs().min(dim=-1).values.max() > 1e-3
    # Linear all the way: the mean of first and last is not any other order of slots and rows.
    maps = model.backbone(batch["video"].flatten(0, 1)).maps
    first = torch.cat([m[:, :, 0].mean(dim=(2, 3)) for m in maps], dim=1)
    expected = model.head(first).view(2, 3, 5)
    torch.testing.assert_close(out.crop_logits[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_crops_are_of_training_and_change_no_logit_of_the_full_map(training):
    plain, cropping = (_model(crops).train(training) for crops in (None, _FirstAndLastStep()))
    out = cropping(_batch())
    assert (out.crop_logits is not None) == training
    torch.testing.assert_close(out.logits, plain(_batch()).logits, rtol=1e-6, atol=1e-6)


def test_nothing_random_is_consumed():
    model = _model().train()
    before = torch.get_rng_state()
    model(_batch())
    assert torch.equal(before, torch.get_rng_state())


def test_pooling_and_head_are_called_as_seldom_as_possible():
    model = _model(_FirstAndLastStep()).train()
    calls = []
    model.pooling.register_forward_hook(lambda *_: calls.append("pooling"))
    model.head.register_forward_hook(
        lambda _, args, kwargs, out: calls.append(f"head {kwargs['groups']}"), with_kwargs=True
    )
    model(_batch())
    assert calls == ["pooling", "pooling", "head 4"]


def test_embed():
    model = _model().eval()
    out = model.embed(_batch())
    assert out["video"].shape == (2, 3, 8)
    torch.testing.assert_close(out["logits"], model(_batch()).logits, rtol=0, atol=0)
    torch.testing.assert_close(model.head(out["video"]), out["logits"], rtol=1e-5, atol=1e-5)


def test_linear_probe_freezes_all_but_the_head():
    model = _model(_FirstAndLastStep(), frozen=("backbone", "pooling")).train()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    assert model.head.training
    assert not model.backbone.training
    out = model(_batch())
    (out.logits.sum() + out.crop_logits.sum()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"head.projection.weight", "head.projection.bias"}
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_attentive_probe_trains_pooling_and_head_on_a_frozen_backbone():
    cfg = _cfg(FREEZE_BACKBONE=True, POOLING="attentive")
    model = MODEL_REGISTRY.get("VideoResNet")(cfg).train()
    assert not model.backbone.training
    assert model.pooling.training
    model(_batch(views=1)).logits.sum().backward()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"pooling", "head"}


def test_frozen_batch_norm_survives_train():
    model = _model(frozen_bn=True).train()
    assert not model.backbone.norm.training
    assert model.backbone.training


def test_layers_are_numbered_for_layer_decay():
    model = _model()
    assert model.num_layers == 1
    assert model.layer_id("backbone.conv.weight") == model.layer_id("pooling.x") == 0
    assert model.layer_id("head.projection.weight") == 1
    assert model.no_weight_decay() == set()

    model.backbone.num_layers = 7
    model.backbone.layer_id = {"conv.weight": 2}.get
    model.backbone.no_weight_decay = lambda: {"pos"}
    assert model.num_layers == 8
    assert model.layer_id("backbone.conv.weight") == 2
    assert model.layer_id("pooling.x") == 7
    assert model.layer_id("head.projection.weight") == 8
    assert model.no_weight_decay() == {"backbone.pos"}


def _cfg(**model):
    words = "MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18 MODEL.NUM_CLASSES 7"
    return make_cfg(f"{words} RESNET.WIDTH_PER_GROUP 4", **model)


def test_built_from_the_registry():
    cfg = _cfg(DETACH_FINAL_FC=True, FROZEN_BN=True)
    model = MODEL_REGISTRY.get("VideoResNet")(cfg)
    assert (model.frozen_bn, model.use_summary) == (True, True)
    assert set(model.frozen) == {"backbone", "pooling"}
    assert model(_batch(views=1)).logits.shape == (2, 1, 7)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ARCH", "r3d18"), ("POOLING", "average"), ("HEAD", "linear2"), ("FEATURE_AUG", "crop")],
)
def test_unknown_parts_name_their_key(key, value):
    with pytest.raises(KeyError, match=f"MODEL.{key}: unknown .* '{value}'"):
        MODEL_REGISTRY.get("VideoResNet")(_cfg(**{key: value}))
