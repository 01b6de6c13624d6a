"""What holds for every backbone: the size of its maps, and activations that are recomputed."""

import pytest
import torch
from helpers.configs import make_backbone, make_cfg

NARROW = ("RESNET.WIDTH_PER_GROUP", 8, "X3D.WIDTH_FACTOR", 0.5, "X3D.DEPTH_FACTOR", 0.5)
MVIT = (
    *("MVIT.EMBED_DIM", 16, "MVIT.DEPTH", 3, "MVIT.PATCH_PADDING", [1, 3, 3]),
    *("MVIT.POOL_Q_STRIDE", [[1, 1, 2, 2]], "MVIT.POOL_KV_STRIDE_ADAPTIVE", [1, 4, 4]),
    *("MVIT.REL_POS_SPATIAL", True, "MVIT.REL_POS_TEMPORAL", True, "MVIT.DROPPATH_RATE", 0.5),
)
# Strides in time and space: a started block of frames or pixels is a step or position of its own.
STRIDES = {
    **{"mc3_18": (1, 16), "r2plus1d_18": (8, 16), "r3d_18": (8, 16), "x3d": (1, 32)},
    **{"c2d_nopool": (1, 32), "slow": (1, 32), "csn": (8, 32), "r2plus1d": (4, 32)},
}
RECOMPUTED = {
    **dict.fromkeys(("c3d", "csn", "r2plus1d_18", "r3d_18", "s3dg", "slowfast", "x3d"), ()),
    "slow": ("NONLOCAL.LOCATION", [[[]], [[1]], [[]], [[]]]),
    "mvit": MVIT,
}


def build(arch, *words):
    cfg = make_cfg(f"MODEL.ARCH {arch}")
    cfg.merge_from_list([*NARROW, *words])
    return make_backbone(cfg)


@pytest.mark.parametrize("size", [(1, 32, 32), (5, 33, 70), (8, 33, 48), (9, 40, 24), (16, 33, 65)])
@pytest.mark.parametrize("arch", [*STRIDES, "c2d", "i3d"])
def test_maps_have_the_documented_size(arch, size):
    with torch.device("meta"):
        backbone = build(arch).eval()
        out = backbone(torch.empty(1, 3, *size))
    in_time, in_space = STRIDES.get(arch, (2, 32))
    steps, *in_frame = (
        -(-n // s) for n, s in zip(size, (in_time, in_space, in_space), strict=True)
    )
    if arch in ("c2d", "i3d"):  # pool whole pairs of frames
        steps = max(1, size[0] // 2)
    assert out.summary is None
    assert [tuple(m.shape) for m in out.maps] == [(1, *backbone.out_channels, steps, *in_frame)]


def count_kept(model, x):
    """Run a model; return its outputs, and how many values are kept for the backward pass."""
    sizes = []

    def keep(t):
        sizes.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        return model(x), sum(sizes)


@pytest.mark.parametrize("arch", RECOMPUTED)
def test_recomputed_activations_change_nothing_and_are_not_kept(arch):
    models = [build(arch, *RECOMPUTED[arch], "MODEL.ACT_CHECKPOINT", on) for on in (False, True)]
    x, kept = torch.randn(2, 3, 8, 32, 32), []
    for model in models:
        torch.manual_seed(1)
        out, count = count_kept(model.train(), x)
        kept.append(count)
        parts = [values for values in (*out.maps, out.summary) if values is not None]
        sum(part.square().sum() for part in parts).backward()
    assert kept[1] < 0.5 * kept[0]
    for (name, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6, msg=name)
    # In particular the running statistics: they moved once, not once more in the backward pass.
    for (name, a), b in zip(models[0].named_buffers(), models[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("slow", ("MODEL.DROPCONNECT_RATE", 0.5)),
        ("x3d", ("MODEL.DROPCONNECT_RATE", 0.5)),
        ("mvit", (*MVIT, "MVIT.DROPPATH_RATE", 0.5)),
        ("mvit", (*MVIT, "MVIT.DROPPATH_RATE", 0.0, "MVIT.DROPOUT_RATE", 0.2)),
    ],
)
def test_branches_are_dropped_in_training_only(arch, words):
    model, x = build(arch, *words), torch.randn(4, 3, 2, 32, 32)
    for norm in model.modules():  # a branch that is dropped must not show in the statistics
        if isinstance(norm, torch.nn.BatchNorm3d):
            norm.momentum = 0.0
    with torch.no_grad():
        for training in (True, False):
            one, other = (model.train(training)(x).maps[0] for _ in range(2))
            assert torch.equal(one, other) != training
