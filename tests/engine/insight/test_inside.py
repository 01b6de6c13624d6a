"""Grad-CAM where it is known in closed form; maps, regions and attention of any model."""

import pytest
import torch
from helpers.configs import make_cfg
from torch import nn

from slowfast.engine.insight.inside import Attention, grad_cam, look_inside, step_attention
from slowfast.models.attentive import AttentivePooling
from slowfast.models.build import construct_model
from slowfast.models.classifier import Classifier
from slowfast.models.contracts import BackboneOutput, CropRegions, Tokens
from slowfast.models.pooling import AvgPooling, PathwayPooling, full_group


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Channels(nn.Module):
    """A backbone whose maps are its input; a second pathway has every other step."""

    out_channels = (3, 3)

    def forward(self, x):
        return BackboneOutput([x, x[:, :, ::2]])


class Linear(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x, groups=1):
        return x @ self.weight.T


def linear_network(classes=4):
    pooling = PathwayPooling([AvgPooling(), AvgPooling()], [3, 3])
    return Classifier(Channels(), pooling, Linear(randn(classes, 6, seed=1))).eval()


@pytest.mark.parametrize("target", [None, [3, 0]])
def test_grad_cam_of_a_linear_network(target):
    """logit_c = sum_k w_ck mean(A_k): the gradient is w_ck / Z at each of Z positions."""
    model, video = linear_network(), randn(2, 1, 3, 4, 2, 5)
    cam, classes = grad_cam(model, {"video": video}, target and torch.tensor(target))
    logits = model.embed({"video": video})["logits"][:, 0]
    assert classes.tolist() == (target or logits.argmax(dim=1).tolist())
    for row, label in enumerate(classes.tolist()):
        weight = model.head.weight[label, :3] / (4 * 2 * 5)  # of the first pathway
        expected = sum(weight[k] * video[row, 0, k] for k in range(3)).clamp(min=0)
        torch.testing.assert_close(cam[row], expected, rtol=1e-5, atol=1e-7)
    assert model.head.weight.grad is None


def test_grad_cam_needs_no_gradients_of_the_caller():
    model = linear_network().requires_grad_(False)
    with torch.no_grad():
        cam, _ = grad_cam(model, {"video": randn(1, 1, 3, 4, 2, 5)})
    assert cam.max() > 0


class Token(Channels):
    """Like a backbone with a class token: the logits do not depend on its maps."""

    def forward(self, x):
        return BackboneOutput([x, x[:, :, ::2]], summary=x.mean(dim=(2, 3, 4)).repeat(1, 2))


def test_models_without_a_map():
    pooling = PathwayPooling([AvgPooling(), AvgPooling()], [3, 3])
    model = Classifier(Token(), pooling, Linear(randn(4, 6)), use_summary=True).eval()
    assert grad_cam(model, {"video": randn(1, 1, 3, 4, 2, 5)}) is None

    class NoLogits(nn.Module):
        def embed(self, batch):
            return {"video": batch["video"].flatten(2)}

    assert grad_cam(NoLogits(), {"video": randn(1, 1, 3, 4, 2, 5)}) is None
    inside = look_inside(NoLogits(), {"video": randn(1, 1, 3, 4, 2, 5)})
    assert (inside.maps, inside.regions, inside.attention) == (None, None, None)
    assert set(inside.embedded) == {"video"}


WORDS = "MODEL.NUM_CLASSES 3 DATA.NUM_FRAMES 8 DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 "


