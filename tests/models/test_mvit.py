import pytest
import torch
from helpers.configs import make_backbone

from slowfast.config import get_cfg, load_config
from slowfast.models.build import BACKBONE_REGISTRY, build_model

SMALL = (
    *("MVIT.EMBED_DIM", 16, "MVIT.DEPTH", 3, "DATA.NUM_FRAMES", 4, "DATA.TRAIN_CROP_SIZE", 32),
    *("MVIT.DIM_MUL", [[1, 2.0]], "MVIT.HEAD_MUL", [[1, 2.0]], "MVIT.DROPPATH_RATE", 0.0),
    *(
        "MVIT.POOL_Q_STRIDE",
        [[0, 1, 1, 1], [1, 1, 2, 2]],
        "MVIT.POOL_KV_STRIDE_ADAPTIVE",
        [1, 4, 4],
    ),
    *("MVIT.PATCH_PADDING", [1, 3, 3]),
)
RELATIVE = ("MVIT.USE_ABS_POS", False, "MVIT.REL_POS_SPATIAL", True, "MVIT.REL_POS_TEMPORAL", True)
KINDS = {
    "joint": (),
    "separable": ("MVIT.SEP_POS_EMBED", True),
    "sincos": ("MVIT.USE_FIXED_SINCOS_POS", True),
    "relative": RELATIVE,
    "images": ("MVIT.PATCH_2D", True, "MVIT.PATCH_KERNEL", [8, 8], "MVIT.PATCH_STRIDE", [8, 8]),
}


def _cfg(*words):
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH = "MViT", "mvit"
    cfg.merge_from_list([*SMALL, *words])
    return cfg


def _build(*words):
    return make_backbone(_cfg(*words)).eval()


@pytest.mark.parametrize(
    ("name", "crop", "expected"),
    [
        ("Kinetics/MVITv2_S_16x4.yaml", 112, (768, 8, 4, 4)),
        ("Kinetics/MVITv2_S_16x4.yaml", 256, (768, 8, 8, 8)),
        ("Kinetics/MVIT_B_16x4_CONV.yaml", 112, (768, 8, 4, 4)),
        ("masked_ssl/k400_VIT_B_16x4_FT.yaml", 112, (768, 8, 7, 7)),
        ("masked_ssl/in1k_VIT_B_MaskFeat_FT.yaml", 224, (768, 1, 14, 14)),
    ],
)
def test_maps_at_other_sizes(name, crop, expected):
    cfg = load_config(name, ["NUM_GPUS", "0"]).cfg
    with torch.device("meta"), torch.no_grad():
        out = BACKBONE_REGISTRY.get("mvit")(cfg).eval()(
            torch.empty(1, 3, cfg.DATA.NUM_FRAMES, crop, crop)
        )
    assert out.maps[0].shape[1:] == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(4, 32, 32), (1, 8, 24), (9, 47, 33)])
def test_any_clip_goes_through(kind, size):
    model = _build(*KINDS[kind])
    with torch.no_grad():
        out = model(torch.randn(2, 3, *size))
    assert out.maps[0].shape[:2] == (2, *model.out_channels)
    assert out.maps[0].isfinite().all()
    assert out.summary.shape == (2, *model.out_channels)


def test_a_clip_smaller_than_a_patch_is_an_error():
    model = _build("MVIT.PATCH_KERNEL", [2, 16, 16], "MVIT.PATCH_PADDING", [0, 0, 0])
    with pytest.raises(
        ValueError, match=r"1 x 32 x 32, smaller than one patch.*MVIT\.PATCH_KERNEL"
    ):
        model(torch.randn(1, 3, 1, 32, 32))


