import numpy as np
import pytest
import torch
from reference.mvit_block import block as plain_block

from slowfast.models.mvit.block import MultiscaleBlock
from slowfast.models.mvit.stage_config import BlockOptions, BlockShape

SHAPE = BlockShape(8, 8, 8, 2, (3, 4, 5))
POOLED = SHAPE._replace(
    kernel_q=(3, 3, 3), stride_q=(1, 2, 2), kernel_kv=(3, 3, 3), stride_kv=(1, 3, 2)
)
RELATIVE = {"relative_space": True, "relative_time": True}
CASES = {
    "plain": (SHAPE, {}),
    "without class token": (SHAPE, {"class_token": False}),
    "without bias": (SHAPE, {"qkv_bias": False}),
    "pooled": (POOLED, {}),
    "pooled with stride 1": (SHAPE._replace(kernel_q=(3, 3, 3)), {}),
    "only keys and values pooled": (
        SHAPE._replace(kernel_kv=(1, 5, 5), stride_kv=(1, 4, 4)),
        {"class_token": False},
    ),
    "averaged": (POOLED, {"mode": "avg"}),
    "largest": (POOLED, {"mode": "max"}),
    "pooled first": (POOLED, {"pool_first": True}),
    "a kernel per head": (POOLED, {"pool_first": True, "mode": "conv_unshared"}),
    "three projections": (POOLED, {"separate_qkv": True}),
    "residual pooling": (POOLED, {"residual_pooling": True}),
    "residual pooling without class token": (
        POOLED,
        {"residual_pooling": True, "class_token": False},
    ),
    "relative positions": (SHAPE, RELATIVE),
    "relative positions, pooled": (POOLED, RELATIVE),
    "relative positions in space": (POOLED, {"relative_space": True, "class_token": False}),
    "relative positions in time, pooled": (
        POOLED._replace(stride_q=(2, 1, 1)),
        {"relative_time": True},
    ),
    "relative positions for another clip": (POOLED._replace(grid=(5, 8, 8)), RELATIVE),
    "layer scale": (POOLED, {"layer_scale": 0.3}),
    "wider in the MLP": (POOLED._replace(dim_out=12), {}),
    "wider in the attention": (POOLED._replace(dim_attention=12, dim_out=12), {}),
    "MViTv2": (
        POOLED._replace(dim_attention=12, dim_out=12),
        {**RELATIVE, "residual_pooling": True},
    ),
}


def _build(shape, options, seed=0):
    torch.manual_seed(seed)
    block = MultiscaleBlock(shape, BlockOptions(**options)).eval().double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


def _spec(shape, options):
    return {
        "heads": shape.num_heads,
        "mode": options.mode,
        "pool_first": options.pool_first,
        "separate_qkv": options.separate_qkv,
        "class_token": options.class_token,
        "residual_pooling": options.residual_pooling,
        "widen_in_attention": shape.dim_attention != shape.dim,
        "kernel_q": shape.kernel_q,
        "stride_q": shape.stride_q,
        **{f"kernel_{part}": shape.kernel_kv for part in "kv"},
        **{f"stride_{part}": shape.stride_kv for part in "kv"},
    }


@pytest.mark.parametrize("case", CASES)
def test_block_equals_plain_loops(case):
    shape, words = CASES[case]
    options, grid = BlockOptions(**words), (3, 4, 5)
    block = _build(shape, words)
    state = {name: value.numpy() for name, value in block.state_dict().items()}
    assert ("gamma_1" in state) == ("gamma_2" in state) == (options.layer_scale > 0)
    is_joint = not options.separate_qkv and not options.pool_first
    assert ("attn.qkv.bias" in state) == (is_joint and options.qkv_bias)
    x = torch.randn(2, int(options.class_token) + 60, 8, dtype=torch.float64)
    with torch.no_grad():
        got, got_grid = block(x, grid)
    expected = [plain_block(row.numpy(), grid, state, _spec(shape, options)) for row in x]
    assert got_grid == expected[0][1]
    # Tables are made for sizes that were rounded down, and interpolated in float32.
    precision = 1e-6 if "relative_space" in words else 1e-10
    expected = np.stack([row for row, _ in expected])
    np.testing.assert_allclose(got.numpy(), expected, rtol=precision, atol=precision)


def test_every_parameter_gets_a_gradient():
    shape, words = CASES["MViTv2"]
    block = _build(shape, {**words, "layer_scale": 0.3})
    block(torch.randn(2, 61, 8, dtype=torch.float64), (3, 4, 5))[0].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_a_dropped_block_only_pools():
    torch.manual_seed(0)
    block = MultiscaleBlock(POOLED, BlockOptions(), drop_path=0.999).train()
    x = torch.randn(1, 61, 8)
    out, grid = block(x, (3, 4, 5))
    assert grid == (3, 2, 3)
    torch.testing.assert_close(out[:, 0], x[:, 0])  # the class token passes
    grid = x[:, 1:].transpose(1, 2).unflatten(2, (3, 4, 5))
    expected = torch.nn.functional.max_pool3d(grid, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    torch.testing.assert_close(out[:, 1:], expected.flatten(2).transpose(1, 2))


def test_relative_positions_start_small_or_at_zero():
    torch.manual_seed(0)
    random, zero = (
        MultiscaleBlock(SHAPE, BlockOptions(**RELATIVE, relative_zero_init=start)).attn
        for start in (False, True)
    )
    for axis, length in (("t", 5), ("h", 7), ("w", 9)):
        table = getattr(random, f"rel_pos_{axis}")
        assert table.shape == (length, 4)
        assert 0 < table.abs().max() < 0.1
        assert not getattr(zero, f"rel_pos_{axis}").any()


def test_half_precision_stays_near():
    shape, words = CASES["MViTv2"]
    block = _build(shape, words).float()
    x = torch.randn(2, 61, 8)
    with torch.no_grad():
        exact, _ = block(x, (3, 4, 5))
        with torch.autocast("cpu", torch.bfloat16):
            rough, _ = block(x, (3, 4, 5))
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
