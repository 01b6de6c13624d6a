import pytest
import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError, get_cfg, load_config
from slowfast.models.audio_classifier import AudioClassifier
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.weights import load_state


def _model(**model):
    cfg = get_cfg()
    cfg.MODEL.NUM_CLASSES = 7
    cfg.MODEL.DROPOUT_RATE = 0.0
    cfg.AUDIO.WIDTH = 4
    for key, value in model.items():
        cfg.MODEL[key] = value
    torch.manual_seed(0)
    return MODEL_REGISTRY.get("AudioClassifier")(cfg)


def _batch(rows=2, clips=3):
    generator = torch.Generator().manual_seed(1)
    return {"audio": torch.randn(rows, clips, 1, 40, 90, generator=generator)}


def test_clips_are_classified_one_by_one():
    model = _model().eval()
    batch = _batch()
    logits = model(batch).logits
    assert logits.shape == (2, 3, 7)
    one = model({"audio": batch["audio"][1:, 2:]}).logits
    torch.testing.assert_close(logits[1:, 2:], one)


def test_embeds_audio_averaged_over_bins_and_time():
    model = _model().eval()
    batch = _batch()
    out = model.embed(batch)
    maps = model.backbone(batch["audio"].flatten(0, 1)).maps[0]
    assert set(out) == {"audio", "logits"}
    torch.testing.assert_close(out["audio"].flatten(0, 1), maps.mean(dim=(2, 3)))


@pytest.mark.parametrize("pooling", ["avg", "attentive"])
def test_poolings_work_on_audio(pooling):
    model = _model(POOLING=pooling, ATTENTIVE_HEADS=4, FREEZE_BACKBONE=True).train()
    model(_batch()).logits.square().sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.pooling.parameters())


def test_time_is_time_for_the_pooling():
    model = _model()
    maps = model.encode(_batch()).maps[0]
    raw = model.backbone(_batch()["audio"].flatten(0, 1)).maps[0]  # (6, C, F', S')
    assert maps.shape == (6, 32, raw.shape[3], raw.shape[2], 1)


def test_takes_the_audio_branch_of_an_audio_visual_model():
    model, other = _model(), _model()
    source = {
        f"audio_{k}": v + 1 for k, v in other.state_dict().items() if k.startswith("backbone")
    }
    video = {"backbone.conv1.weight": torch.zeros(1), "pooling.pathways.0.x": torch.zeros(1)}
    report = load_state(model, model.adapt_state(source | video))
    assert not report.skipped
    assert report.missed == ["head.projection.bias", "head.projection.weight"]
    torch.testing.assert_close(
        model.backbone.conv1.weight, other.backbone.conv1.weight + 1, rtol=0, atol=0
    )


def test_takes_its_own_weights_as_they_are():
    state = _model().state_dict()
    assert AudioClassifier.adapt_state(state).keys() == state.keys()


def test_needs_audio():
    with pytest.raises(UserError, match=r"AUDIO.ENABLE: MODEL.MODEL_NAME AudioClassifier needs"):
        load_config(None, ["MODEL.MODEL_NAME", "AudioClassifier", "MODEL.ARCH", "r3d_18"])
