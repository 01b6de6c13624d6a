import pytest

from slowfast.models.mvit.stage_config import Schedule, scaled_width

DOUBLED = {1: 2.0, 3: 2.0, 14: 2.0}
HALVED = dict.fromkeys(DOUBLED, (1, 2, 2))


def test_mvit_b_as_in_the_paper():
    schedule = Schedule(
        dim_mul=DOUBLED, head_mul=DOUBLED, stride_q=HALVED, stride_kv_adaptive=(1, 8, 8)
    )
    shapes = schedule.blocks((8, 56, 56))
    assert [s.num_heads for s in shapes] == [1] + [2] * 2 + [4] * 11 + [8] * 2
    assert [s.dim for s in shapes] == [96] + [192] * 2 + [384] * 11 + [768] * 2
    assert all(s.dim_attention == s.dim for s in shapes)
    assert [i for i, s in enumerate(shapes) if s.dim_out != s.dim] == [0, 2, 13]
    strides = [s.stride_kv for s in shapes]
    assert strides == [(1, 8, 8)] + [(1, 4, 4)] * 2 + [(1, 2, 2)] * 11 + [(1, 1, 1)] * 2
    # A stride of 1 with the kernel that goes with it would do nothing.
    assert [s.kernel_kv for s in shapes[::5]] == [(1, 9, 9), (1, 3, 3), (1, 3, 3), None]
    assert [s.grid for s in shapes[::5]] == [(8, 56, 56), (8, 14, 14), (8, 14, 14), (8, 7, 7)]
    assert shapes[0].kernel_q is None
    assert shapes[1].kernel_q == (1, 3, 3)


def test_a_plain_transformer_pools_nothing():
    for shape in Schedule(depth=3, embed_dim=12, num_heads=3).blocks((2, 4, 4)):
        assert shape.kernel_q is None
        assert shape.kernel_kv is None
        assert (shape.dim, shape.dim_out, shape.num_heads, shape.grid) == (12, 12, 3, (2, 4, 4))


def test_strides_of_keys_may_be_given_per_block():
    shapes = Schedule(depth=3, stride_kv={1: (2, 2, 2)}).blocks((4, 8, 8))
    assert [s.stride_kv for s in shapes] == [(1, 1, 1), (2, 2, 2), (1, 1, 1)]
    assert shapes[1].kernel_kv == (3, 3, 3)
    assert shapes[1].stride_q == (1, 1, 1)
    assert shapes[2].grid == (4, 8, 8)  # keys do not make the grid coarser


def test_odd_grids_are_rounded_down_but_not_away():
    shapes = Schedule(depth=5, stride_q=dict.fromkeys(range(4), (2, 2, 2))).blocks((1, 39, 5))
    assert [s.grid for s in shapes] == [(1, 39, 5), (1, 19, 2), (1, 9, 1), (1, 4, 1), (1, 2, 1)]


@pytest.mark.parametrize(
    ("width", "factor", "divisor", "expected"),
    [(96, 2.0, 2, 192), (10, 1.5, 4, 16), (10, 1.3, 4, 12), (10, 1.1, 8, 16), (1, 2.0, 1, 2)],
)
def test_widths_are_multiples_and_at_most_a_tenth_too_small(width, factor, divisor, expected):
    assert scaled_width(width, factor, divisor) == expected
    assert expected >= 0.9 * width * factor
