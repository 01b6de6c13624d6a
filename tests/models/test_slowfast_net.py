import numpy as np
import pytest
import torch
from helpers.blocks import randomize
from helpers.configs import make_backbone, make_cfg
from reference.resnet_block import fuse
from torch import nn

from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.resnet.slowfast_net import FuseFastToSlow, slow_and_fast
from slowfast.utils.pathways import pick_frames


def _cfg(alpha=4, width=8, **slowfast):
    words = f"MODEL.ARCH slowfast RESNET.WIDTH_PER_GROUP {width} SLOWFAST.ALPHA {alpha}"
    return make_cfg(words, "SLOWFAST", **slowfast)


def _build(**settings):
    return make_backbone(_cfg(**settings))


def test_the_slow_pathway_sees_the_first_and_the_last_frame():
    video = torch.arange(32.0).reshape(1, 1, 32, 1, 1).expand(2, 3, 32, 1, 1)
    slow, fast = slow_and_fast(video, 8)
    assert slow[0, 0, :, 0, 0].tolist() == [0, 10, 20, 31]
    assert torch.equal(fast, video)
    assert pick_frames(video, 32) is video
    assert slow_and_fast(video[:, :, :3], 8)[0].shape[2] == 1  # never no frame at all


@pytest.mark.parametrize(("alpha", "frames"), [(4, 5), (2, 7), (8, 5)])
def test_lateral_fusion_is_the_oracles(alpha, frames):
    module = FuseFastToSlow([6, 4], ratio=2, frames=frames, alpha=alpha, norm=nn.BatchNorm3d)
    state = randomize(module)
    slow = torch.randn(2, 6, 16 // alpha, 3, 2, dtype=torch.float64)
    fast = torch.randn(2, 4, 16, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        joined, same = module([slow, fast])
    assert same is fast
    assert [joined.shape[1], same.shape[1]] == module.dims_out == [14, 4]
    expected = fuse(slow.numpy(), fast.numpy(), state, alpha)
    np.testing.assert_allclose(joined.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("frames", "steps"), [(32, 8), (30, 7), (33, 8), (9, 2), (4, 1), (3, 1), (1, 1)]
)
def test_any_number_of_frames_and_pixels(frames, steps):
    model = _build().eval()
    with torch.no_grad():
        out = model(torch.randn(1, 3, frames, 33, 70))
    assert model.out_channels == [256, 32]
    assert [tuple(m.shape) for m in out.maps] == [(1, 256, steps, 2, 3), (1, 32, frames, 2, 3)]


def test_information_flows_from_fast_to_slow_only():
    model = _build().eval()
    video = torch.randn(1, 3, 16, 32, 32)
    moved = video.clone()
    moved[:, :, 7] += 1  # a frame that only the fast pathway sees: the slow one's are 0, 5, 10, 15
    with torch.no_grad():
        slow, fast = model(video).maps
        slow_moved, fast_moved = model(moved).maps
        for fusion in (model.s1_fuse, model.s2_fuse, model.s3_fuse, model.s4_fuse):
            fusion.bn.weight.zero_()
        cut, _ = model(video).maps
        cut_moved, _ = model(moved).maps
    assert not torch.equal(slow, slow_moved)
    assert not torch.equal(fast, fast_moved)
    assert torch.equal(cut, cut_moved)


def test_one_entry_serves_both_pathways():
    single, both = _cfg(), _cfg()
    both.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3, 3], [4, 4], [6, 6], [3, 3]]
    both.RESNET.SPATIAL_STRIDES = [[1, 1], [2, 2], [2, 2], [2, 2]]
    both.NONLOCAL.LOCATION = [[[], []], [[], []], [[], []], [[], []]]
    with torch.device("meta"):
        models = [BACKBONE_REGISTRY.get("slowfast")(cfg) for cfg in (single, both)]
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in models]
    assert shapes[0] == shapes[1]


def test_pathways_have_settings_of_their_own():
    cfg = _cfg()
    cfg.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3, 0], [4, 1], [6, 2], [0, 3]]
    cfg.NONLOCAL.LOCATION = [[[], []], [[1], []], [[], [0]], [[], []]]
    model = BACKBONE_REGISTRY.get("slowfast")(cfg)

    def kernels(stage, pathway, depth):
        blocks = [getattr(stage, f"pathway{pathway}_res{i}") for i in range(depth)]
        return [block.branch2.a.kernel_size[0] for block in blocks]

    assert kernels(model.s4, 0, 6) == [3] * 6
    assert kernels(model.s4, 1, 6) == [3, 3, 1, 1, 1, 1]
    assert kernels(model.s5, 0, 3) == [1, 1, 1]
    assert kernels(model.s2, 1, 3) == [1, 1, 1]
    names = {name for name, _ in model.named_modules() if name.endswith(("nonlocal1", "nonlocal0"))}
    assert names == {"s3.pathway0_nonlocal1", "s4.pathway1_nonlocal0"}
