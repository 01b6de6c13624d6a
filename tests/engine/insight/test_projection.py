import pytest
import torch

from slowfast.engine.insight.projection import pca, tsne


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(300, 40), (12, 90), (5, 2)])
def test_pca_equals_svd(shape):
    rows = randn(*shape) * torch.linspace(3, 0.2, shape[1]) + 7
    centered = rows - rows.mean(dim=0)
    left, values, _ = torch.linalg.svd(centered, full_matrices=False)
    found = pca(rows)
    for axis in range(2):
        expected = left[:, axis] * values[axis]
        expected = expected * expected[expected.abs().argmax()].sign()
        torch.testing.assert_close(found.points[:, axis], expected, rtol=0, atol=1e-4)
    shares = values[:2].square() / values.square().sum()
    assert found.explained == pytest.approx(tuple(shares.tolist()), rel=1e-6)


def test_pca_of_a_line_and_of_equal_rows():
    line = torch.arange(6.0)[:, None]
    assert pca(line).explained == pytest.approx((1, 0))
    assert pca(torch.ones(4, 3)).points.abs().max() < 1e-12


def test_pca_leaves_the_global_generator():
    state = torch.get_rng_state()
    pca(randn(20, 5))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_tsne_separates_groups():
    pytest.importorskip("sklearn")
    centers = torch.eye(3, 10).double().repeat_interleave(12, dim=0)
    found = tsne(centers + 0.05 * randn(36, 10))
    assert found.points.shape == (36, 2)
    assert found.explained is None
    middles = found.points.view(3, 12, 2).mean(dim=1)
    spread = (found.points.view(3, 12, 2) - middles[:, None]).norm(dim=-1).max()
    assert torch.pdist(middles).min() > spread