@pytest.mark.parametrize(
    "words",
    [
        "MODEL.MODEL_NAME VideoResNet MODEL.ARCH r2plus1d_18 RESNET.WIDTH_PER_GROUP 4",
        "MODEL.MODEL_NAME SlowFast MODEL.ARCH slowfast RESNET.DEPTH 18 RESNET.WIDTH_PER_GROUP 8 "
        "RESNET.TRANS_FUNC basic_transform",
        "MODEL.MODEL_NAME X3D MODEL.ARCH x3d X3D.WIDTH_FACTOR 1.0 X3D.DEPTH_FACTOR 1.0",
    ],
)
def test_grad_cam_of_model_families(words):
    """The gradient of the logit by central differences along each channel's constant map."""
    torch.manual_seed(0)
    model = construct_model(make_cfg(WORDS + words)).eval().double()
    batch = {"video": randn(1, 1, 3, 8, 32, 32).double()}
    maps = look_inside(model, batch).maps
    cam, classes = grad_cam(model, batch, torch.tensor([2]))
    assert classes.tolist() == [2]

    def logit(shift, channel):
        moved = [m.clone() for m in maps]
        moved[0][:, channel] += shift
        with torch.no_grad():
            out = BackboneOutput(moved)
            return model.head(model.pooling(full_group(out.maps).tokens))[0, 2]

    size = maps[0][0, 0].numel()
    weights = torch.stack(
        [(logit(1e-3, c) - logit(-1e-3, c)) / 2e-3 / size for c in range(maps[0].shape[1])]
    )
    expected = torch.einsum("c,cthw->thw", weights, maps[0][0]).relu()
    torch.testing.assert_close(cam[0].double(), expected, rtol=1e-2, atol=1e-4 * expected.max())
    assert expected.max() > 0


class Boxes(nn.Module):
    """A feature augmentation of the smallest kind."""

    def forward(self, maps, aug_seed):
        raise AssertionError("crops are not computed")

    def regions(self, maps, aug_seed):
        extent = torch.zeros(len(maps[0]), 1, 3, 2)
        extent[..., 1] = aug_seed.view(-1, 1, 1) / maps[0].shape[2]
        return CropRegions(("half",), extent)


def test_maps_regions_and_attention_of_any_model():
    attentive = PathwayPooling([AttentivePooling(3, num_heads=3) for _ in range(2)], [3, 3])
    model = Classifier(Channels(), attentive, Linear(randn(4, 6)), feature_aug=Boxes()).eval()
    batch = {"video": randn(2, 1, 3, 4, 2, 5), "aug_seed": torch.tensor([2, 2])}
    inside = look_inside(model, batch)
    assert [m.shape for m in inside.maps] == [(2, 3, 4, 2, 5), (2, 3, 2, 2, 5)]
    assert inside.regions.names == ("half",)
    assert inside.regions.extent[1, 0].tolist() == [[0, 0.5]] * 3
    weights, positions = inside.attention
    assert weights.shape == (2, 3, 4 * 2 * 5)
    steps = step_attention(inside.attention, 4)
    expected = weights.view(2, 3, 4, 10).sum(dim=-1)
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(steps.sum(dim=-1), torch.ones(2, 3))
    assert positions.shape == (2, 40)
    assert not model.backbone._forward_hooks  # all hooks are gone
    assert not attentive.pathways[0]._forward_pre_hooks


def test_attention_to_more_steps_than_the_map_has():
    weights = torch.full((1, 2, 8), 1 / 8)
    steps = step_attention(Attention(weights, torch.arange(8)[None]), num_steps=4)
    assert steps.shape == (1, 2, 8)


def test_attentive_pooling_weights_are_those_of_its_forward():
    torch.manual_seed(0)
    pooling = AttentivePooling(6, num_heads=2)
    nn.init.normal_(pooling.query)
    for layer in (pooling.to_query, pooling.to_key, pooling.to_value):
        nn.init.normal_(layer.weight, std=0.7)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    values = randn(2, 5, 6)
    values[1, 3:] = float("nan")
    tokens = Tokens(values, mask, torch.arange(5).expand(2, 5))
    weights = pooling.attention_weights(tokens)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2))
    assert not weights[1, :, 3:].any()
    assert weights.std(dim=-1).min() > 0.01  # not uniform: a wrong scale would show
    heads = pooling.to_value(pooling.norm_tokens(values.nan_to_num())).unflatten(2, (2, 3))
    attended = torch.einsum("nml,nlmc->nmc", weights, heads).flatten(1)
    x = pooling.query + pooling.projection(attended)
    expected = pooling.norm_out(x + pooling.mlp(pooling.norm_mlp(x)))
    torch.testing.assert_close(pooling(tokens), expected)
