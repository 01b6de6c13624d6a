import pytest
import torch
from helpers.configs import make_cfg

from slowfast.models.audio_vit import audio_vit, check_audio_vit
from slowfast.models.build import BACKBONE_REGISTRY, build_model


def _cfg(**section):
    words = "MODEL.MODEL_NAME AudioClassifier AUDIO.ENABLE True AUDIO.ARCH audio_vit "
    words += "AUDIO_VIT.EMBED_DIM 16 AUDIO_VIT.NUM_HEADS 2 AUDIO_VIT.DEPTH 2"
    return make_cfg(words, "AUDIO_VIT", **section)


def _build(**section):
    torch.manual_seed(0)
    return BACKBONE_REGISTRY.get("audio_vit")(_cfg(**section)).eval()


@pytest.mark.parametrize(("dim", "heads", "millions"), [(192, 3, 5.4), (384, 6, 21.4)])
def test_sizes_are_those_of_vit_ti_and_vit_s(dim, heads, millions):
    with torch.device("meta"):
        model = _build(EMBED_DIM=dim, NUM_HEADS=heads, DEPTH=12)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize("positions", ["learned", "sincos"])
@pytest.mark.parametrize(
    ("size", "grid"),
    [((80, 99), (5, 7)), ((80, 1), (5, 1)), ((40, 160), (3, 10)), ((7, 7), (1, 1))],
)
def test_a_map_of_any_size(positions, size, grid):
    model = _build(POSITIONS=positions)
    with torch.no_grad():
        out = model(torch.randn(2, 1, *size))
    assert out.maps[0].shape == (2, *model.out_channels, *grid)
    assert out.maps[0].isfinite().all()
    assert out.summary is None
    assert model.pos_embed.requires_grad == (positions == "learned")


def test_the_grid_is_that_of_the_audio_of_training():
    cfg = _cfg()
    assert audio_vit(cfg).grid == (5, 7)  # 80 bins; 1 s in hops of 10 ms: 99 steps
    cfg.AUDIO.CLIP_SEC, cfg.AUDIO.NUM_MEL = 2.0, 40
    assert audio_vit(cfg).grid == (3, 13)


def test_overlapping_patches_cover_the_whole_spectrogram():
    model = _build(PATCH_KERNEL=[16, 16], PATCH_STRIDE=[10, 10])
    audio = torch.zeros(1, 1, 80, 99)
    with torch.no_grad():
        silent = model(audio).maps[0]
        assert silent.shape[2:] == (8, 10)
        for at in ((0, 0), (79, 98)):
            audio.zero_()[(0, 0, *at)] = 5
            assert not torch.allclose(model(audio).maps[0], silent)


def test_order_in_time_matters():
    model = _build()
    audio = torch.randn(1, 1, 80, 96)
    with torch.no_grad():
        forward = model(audio).maps[0]
        swapped = model(torch.cat([audio[..., 48:], audio[..., :48]], dim=3)).maps[0]
    back = torch.cat([swapped[..., 3:], swapped[..., :3]], dim=3)
    assert not torch.allclose(forward, back, atol=1e-4)


def test_weights_for_a_longer_clip_are_fitted():
    theirs, ours = _cfg(), _cfg()
    theirs.AUDIO.CLIP_SEC = 2.0
    long, short = audio_vit(theirs).eval(), audio_vit(ours).eval()
    state = long.state_dict()
    state["pos_embed"] = short.adapt_tensor("pos_embed", long.pos_embed, short.pos_embed)
    short.load_state_dict(state)
    audio = torch.randn(1, 1, 80, 99)
    with torch.no_grad():
        torch.testing.assert_close(short(audio).maps[0], long(audio).maps[0])
    assert short.adapt_tensor("norm.weight", torch.ones(3), torch.ones(4)) is None
    assert short.adapt_tensor("pos_embed", torch.ones(1, 13, 16), short.pos_embed) is None


@pytest.mark.parametrize("pooling", ["native", "avg"])
def test_a_classifier_of_audio_learns_all_of_it(pooling):
    cfg = _cfg(DROPPATH_RATE=0.1)
    cfg.MODEL.POOLING, cfg.MODEL.NUM_CLASSES = pooling, 5
    torch.manual_seed(0)
    model = build_model(cfg).train()
    logits = model({"audio": torch.randn(4, 2, 1, 80, 99)}).logits
    assert logits.shape == (4, 2, 5)
    logits.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_layers_are_numbered_and_positions_spared():
    model = build_model(_cfg())
    assert model.layer_id("backbone.proj.weight") == model.layer_id("backbone.pos_embed") == 0
    assert model.layer_id("backbone.blocks.1.norm1.weight") == 2
    assert model.layer_id("backbone.norm.weight") == model.num_layers == 3
    assert model.no_weight_decay() == {"backbone.pos_embed"}


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ({"PATCH_KERNEL": [16]}, "PATCH_KERNEL", "expected mel bins and time frames"),
        ({"PATCH_STRIDE": [16, 0]}, "PATCH_STRIDE", "each at least 1"),
        ({"POSITIONS": "learnt"}, "POSITIONS", "Did you mean 'learned'?"),
        ({"DEPTH": 0}, "DEPTH", "at least 1"),
        ({"NUM_HEADS": 3}, "EMBED_DIM", "got 16, expected a multiple of 3"),
        ({"POSITIONS": "sincos", "EMBED_DIM": 18}, "EMBED_DIM", "a multiple of 4"),
    ],
)
def test_problems(section, key, words):
    (problem,) = check_audio_vit(_cfg(**section))
    assert problem.key == f"AUDIO_VIT.{key}"
    assert words in problem.message


def test_no_problem_without_it():
    assert check_audio_vit(_cfg()) == []
    cfg = _cfg(DEPTH=0)
    cfg.AUDIO.ARCH = "audio_resnet9"
    assert check_audio_vit(cfg) == []
