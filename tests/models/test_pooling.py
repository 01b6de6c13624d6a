from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.config import get_cfg
from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import CropGroup, Tokens, temporal_tokens
from slowfast.models.pooling import (
    AvgPooling,
    PathwayPooling,
    build_pooling,
    full_group,
    pool_groups,
)


def _tokens(rows, length, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, length, channels, generator=generator)
    valid = torch.randint(1, length + 1, (rows, 1), generator=generator)
    positions = torch.arange(length).expand(rows, length)
    return Tokens(values, positions < valid, positions)


def _group(slots, batch, lengths, seed=0):
    rows = slots * batch
    tokens = [_tokens(rows, n, 3 + i, seed + i) for i, n in enumerate(lengths)]
    names = tuple(f"slot{k}" for k in range(slots))
    return CropGroup(names, tokens, torch.arange(batch).repeat(slots))


class _Counting(nn.Module):
    def __init__(self, pooling):
        super().__init__()
        self.pooling = pooling
        self.rows = []

    def forward(self, tokens):
        self.rows.append(len(tokens[0].values))
        return self.pooling(tokens)


def test_average_is_over_valid_steps_only():
    tokens = _tokens(4, 6, 3)
    values = tokens.values.masked_fill(~tokens.mask[..., None], float("nan"))
    got = AvgPooling()(tokens._replace(values=values))
    expected = torch.stack(
        [v[m].mean(dim=0) for v, m in zip(tokens.values, tokens.mask, strict=True)]
    )
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_average_of_a_full_map_is_global_average_pooling():
    feature_map = torch.randn(2, 5, 3, 4, 4)
    got = AvgPooling()(temporal_tokens(feature_map))
    torch.testing.assert_close(got, feature_map.mean(dim=(2, 3, 4)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["avg", "native"])
def test_pathways_of_different_length_are_concatenated(name):
    cfg = get_cfg()
    cfg.MODEL.POOLING = name
    pooling = build_pooling(cfg, SimpleNamespace(out_channels=[3, 4]))
    slow, fast = _tokens(2, 2, 3), _tokens(2, 8, 4)
    out = pooling([slow, fast])
    assert pooling.dim_out == out.shape[1] == 7
    torch.testing.assert_close(out[:, :3], AvgPooling()(slow), rtol=0, atol=0)
    torch.testing.assert_close(out[:, 3:], AvgPooling()(fast), rtol=0, atol=0)
    assert name in POOLING_REGISTRY


class _SumOfSteps(nn.Module):
    dim_out = 1

    def forward(self, tokens):
        return tokens.values.sum(dim=(1, 2))[:, None]


class _Family:
    out_channels = (3,)

    def __init__(self, own):
        self.own = own

    def native_pooling(self):
        return self.own


def test_native_is_what_the_family_offers():
    cfg, tokens = get_cfg(), _tokens(2, 4, 3)
    pooling = build_pooling(cfg, _Family(_SumOfSteps()))
    out = pooling([tokens])
    assert pooling.dim_out == 1
    torch.testing.assert_close(out[:, 0], tokens.values.sum(dim=(1, 2)), rtol=0, atol=0)
    assert isinstance(build_pooling(cfg, _Family(None)).pathways[0], AvgPooling)
    cfg.MODEL.POOLING = "avg"
    other = build_pooling(cfg, _Family(_SumOfSteps()))
    assert isinstance(other.pathways[0], AvgPooling)
    assert other.dim_out == 3


def test_a_missing_pathway_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        PathwayPooling([AvgPooling(), AvgPooling()], [3, 4])([_tokens(2, 2, 3)])


def test_groups_of_equal_length_share_a_call_and_keep_their_order():
    pooling = _Counting(PathwayPooling([AvgPooling()], [3]))
    groups = [_group(1, 2, [4], 0), _group(3, 2, [2], 10), _group(2, 2, [4], 20)]
    out = pool_groups(pooling, groups)
    assert pooling.rows == [2 + 4, 6]
    expected = torch.cat([AvgPooling()(group.tokens[0]) for group in groups])
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)


def test_lengths_of_all_pathways_decide():
    pooling = _Counting(PathwayPooling([AvgPooling(), AvgPooling()], [3, 4]))
    groups = [_group(1, 2, [4, 8]), _group(1, 2, [4, 6]), _group(1, 2, [4, 8])]
    out = pool_groups(pooling, groups)
    assert pooling.rows == [4, 2]
    torch.testing.assert_close(out[:2], out[4:], rtol=0, atol=0)
    assert out.shape == (6, 7)


def test_full_group_is_one_slot():
    maps = [torch.randn(3, 2, 4, 2, 2), torch.randn(3, 5, 8, 2, 2)]
    group = full_group(maps)
    assert group.names == ("full",)
    assert group.sample.tolist() == [0, 1, 2]
    assert [tuple(t.values.shape) for t in group.tokens] == [(3, 4, 2), (3, 8, 5)]
