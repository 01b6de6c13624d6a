import torch
from reference import stica as oracle

from slowfast.models.build import HEAD_REGISTRY


def _head(cfg, dim_in=6):
    torch.manual_seed(0)
    return HEAD_REGISTRY.get("stica_projection")(dim_in, cfg.STICA.EMBED_DIM, cfg).double()


def _rows(groups, batch, dim=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(groups * batch, dim, generator=generator, dtype=torch.float64)


def test_agrees_with_the_oracle_group_by_group(cfg):
    head, x = _head(cfg), _rows(3, 4)
    weights = dict(head.named_parameters())
    expected = [row for block in x.split(4) for row in oracle.project_group(list(block), weights)]
    torch.testing.assert_close(head(x, groups=3), torch.stack(expected), rtol=0, atol=1e-6)


def test_joint_statistics_are_those_of_all_rows(cfg):
    cfg.STICA.HEAD_BN = "joint"
    head, x = _head(cfg), _rows(3, 4)
    torch.testing.assert_close(head(x, groups=3), head(x), rtol=0, atol=1e-12)
    cfg.STICA.HEAD_BN = "group"
    assert (_head(cfg)(x, groups=3) - head(x)).abs().max() > 1e-2


def test_embeddings_have_length_one_and_sizes_follow_the_configuration(cfg):
    cfg.STICA.HEAD_DIM, cfg.STICA.HEAD_DROPOUT = 10, 0.3
    head = _head(cfg)
    embedding = head(_rows(2, 4), groups=2)
    assert embedding.shape == (8, cfg.STICA.EMBED_DIM)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(8).double(), rtol=0, atol=1e-12)
    assert head.linear1.weight.shape == (10, 6)
    assert head.linear1.bias is None
    assert head.dropout.p == 0.3


def test_statistics_span_processes_when_the_norm_is_synchronized(cfg):
    assert not _head(cfg).norm.sync
    cfg.BN.NORM_TYPE = "sync_batchnorm"
    assert _head(cfg).norm.sync
