import math
from types import SimpleNamespace

import pytest
import torch
from reference import stica as oracle
from stica.pooling import (
    EncoderLayer,
    LearnedPositions,
    SelfAttention,
    SinusoidalPositions,
    TemporalTransformer,
)

from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import Tokens
from slowfast.models.pooling import build_pooling

DIM, HEADS = 12, 3


def _pooling(pool="cls", *, positions=True, project=True, layers=2, seed=0):
    torch.manual_seed(seed)
    pooling = TemporalTransformer(
        DIM,
        layers=[EncoderLayer(DIM, HEADS, value_projection=project) for _ in range(layers)],
        positions=LearnedPositions(16, DIM) if positions else None,
        pool=pool,
    ).double()
    with torch.no_grad():  # initial weights are too small for attention to matter
        for param in pooling.parameters():
            param.copy_(torch.randn_like(param) * (0.3 if param.dim() > 1 else 1.0))
    return pooling


def _tokens(lengths, *, longest=None, starts=None, seed=1):
    generator = torch.Generator().manual_seed(seed)
    longest = longest or max(lengths)
    starts = starts or [0] * len(lengths)
    values = torch.randn(len(lengths), longest, DIM, generator=generator, dtype=torch.float64)
    step = torch.arange(longest)
    mask = step < torch.tensor(lengths)[:, None]
    return Tokens(values, mask, (torch.tensor(starts)[:, None] + step).clamp(max=15))


def _row(tokens, i):
    """One row by itself, without padding."""
    length = int(tokens.mask[i].sum())
    return Tokens(*(field[i : i + 1, :length] for field in tokens))


