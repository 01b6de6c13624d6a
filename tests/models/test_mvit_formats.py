import pytest
import torch
from helpers.configs import make_cfg

from slowfast.models.build import build_model
from slowfast.models.mvit.formats import (
    pyslowfast_mvit,
    pyslowfast_mvit_other_qkv,
    pytorchvideo_mvit,
    torchvision_mvit,
)
from slowfast.models.weights import load_state


def _tiny(**section):
    words = "MODEL.MODEL_NAME MViT MODEL.ARCH mvit MODEL.NUM_CLASSES 5 DATA.NUM_FRAMES 2 "
    words += "DATA.TRAIN_CROP_SIZE 16 MVIT.DEPTH 2 MVIT.EMBED_DIM 8 MVIT.NUM_HEADS 2"
    torch.manual_seed(0)
    return build_model(make_cfg(words, "MVIT", **section)).eval()


def _theirs(model):
    """Name a model's weights as PySlowFast does."""
    return {name.removeprefix("backbone."): value for name, value in model.state_dict().items()}


def test_pytorchvideos_projections_are_joined_in_the_order_of_the_rows():
    state = {
        "patch_embed.patch_model.weight": torch.zeros(1),
        **{f"blocks.0.attn.{part}.bias": torch.full((2,), i) for i, part in enumerate("qkv")},
        "blocks.0.attn._attention_pool_q.pool.weight": torch.zeros(1),
        "head.proj.bias": torch.ones(3),
    }
    renamed = pytorchvideo_mvit(state)
    assert renamed["backbone.blocks.0.attn.qkv.bias"].tolist() == [0, 0, 1, 1, 2, 2]
    assert set(renamed) == {
        "backbone.patch_embed.proj.weight",
        "backbone.blocks.0.attn.qkv.bias",
        "head.projection.bias",
    }


def test_torchvisions_positions_get_our_shapes():
    state = {
        "conv_proj.weight": torch.zeros(1),
        "pos_encoding.class_token": torch.arange(4.0),
        "pos_encoding.spatial_pos": torch.arange(8.0).view(2, 4),
        "blocks.3.attn.pool_q.norm_act.0.weight": torch.ones(2),
        "blocks.3.mlp.3.bias": torch.ones(2),
        "blocks.3.project.bias": torch.ones(2),
        "blocks.3.attn.project.0.bias": torch.ones(2),
    }
    renamed = torchvision_mvit(state)
    assert renamed["backbone.cls_token"].shape == (1, 1, 4)
    assert torch.equal(renamed["backbone.pos_embed_spatial"][0], state["pos_encoding.spatial_pos"])
    block = "backbone.blocks.3."
    assert {f"{block}attn.norm_q.weight", f"{block}mlp.fc2.bias", f"{block}proj.bias"} <= set(
        renamed
    )
    assert f"{block}attn.proj.bias" in renamed


@pytest.mark.parametrize("separate", [True, False])
def test_projections_may_be_apart_in_one_and_joined_in_the_other(separate):
    model, other = _tiny(SEPARATE_QKV=separate), _tiny(SEPARATE_QKV=not separate)
    report = load_state(other, pyslowfast_mvit_other_qkv(_theirs(model)))
    assert not report.missed
    assert not report.skipped
    video = torch.randn(2, 3, 2, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(other.backbone(video).maps, model.backbone(video).maps)


def test_masked_pretrainings_encoder_is_taken_and_its_decoder_left():
    model = _tiny()
    state = _theirs(model)
    state = {key: value for key, value in state.items() if not key.startswith("head.")}
    report = load_state(
        model, pyslowfast_mvit({**state, "pred_head.projections.0.weight": torch.ones(2)})
    )
    assert report.missed == ["head.projection.bias", "head.projection.weight"]
    assert list(report.skipped) == ["backbone.pred_head.projections.0.weight"]


def test_a_published_file_for_a_longer_and_larger_clip_is_loaded_and_fitted():
    model = _tiny(SEP_POS_EMBED=True, REL_POS_SPATIAL=True, REL_POS_TEMPORAL=True)
    state = _theirs(model)
    state["pos_embed_spatial"] = torch.randn(1, 49, 8)
    state["pos_embed_temporal"] = torch.randn(1, 5, 8)
    state["blocks.1.attn.rel_pos_h"] = torch.randn(13, 4)
    report = load_state(model, pyslowfast_mvit(state))
    assert not report.missed
    assert not report.skipped
    names = ("pos_embed_spatial", "pos_embed_temporal", "blocks.1.attn.rel_pos_h")
    assert set(report.adapted) == {f"backbone.{name}" for name in names}
