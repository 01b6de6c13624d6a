import pytest
import torch

from slowfast.models.mvit.relative_positions import append_relative, relative_index


def test_index_of_equal_grids_is_the_distance():
    expected = torch.arange(4)[:, None] - torch.arange(4) + 3
    assert torch.equal(relative_index(4, 4), expected)


@pytest.mark.parametrize(
    ("queries", "keys", "expected"),
    [
        (4, 2, [[2, 0], [3, 1], [4, 2], [5, 3]]),
        (2, 4, [[3, 2, 1, 0], [5, 4, 3, 2]]),
        (1, 3, [[2, 1, 0]]),
        (3, 1, [[0], [1], [2]]),
    ],
)
def test_index_counts_in_steps_of_the_finer_grid(queries, keys, expected):
    assert relative_index(queries, keys).tolist() == expected


@pytest.mark.parametrize(("queries", "keys"), [(20, 7), (7, 20), (39, 10), (1, 1), (8, 8)])
def test_index_stays_in_the_table(queries, keys):
    index = relative_index(queries, keys)
    assert index.shape == (queries, keys)
    assert index.min() == 0
    assert index.max() <= 2 * max(queries, keys) - 2


def test_longer_queries_and_keys_have_the_whole_logit_as_product():
    torch.manual_seed(0)
    grid, other = (2, 3, 4), (2, 3, 2)
    query, key = torch.randn(2, 3, 1 + 24, 5), torch.randn(2, 3, 1 + 12, 5)
    tables = [torch.randn(2 * side - 1, 5) for side in (2, 3, 4)]
    longer = append_relative(query, key, (grid, other), tables, prefix=1, scale=0.5)
    logits = longer[0] @ longer[1].transpose(-2, -1)
    expected = 0.5 * query @ key.transpose(-2, -1)
    # The class token has no place: its row and column are those of content alone.
    torch.testing.assert_close(logits[:, :, 0], expected[:, :, 0])
    torch.testing.assert_close(logits[:, :, :, 0], expected[:, :, :, 0])
    t, h, w, k = 1, 2, 3, (0, 1, 1)
    i, j = 1 + (t * 3 + h) * 4 + w, 1 + (k[0] * 3 + k[1]) * 2 + k[2]
    place = sum(
        query[:, :, i] @ table[index]
        for table, index in zip(tables, (t - k[0] + 1, h - k[1] + 2, w - 2 * k[2] + 2), strict=True)
    )
    torch.testing.assert_close(logits[:, :, i, j], expected[:, :, i, j] + place)


def test_absent_tables_add_nothing():
    query = torch.randn(1, 1, 8, 4)
    longer = append_relative(
        query, query, ((2, 2, 2), (2, 2, 2)), [None, None, torch.zeros(3, 4)], prefix=0, scale=1.0
    )
    torch.testing.assert_close(longer[0] @ longer[1].mT, query @ query.mT)
    assert longer[0].shape[-1] % 8 == 0  # a size that fast kernels take