@pytest.mark.parametrize("pool", ["cls", "mean", "first"])
@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("project", [True, False])
def test_agrees_with_the_oracle(pool, positions, project):
    pooling = _pooling(pool, positions=positions, project=project)
    tokens = _tokens([16, 2, 7, 1], starts=[0, 2, 1, 3])
    weights = dict(pooling.named_parameters())
    expected = []
    for i in range(4):
        row = _row(tokens, i)
        steps, where = list(row.values[0]), row.positions[0].tolist()
        expected.append(
            oracle.transform(
                steps, where, weights, layers=2, heads=HEADS, summary=pool, project=project
            )
        )
    torch.testing.assert_close(pooling(tokens), torch.stack(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", ["cls", "mean", "first"])
@pytest.mark.parametrize("filler", [1e6, float("nan"), float("inf")])
def test_padding_never_matters(pool, filler):
    pooling = _pooling(pool)
    tokens = _tokens([2, 4, 1], longest=5)
    poisoned = tokens.values.masked_fill(~tokens.mask[..., None], filler)
    got = pooling(tokens._replace(values=poisoned))
    torch.testing.assert_close(got, pooling(tokens), rtol=0, atol=0)
    for i in range(3):
        torch.testing.assert_close(got[i : i + 1], pooling(_row(tokens, i)), rtol=0, atol=1e-10)


def test_padding_gets_no_gradient():
    pooling = _pooling()
    tokens = _tokens([2, 4, 1])
    values = tokens.values.requires_grad_()
    pooling(tokens._replace(values=values)).square().sum().backward()
    assert torch.equal((values.grad != 0).any(dim=-1), tokens.mask)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_without_positions_the_order_of_steps_does_not_matter(pool):
    tokens = _tokens([5, 5])
    backwards = tokens._replace(values=tokens.values.flip(1))
    unordered = _pooling(pool, positions=False)
    torch.testing.assert_close(unordered(backwards), unordered(tokens), rtol=0, atol=1e-10)
    ordered = _pooling(pool)
    assert (ordered(backwards) - ordered(tokens)).abs().max() > 1e-2


def test_a_crop_knows_its_place_on_the_full_map():
    pooling = _pooling()
    early = _tokens([3], starts=[0])
    late = early._replace(positions=early.positions + 4)
    assert (pooling(early) - pooling(late)).abs().max() > 1e-2


def test_too_many_steps_for_the_learned_table():
    with pytest.raises(ValueError, match=r"MAX_STEPS: got 17 time steps, expected at most 16"):
        _pooling()(_tokens([17]))


def test_sines_have_no_limit_and_are_the_published_ones():
    positions = torch.tensor([[0, 1, 500]])
    embedding = SinusoidalPositions(6)(positions)
    for i in range(3):
        for j, position in enumerate([0, 1, 500]):
            angle = position / 10000 ** (i / 3)
            assert embedding[0, j, i].item() == pytest.approx(math.sin(angle), abs=1e-4)
            assert embedding[0, j, 3 + i].item() == pytest.approx(math.cos(angle), abs=1e-4)
    assert SinusoidalPositions(5)(positions).shape == (1, 3, 5)


def test_gradient_reaches_every_parameter(cfg):
    pooling = POOLING_REGISTRY.get("transformer")(DIM, cfg)
    tokens = _tokens([4, 3])
    pooling(tokens._replace(values=tokens.values.float())).square().sum().backward()
    for name, param in pooling.named_parameters():
        assert param.grad is not None, name
        # The bias of the keys moves all scores of a query alike.
        if not name.endswith("key.bias"):
            assert param.grad.abs().max() > 0, name


def test_dropout_acts_in_training_only(cfg):
    cfg.TEMPORAL_TRANSFORMER.DROPOUT = 0.5
    torch.manual_seed(0)
    pooling = POOLING_REGISTRY.get("transformer")(DIM, cfg)
    tokens = _tokens([4, 3])
    tokens = tokens._replace(values=tokens.values.float())
    assert not torch.equal(pooling(tokens), pooling(tokens))
    pooling.eval()
    assert torch.equal(pooling(tokens), pooling(tokens))


def test_initial_weights_keep_the_size_of_outputs(cfg):
    """0.02 at the published 512 channels, more in narrower models."""
    torch.manual_seed(0)
    pooling = POOLING_REGISTRY.get("transformer")(256, cfg)
    for name, param in pooling.named_parameters():
        if "norm" in name:
            assert (param == (0.0 if name.endswith("bias") else 1.0)).all(), name
        elif name.endswith("bias"):
            assert (param == 0).all(), name
        else:
            assert param.std().item() == pytest.approx(0.02 * 2**0.5, rel=0.15), name


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
@pytest.mark.parametrize("pool", ["cls", "mean", "first"])
def test_built_from_the_configuration(cfg, positions, pool):
    section = cfg.TEMPORAL_TRANSFORMER
    section.POSITIONS, section.READOUT = positions, pool
    section.LAYERS, section.HEADS, section.FFN_RATIO, section.MAX_STEPS = 1, 2, 1.5, 9
    section.VALUE_PROJECTION = False
    pooling = build_pooling(cfg, SimpleNamespace(out_channels=[DIM, 8]))
    names = set(dict(pooling.pathways[0].named_parameters()))
    assert ("cls" in names) == (pool == "cls")
    assert ("positions.table.weight" in names) == (positions == "learned")
    assert not any("value" in name or "output" in name for name in names)
    assert pooling.pathways[0].layers[0].linear1.weight.shape == (18, DIM)
    wide, narrow = _tokens([4, 2]), _tokens([8, 4])
    rows = [
        wide._replace(values=wide.values.float()),
        narrow._replace(values=narrow.values[..., :8].float()),
    ]
    assert pooling(rows).shape == (2, DIM + 8)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match=r"heads: got 5 for 12 channels"):
        SelfAttention(DIM, 5)


def test_unknown_pool():
    with pytest.raises(ValueError, match=r"pool: got 'last', expected one of cls, mean, first"):
        TemporalTransformer(DIM, layers=[], pool="last")


@pytest.mark.parametrize("pool", ["cls", "mean", "first"])
def test_attention_weights_are_those_of_the_last_layer(pool):
    pooling = _pooling(pool).double()
    for parameter in pooling.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    tokens = _tokens([5, 3], longest=5)
    tokens = tokens._replace(values=tokens.values.double())
    seen = []
    last = pooling.layers[-1]
    handle = last.attention.register_forward_pre_hook(lambda module, args: seen.append(args))
    pooling(tokens)
    handle.remove()
    ((x, mask),) = seen
    full = last.attention.weights(x, mask)  # (N, M, steps, steps)
    value = last.attention.value(x).unflatten(-1, (last.attention.heads, -1)).transpose(1, 2)
    attended = (full @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(last.attention.output(attended), last.attention(x, mask))
    found = pooling.attention_weights(tokens)
    assert found.shape == (2, last.attention.heads, 5)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones_like(found[..., 0]))
    assert not found[1, :, 3:].any()
    extra = int(pool == "cls")
    for row, length in enumerate((5, 3)):
        own = full[row, :, : length + extra, extra : length + extra]
        expected = own.mean(dim=1) if pool == "mean" else own[:, 0]
        expected = expected / expected.sum(dim=-1, keepdim=True)
        torch.testing.assert_close(found[row, :, :length], expected)
        assert expected.std(dim=-1).min() > 1e-3
