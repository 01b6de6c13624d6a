import math

import pytest
import torch
from torch.nn import functional as F

from slowfast.models.mvit.position_embedding import (
    adapt_positions,
    grid_positions,
    position_tables,
    sincos_positions,
)

BUILT = (4, 3, 3)


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("kind", ["joint", "separable", "sincos"])
def test_every_token_has_a_position(kind, prefix):
    tables = position_tables(kind, BUILT, 16, prefix=prefix)
    positions = grid_positions(tables, BUILT, BUILT, prefix=prefix)
    assert positions.shape == (1, prefix + 36, 16)
    assert len({tuple(row) for row in positions[0].tolist()}) == prefix + 36
    assert all(table.requires_grad == (kind != "sincos") for table in tables.values())


def test_separable_tables_add_up():
    tables = position_tables("separable", BUILT, 16, prefix=1)
    positions = grid_positions(tables, BUILT, BUILT, prefix=1)
    t, h, w = 2, 1, 2
    place = tables["pos_embed_spatial"][0, h * 3 + w] + tables["pos_embed_temporal"][0, t]
    torch.testing.assert_close(positions[0, 1 + (t * 3 + h) * 3 + w], place)
    torch.testing.assert_close(positions[0, 0], tables["pos_embed_class"][0, 0])


def test_without_tables_there_are_no_positions():
    assert position_tables("none", BUILT, 16, prefix=1) == {}
    assert grid_positions({}, BUILT, BUILT, prefix=1) is None


@pytest.mark.parametrize("kind", ["joint", "separable"])
@pytest.mark.parametrize("grid", [(4, 5, 2), (2, 3, 3), (1, 1, 1), (7, 6, 6)])
def test_another_grid_is_interpolated_linearly(kind, grid):
    torch.manual_seed(0)
    tables = position_tables(kind, BUILT, 8, prefix=1)
    at_home = grid_positions(tables, BUILT, BUILT, prefix=1)
    away = grid_positions(tables, BUILT, grid, prefix=1)
    grid_at_home = at_home[:, 1:].transpose(1, 2).unflatten(2, BUILT)
    expected = F.interpolate(grid_at_home, size=grid, mode="trilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(away[:, 1:], expected)
    torch.testing.assert_close(away[:, :1], at_home[:, :1])


def test_waves_follow_the_published_formula():
    grid, dim = (2, 3, 4), 32
    table = sincos_positions(grid, dim)
    assert table.shape == (24, 32)
    for row, (t, h, w) in ((0, (0, 0, 0)), (23, (1, 2, 3)), (6, (0, 1, 2))):
        expected = []
        for place, share in ((t, 8), (w, 12), (h, 12)):
            phases = [place / 10000 ** (i / (share // 2)) for i in range(share // 2)]
            expected += [math.sin(p) for p in phases] + [math.cos(p) for p in phases]
        torch.testing.assert_close(table[row], torch.tensor(expected))


def test_waves_over_two_axes():
    table = sincos_positions((3, 5), 8)
    assert table.shape == (15, 8)
    assert torch.equal(table[0, :4], table[4, :4])  # the same bin
    assert torch.equal(table[1, 4:], table[6, 4:])  # the same step


@pytest.mark.parametrize(("grid", "dim"), [((2, 2, 2), 24), ((2, 2), 6)])
def test_waves_need_channels_to_share(grid, dim):
    with pytest.raises(ValueError, match=f"{dim} channels, expected a multiple of"):
        sincos_positions(grid, dim)


def test_unknown_kind():
    with pytest.raises(ValueError, match="got 'rotary', expected one of none, joint"):
        position_tables("rotary", BUILT, 16, prefix=0)


@pytest.mark.parametrize("kind", ["joint", "separable"])
@pytest.mark.parametrize("built", [(4, 5, 5), (2, 3, 3), (8, 3, 3)])
def test_a_checkpoint_for_another_clip_fits_as_a_clip_of_that_size_would(kind, built):
    torch.manual_seed(0)
    theirs = position_tables(kind, BUILT, 8, prefix=1)
    ours = position_tables(kind, built, 8, prefix=1)
    fitted = {
        name: table
        if table.shape == ours[name].shape
        else adapt_positions(name, table, ours[name], built, 1)
        for name, table in theirs.items()
    }
    torch.testing.assert_close(
        grid_positions(fitted, built, built, prefix=1),
        grid_positions(theirs, BUILT, built, prefix=1),
    )


def test_positions_of_images_serve_every_frame():
    like = torch.empty(1, 1 + 4 * 5 * 5, 8)
    frame = torch.randn(1, 1 + 5 * 5, 8)
    fitted = adapt_positions("pos_embed", frame, like, (4, 5, 5), 1)
    torch.testing.assert_close(fitted[:, 1:].unflatten(1, (4, 25))[:, 2], frame[:, 1:])
    larger = adapt_positions("pos_embed", torch.randn(1, 1 + 49, 8), like, (4, 5, 5), 1)
    assert larger.shape == like.shape


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pos_embed", (1, 1, 8)),  # no grid
        ("pos_embed", (1, 1 + 9, 6)),  # another width
        ("pos_embed_spatial", (1, 10, 8)),  # no square
        ("pos_embed_class", (1, 2, 8)),
        ("weight", (1, 2, 8)),
        ("pos_embed", (8,)),
    ],
)
def test_what_cannot_be_fitted(name, shape):
    like = torch.empty(1, 1 + 36, 8)
    assert adapt_positions(name, torch.zeros(shape), like, BUILT, 1) is None
