from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigValueError, UserError, get_cfg, load_config
from slowfast.models.attentive import AttentivePooling
from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import Tokens, spatiotemporal_tokens, temporal_tokens
from slowfast.models.pooling import build_pooling, full_group


def _pooling(dim=8, heads=2):
    torch.manual_seed(0)
    pooling = AttentivePooling(dim, num_heads=heads).double()
    for parameter in pooling.parameters():
        torch.nn.init.normal_(parameter)
    return pooling


def _plain(pooling, tokens):
    """One row, head by head and position by position."""
    dim = tokens.shape[1]
    size = dim // pooling.num_heads
    normed = F.layer_norm(tokens, (dim,), pooling.norm_tokens.weight, pooling.norm_tokens.bias)
    query = pooling.to_query(pooling.query)
    key, value = pooling.to_key(normed), pooling.to_value(normed)
    parts = []
    for head in range(pooling.num_heads):
        own = slice(head * size, (head + 1) * size)
        weight = (key[:, own] @ query[own] / size**0.5).softmax(dim=0)
        parts.append(sum(w * v for w, v in zip(weight, value[:, own], strict=True)))
    x = pooling.query + pooling.projection(torch.cat(parts))
    return pooling.norm_out(x + pooling.mlp(pooling.norm_mlp(x)))


def test_equals_attention_written_out():
    pooling = _pooling()
    maps = torch.randn(3, 8, 2, 3, 4, dtype=torch.float64)
    out = pooling(spatiotemporal_tokens(maps))
    assert out.shape == (3, 8)
    for row, one in zip(out, maps, strict=True):
        torch.testing.assert_close(row, _plain(pooling, one.flatten(1).T))


def test_padding_does_not_matter():
    pooling = _pooling()
    values = torch.randn(2, 5, 8, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    values[1, 3:] = float("nan")
    positions = torch.zeros(2, 5, dtype=torch.int64)
    out = pooling(Tokens(values, mask, positions))
    short = Tokens(values[1:, :3], mask[1:, :3], positions[1:, :3])
    torch.testing.assert_close(out[1:], pooling(short))


def test_gradient_reaches_every_parameter():
    pooling = _pooling()
    pooling(spatiotemporal_tokens(torch.randn(2, 8, 1, 2, 2, dtype=torch.float64))).sum().backward()
    unreached = [n for n, p in pooling.named_parameters() if p.grad is None]
    assert not unreached
    assert pooling.query.grad.abs().sum() > 0


def test_spatial_positions_keep_their_time_step_and_average_to_the_steps_tokens():
    maps = torch.randn(2, 3, 4, 2, 5)
    tokens = spatiotemporal_tokens(maps)
    assert tokens.values.shape == (2, 40, 3)
    assert tokens.positions[0].tolist() == [t for t in range(4) for _ in range(10)]
    means = torch.stack(
        [tokens.values[:, tokens.positions[0] == t].mean(dim=1) for t in range(4)], 1
    )
    torch.testing.assert_close(means, temporal_tokens(maps).values)


def test_a_pooling_says_that_it_reads_space():
    cfg = get_cfg()
    cfg.MODEL.POOLING = "attentive"
    cfg.MODEL.ATTENTIVE_HEADS = 2
    pooling = build_pooling(cfg, SimpleNamespace(out_channels=[8, 4]))
    assert pooling.reads_space
    maps = [torch.randn(2, 8, 2, 3, 3), torch.randn(2, 4, 8, 3, 3)]
    assert pooling(full_group(maps, reads_space=True).tokens).shape == (2, 12)
    cfg.MODEL.POOLING = "avg"
    assert not build_pooling(cfg, SimpleNamespace(out_channels=[8])).reads_space


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match=r"num_heads: got 3, expected a divisor of"):
        AttentivePooling(8, num_heads=3)
    cfg = get_cfg()
    cfg.MODEL.ATTENTIVE_HEADS = 3
    with pytest.raises(ConfigValueError, match=r"MODEL.ATTENTIVE_HEADS: got 3, expected a div"):
        POOLING_REGISTRY.get("attentive")(8, cfg)
    assert POOLING_REGISTRY.capability("attentive", "reads_space")


def test_crops_are_refused():
    words = (
        "MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18 MODEL.POOLING attentive PROJECTS ['stica']"
    )
    with pytest.raises(UserError, match=r"MODEL.POOLING: 'attentive' pools spatial positions"):
        load_config(None, [*words.split(), "MODEL.FEATURE_AUG", "feature_crop"])
