"""Input crops agree with cutting each crop of each clip by hand and encoding it alone."""

from pathlib import Path

import pytest
import torch
from helpers.stica_cfg import small_stica
from stica.config import CROP_KINDS, check_config
from stica.crops import crop_names, feature_crop
from stica.input_crops import InputCrop
from torch.utils.flop_counter import FlopCounterMode

from slowfast.config import load_config
from slowfast.engine.sweep.schema import load_sweep
from slowfast.models.build import LOSS_REGISTRY, build_model

ROOT = Path(__file__).parents[3]
B, V = 2, 2


def _batch(cfg, frames=8, side=40):
    generator = torch.Generator().manual_seed(3)
    return {
        "video": torch.randn(B, V, 3, frames, side, side, generator=generator),
        "audio": torch.randn(B, 1, 1, cfg.AUDIO.NUM_MEL, 20, generator=generator),
        "aug_seed": torch.arange(7, 7 + B),
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(small_stica("STICA.CROP_STAGE", "input")).eval()


def test_every_crop_is_the_backbone_of_its_own_patch(model):
    """Slow oracle: one clip and one crop at a time."""
    cfg = small_stica()
    video = _batch(cfg)["video"].flatten(0, 1)
    seed = torch.arange(7, 7 + B)
    maps = model.backbone(video).maps
    crops = feature_crop(cfg)
    groups = InputCrop(crops).crop_clips(model.backbone, video, maps, seed)
    boxes = crops.sample([video.shape[2:]], seed, B * V)[0]
    assert [name for group in groups for name in group.names] == list(
        crop_names({name: kind.num for name, kind in crops.kinds.items()})
    )
    seen = {"space": 0, "time": 0}
    for group in groups:
        axis = group.names[0].split("_")[0]
        for slot in range(len(group.names)):
            for row in range(B * V):
                index = seen[axis] + slot
                if axis == "space":
                    top, bottom, left, right = boxes.space[row, index].tolist()
                    patch, shift = video[row : row + 1, :, :, top:bottom, left:right], 0
                else:
                    start, stop = boxes.time[row, index].tolist()
                    patch = video[row : row + 1, :, start:stop]
                    shift = start * maps[0].shape[2] // video.shape[2]
                expected = model.backbone(patch).maps[0].mean(dim=(3, 4))[0].T  # (T', C)
                place = slot * B * V + row
                got = group.tokens[0]
                torch.testing.assert_close(got.values[place], expected, rtol=1e-4, atol=1e-5)
                last = maps[0].shape[2] - 1
                steps = [min(step + shift, last) for step in range(len(expected))]
                assert got.positions[place].tolist() == steps
                assert group.sample[place] == row
        seen[axis] += len(group.names)


def test_a_crop_sees_no_pixel_outside_it(model):
    """The difference to feature crops, whose positions see most of the clip."""
    cfg = small_stica("FEATURE_CROP.TIME_LARGE.NUM", 0, "FEATURE_CROP.TIME_SMALL.NUM", 0)
    crops, seed = feature_crop(cfg), torch.arange(7, 7 + B)
    video = _batch(cfg)["video"].flatten(0, 1).requires_grad_()
    maps = [m.detach() for m in model.backbone(video).maps]
    groups = InputCrop(crops).crop_clips(model.backbone, video, maps, seed)
    groups[1].tokens[0].values[0].sum().backward()  # the first small crop of the first clip
    top, bottom, left, right = crops.sample([video.shape[2:]], seed, B * V)[0].space[0, 2].tolist()
    outside = torch.ones(video.shape[-2:], dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert video.grad[0, :, :, ~outside].abs().sum() > 0
    assert video.grad[0, :, :, outside].abs().sum() == 0
    assert video.grad[1:].abs().sum() == 0


def test_training_step_has_the_same_outputs_in_shape_and_all_gradients():
    cfg = small_stica("STICA.CROP_STAGE", "input")
    model = build_model(cfg).train()
    batch = _batch(cfg)
    outputs = model(batch)
    for name in CROP_KINDS:
        num = cfg.FEATURE_CROP[CROP_KINDS[name]].NUM
        assert getattr(outputs, name).shape == (V, num, B, cfg.STICA.EMBED_DIM)
    LOSS_REGISTRY.get("stica")(cfg)(outputs, batch)["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_another_stage_is_refused():
    (problem,) = check_config(small_stica("STICA.CROP_STAGE", "middle"))
    assert problem.key == "STICA.CROP_STAGE"
    assert "got 'middle', expected one of 'features', 'input'" in problem.message


@pytest.mark.parametrize(("pooling", "ratio"), [("avg", 5.6), ("transformer", 4.8)])
def test_the_cost_of_input_crops_in_equal_number_is_as_written(pooling, ratio):
    features, inputs = (
        load_sweep(ROOT / f"configs/StiCA/sweeps/when_order{s}.yaml").axes[0]
        for s in ("", "_input_count")
    )
    ours = _step_flops(features.bundles[f"{pooling}+both"])
    theirs = _step_flops(inputs.bundles[f"{pooling}+input_count"])
    assert theirs / ours == pytest.approx(ratio, abs=0.05)
    text = (ROOT / "configs/StiCA/sweeps/_when_input_count.yaml").read_text(encoding="utf-8")
    assert "4.8 to 5.6 times the FLOPs" in text


@pytest.mark.parametrize("pooling", ["avg", "transformer"])
def test_arm_of_equal_cost_has_the_flops_of_feature_crops(pooling):
    (features,), (inputs,) = (
        load_sweep(ROOT / f"configs/StiCA/sweeps/when_order{s}.yaml").axes for s in ("", "_input")
    )
    ours = _step_flops(features.bundles[f"{pooling}+both"])
    assert _step_flops(inputs.bundles[f"{pooling}+input_cost"]) == pytest.approx(ours, rel=0.05)


def _step_flops(bundle):
    """Forward and backward of four clips, at the size of the sweep's runs."""
    (stage,) = load_sweep(ROOT / "configs/StiCA/sweeps/when_order.yaml").stages
    keys = {**stage.overrides, **bundle[""], "DATA.DEMO_CFG": "configs/StiCA/demo.yaml"}
    keys = {key: value for key, value in keys.items() if "{" not in str(value)}
    words = [str(word) for pair in keys.items() for word in pair]
    cfg = load_config(ROOT / "configs/StiCA/R2plus1D_pretrain.yaml", words).cfg
    batch = _batch(cfg, frames=cfg.DATA.NUM_FRAMES, side=cfg.DATA.TRAIN_CROP_SIZE)
    model = build_model(cfg).train()
    with FlopCounterMode(display=False) as counter:
        LOSS_REGISTRY.get("stica")(cfg)(model(batch), batch)["loss"].backward()
    return counter.get_total_flops()
