"""Both ideas on any classifier, by two keys: MODEL.POOLING and MODEL.FEATURE_AUG."""

import pytest
import torch

from slowfast.models.build import build_model


@pytest.fixture
def supervised(cfg):
    cfg.MODEL.MODEL_NAME = "VideoResNet"
    cfg.MODEL.HEAD = "linear"
    cfg.MODEL.LOSS_FUNC = "cross_entropy"
    cfg.MODEL.NUM_CLASSES = 5
    cfg.MODEL.DROPOUT_RATE = 0.0
    return cfg


def _batch(views=1):
    generator = torch.Generator().manual_seed(0)
    return {
        "video": torch.randn(2, views, 3, 16, 48, 48, generator=generator),
        "label": torch.tensor([1, 4]),
        "aug_seed": torch.tensor([8, 9]),
    }


def test_views_of_a_sample_are_cropped_apart(supervised):
    model, batch = build_model(supervised), _batch(views=2)
    batch["video"] = batch["video"][:, :1].expand(-1, 2, -1, -1, -1, -1)
    crops = model(batch).crop_logits
    assert crops.shape == (9, 2, 2, 5)
    assert not torch.allclose(crops[:, :, 0], crops[:, :, 1])


def test_without_the_two_keys_nothing_changes(supervised):
    supervised.MODEL.POOLING, supervised.MODEL.FEATURE_AUG = "native", "none"
    torch.manual_seed(0)
    plain = build_model(supervised)(_batch())
    supervised.FEATURE_CROP.SPACE_LARGE.NUM = 7
    supervised.TEMPORAL_TRANSFORMER.LAYERS = 3
    torch.manual_seed(0)
    with_sections = build_model(supervised)(_batch())
    assert plain.crop_logits is None
    assert torch.equal(plain.logits, with_sections.logits)


def test_pretrained_attention_goes_into_a_classifier(cfg, supervised):
    classifier = build_model(supervised)
    cfg.MODEL.MODEL_NAME, cfg.MODEL.HEAD = "StiCA", "stica_projection"
    pretrained = build_model(cfg)
    own, theirs = classifier.state_dict(), pretrained.state_dict()
    shared = {key for key in own if not key.startswith("head.")}
    assert shared <= set(theirs)
    assert all(own[key].shape == theirs[key].shape for key in shared)