def test_every_frame_of_flat_patches_is_embedded_for_itself():
    model = _build(*KINDS["images"])
    video = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        patches = model.patch_embed(video)
        assert patches.shape == (2, 16, 4, 4, 4)
        for t in range(4):
            torch.testing.assert_close(patches[:, :, t], model.patch_embed.proj(video[:, :, t]))


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("mean", [True, False])
def test_what_summarizes_a_clip(token, mean):
    model = _build("MVIT.CLS_EMBED_ON", token, "MVIT.USE_MEAN_POOLING", mean)
    seen = []
    model.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        out = model(torch.randn(2, 3, 4, 32, 32))
        tokens = seen[0][:, int(token) :]
        expected = model.norm(tokens).transpose(1, 2).unflatten(2, out.maps[0].shape[2:])
        torch.testing.assert_close(out.maps[0], expected)
        if mean:
            torch.testing.assert_close(out.summary, model.norm(tokens.mean(dim=1)))
        elif token:
            torch.testing.assert_close(out.summary, model.norm(seen[0][:, 0]))
        else:
            assert out.summary is None


def test_norm_of_the_stem():
    model = _build("MVIT.NORM_STEM", True)
    assert {"norm_stem.weight", "norm_stem.bias"} <= set(model.state_dict())
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model.norm_stem.bias.fill_(3.0)
        model(torch.randn(2, 3, 4, 32, 32))
    means = seen[0].mean(dim=-1)
    torch.testing.assert_close(means, torch.full_like(means, 3.0))


def test_residual_branches_are_dropped_more_and_more():
    model = _build("MVIT.DROPPATH_RATE", 0.4)
    assert [block.drop_path.rate for block in model.blocks] == pytest.approx([0.0, 0.2, 0.4])


def test_initial_weights_are_as_published():
    torch.manual_seed(0)
    model = build_model(_cfg("MVIT.EMBED_DIM", 64, "MVIT.HEAD_INIT_SCALE", 0.1))
    backbone = model.backbone
    for weight in (
        *(backbone.blocks[1].attn.qkv.weight, backbone.blocks[2].mlp.fc1.weight),
        *(backbone.patch_embed.proj.weight, backbone.pos_embed),
    ):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    for bias in (backbone.blocks[1].attn.qkv.bias, backbone.norm.bias):
        assert (bias == 0.02).all()
    assert (backbone.norm.weight == 1).all()
    head = model.head.projection
    assert head.weight.std().item() == pytest.approx(0.002, rel=0.05)
    torch.testing.assert_close(head.bias, torch.full_like(head.bias, 0.002))


def test_weight_decay_may_spare_positions():
    names = _build(
        *RELATIVE, "MVIT.USE_ABS_POS", True, "MVIT.SEP_POS_EMBED", True
    ).no_weight_decay()
    assert {"cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"} <= names
    assert {f"blocks.{i}.attn.rel_pos_{axis}" for i in range(3) for axis in "thw"} <= names
    assert len(names) == 4 + 9
    assert _build("MVIT.ZERO_DECAY_POS_CLS", False).no_weight_decay() == set()


def test_layers_are_numbered_from_patches_to_head():
    model = build_model(_cfg())
    assert model.num_layers == 4
    expected = {
        "backbone.patch_embed.proj.weight": 0,
        "backbone.cls_token": 0,
        "backbone.pos_embed": 0,
        "backbone.blocks.0.attn.qkv.weight": 1,
        "backbone.blocks.2.mlp.fc1.bias": 3,
        "backbone.norm.weight": 4,
        "head.projection.weight": 4,
    }
    assert {name: model.layer_id(name) for name in expected} == expected
    assert {model.layer_id(name) for name, _ in model.named_parameters()} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("kind", ["joint", "separable", "relative"])
def test_weights_for_another_clip_are_fitted_as_the_clip_would_be(kind):
    """A model that runs on a clip it was not built for is a model built for that clip."""
    theirs = _build(*KINDS[kind])
    ours = _build(*KINDS[kind], "DATA.NUM_FRAMES", 8, "DATA.TRAIN_CROP_SIZE", 48)
    own = ours.state_dict()
    state = {
        name: value if value.shape == own[name].shape else ours.adapt_tensor(name, value, own[name])
        for name, value in theirs.state_dict().items()
    }
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 8, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(x).maps[0], theirs(x).maps[0], rtol=1e-4, atol=1e-4)


def test_other_weights_are_not_fitted():
    model = _build(*RELATIVE)
    for name, shape in (("blocks.0.norm1.weight", (7,)), ("blocks.0.attn.rel_pos_h", (7, 5))):
        assert model.adapt_tensor(name, torch.zeros(shape), model.state_dict()[name]) is None
