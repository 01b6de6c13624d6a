"""Resizing positions: corners and class tokens stay put, straight lines stay straight."""

import pytest
import torch

from slowfast.models.interpolate import resize_axis, resize_positions, square_grid


def ramp(*grid):
    """A table whose channels are the coordinates of the positions in [0, 1], at their centers."""
    axes = [(torch.arange(n) + 0.5) / n for n in grid]
    centers = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return centers.reshape(1, -1, len(grid))


@pytest.mark.parametrize(
    ("old", "new"),
    [((8, 14, 14), (4, 7, 7)), ((14, 14), (20, 10)), ((8,), (15,)), ((2, 3), (2, 3))],
)
@pytest.mark.parametrize("num_prefix", [0, 1, 2])
def test_coordinates_stay_coordinates_inside(old, new, num_prefix):
    prefix = torch.randn(1, num_prefix, len(old))
    value = torch.cat([prefix, ramp(*old)], 1)
    resized = resize_positions(value, old_grid=old, new_grid=new, num_prefix=num_prefix)
    assert torch.equal(resized[:, :num_prefix], prefix)
    expected = ramp(*new)
    # At the border nothing lies outside to interpolate with; the same grid is not interpolated.
    inside = ((expected > 1.6 / min(old)) & (expected < 1 - 1.6 / min(old))).all(-1) | (old == new)
    assert inside.any()
    torch.testing.assert_close(resized[:, num_prefix:][inside], expected[inside], atol=0.01, rtol=0)


def test_a_table_of_another_grid():
    with pytest.raises(ValueError, match=r"13 position embeddings are not a grid of \(3, 3\)"):
        resize_positions(torch.zeros(1, 13, 2), old_grid=(3, 3), new_grid=(4, 4), num_prefix=1)
    with pytest.raises(ValueError, match="cannot become"):
        resize_positions(torch.zeros(1, 9, 2), old_grid=(3, 3), new_grid=(4,))


def test_relative_positions_keep_their_middle():
    distances = torch.arange(-6.0, 7.0)[:, None]  # 13 distances of 7 places
    resized = resize_axis(distances.half(), 27)
    assert resized.shape == (27, 1)
    assert resized.dtype == torch.float16
    assert resized[13].abs() < 1e-3
    torch.testing.assert_close(resized, -resized.flip(0), atol=1e-2, rtol=0)


def test_squares():
    assert square_grid(196) == (14, 14)
    assert square_grid(195) is None
