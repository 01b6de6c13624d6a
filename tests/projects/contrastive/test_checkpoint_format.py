"""Published weights of contrastive pretraining, under their published names."""

import contrastive
import pytest
import torch
from contrastive.checkpoint_format import moco_image, pyslowfast_contrastive, swav_image

from slowfast.config import get_cfg
from slowfast.models.build import build_model
from slowfast.models.weights import convert_state_dict, load_state


def config(*words):
    cfg = get_cfg()
    contrastive.add_config(cfg)
    cfg.merge_from_list(
        [
            *("MODEL.MODEL_NAME", "ContrastiveModel", "MODEL.LOSS_FUNC", "contrastive_loss"),
            *("MODEL.ARCH", "slow", "RESNET.DEPTH", 50, "RESNET.WIDTH_PER_GROUP", 8),
            *("MODEL.POOLING", "avg", "DATA.INPUT_CHANNEL_NUM", [3], "CONTRASTIVE.DIM", 16),
            *("CONTRASTIVE.MLP_DIM", 24, "CONTRASTIVE.QUEUE_LEN", 12, *words),
        ]
    )
    return cfg


def published(model, *, layers, norm):
    """The state of a model under PySlowFast's names, written out by hand."""
    step = 3 if norm else 2
    state = {}
    for key, value in model.state_dict().items():
        name = key.replace("key_encoder.encoder.backbone.", "backbone_hist.")
        for ours, theirs in (
            ("key_encoder.encoder.head.", "backbone_hist.head.projection.projection."),
            ("head_video.", "backbone.head.projection.projection."),
            ("predictor.", "backbone.head.predictors.0.projection."),
        ):
            if not name.startswith(ours):
                continue
            part, _, leaf = name.removeprefix(ours).rpartition(".")
            depth = 2 if ours == "predictor." else layers
            kind, _, place = part.partition(".")
            number = step * (depth - 1) if kind == "projection" else step * int(place)
            number += kind == "norms"
            if depth == 1:
                name = f"{theirs.removesuffix('projection.')}{leaf}"
            else:
                name = f"{theirs}{number}.{leaf}"
        name = {
            "queue.rows": "queue_x",
            "queue.pointer": "ptr",
            "prototypes.weight": "swav_prototypes.weight",
        }.get(name, name)
        if name.startswith(("queue.", "key_encoder.")) or "queues." in name:
            continue
        value = value + 1 if value.is_floating_point() else value
        state[name] = value.reshape(1) if name == "ptr" else value
    state["knn_mem.memory"] = torch.zeros(5, 1, 16)
    state["iter"] = torch.zeros(1)
    return state


@pytest.mark.parametrize(
    ("kind", "layers", "norm"),
    [
        ("moco", 3, False),
        ("byol", 2, True),
        ("simclr", 3, False),
        ("swav", 3, True),
        ("moco", 1, False),
    ],
)
def test_a_pyslowfast_checkpoint_fills_the_model(kind, layers, norm):
    words = ["CONTRASTIVE.TYPE", kind, "CONTRASTIVE.NUM_MLP_LAYERS", layers]
    words += ["CONTRASTIVE.BN_MLP", norm, "CONTRASTIVE.PREDICTOR_DEPTHS", [2]]
    model = build_model(config(*words))
    state = published(model, layers=layers, norm=norm)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    converted = convert_state_dict(state, own=model.state_dict())
    report = load_state(model, converted)
    assert [key for key in report.missed if not key.startswith("queues.")] == []
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not key.startswith("queues."):
            torch.testing.assert_close(value, before[key] + 1, msg=key)


def image_resnet():
    """A ResNet of two stages' worth of torchvision names is enough to recognize the format."""
    state = {"conv1.weight": torch.zeros(8, 3, 7, 7), "bn1.weight": torch.zeros(8)}
    for stage in range(1, 5):
        for letter in range(1, 4):
            state[f"layer{stage}.0.conv{letter}.weight"] = torch.zeros(8, 8, 1, 1)
            state[f"layer{stage}.0.bn{letter}.weight"] = torch.zeros(8)
        state[f"layer{stage}.0.downsample.0.weight"] = torch.zeros(8, 8, 1, 1)
    return state


def test_moco_on_images():
    state = {f"encoder_q.{key}": value for key, value in image_resnet().items()}
    state |= {f"encoder_k.{key}": value + 1 for key, value in image_resnet().items()}
    state |= {"encoder_q.fc.0.weight": torch.zeros(4, 4), "queue": torch.zeros(4, 9)}
    renamed = moco_image(state)
    assert renamed["backbone.s1.pathway0_stem.conv.weight"].eq(0).all()
    assert renamed["backbone.s5.pathway0_res0.branch2.c_bn.weight"].shape == (8,)
    assert not any("queue" in key or "fc" in key for key in renamed)
    assert moco_image(image_resnet()) is None


def test_swav_on_images():
    state = image_resnet() | {
        "projection_head.0.weight": torch.zeros(4, 4),
        "prototypes.weight": torch.zeros(5, 4),
    }
    renamed = swav_image(state)
    assert "backbone.s2.pathway0_res0.branch1.weight" in renamed
    assert not any("proto" in key or "projection" in key for key in renamed)
    assert swav_image(image_resnet()) is None


def test_other_files_are_not_of_this_format():
    assert pyslowfast_contrastive({"s1.pathway0_stem.conv.weight": torch.zeros(1)}) is None
