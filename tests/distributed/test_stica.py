"""Two ranks with half a batch each are one rank with the whole batch."""

import pytest
import torch
from helpers.stica_cfg import small_stica
from torch.nn.parallel import DistributedDataParallel

from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed

HALF = 3


def _batch():
    generator = torch.Generator().manual_seed(1)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "video": randn(2 * HALF, 2, 3, 16, 32, 32),
        "audio": randn(2 * HALF, 1, 1, 40, 50),
        # Unequal numbers of samples with audio, so that a mean of means would be wrong.
        "audio_valid": torch.tensor([1, 0, 0, 1, 1, 1]).bool()[:, None],
        "aug_seed": torch.tensor([31, 7, 22, 5, 90, 3]),
    }


def _model(cfg):
    torch.manual_seed(0)
    model = construct_model(cfg).double()
    with torch.no_grad():  # attention must matter
        for param in model.pooling.parameters():
            param.copy_(torch.randn_like(param) * 0.3 + (param.dim() == 1))
    return model


def _step(values, rank, world):
    """Train one step on a share of the batch; return losses, gradients and buffers."""
    cfg = small_stica("BN.NORM_TYPE", "sync_batchnorm", *values)
    model = _model(cfg)
    wrapped = DistributedDataParallel(model) if world > 1 else model
    size = 2 * HALF // world
    share = {key: value[rank * size : (rank + 1) * size] for key, value in _batch().items()}
    losses = LOSS_REGISTRY.get("stica")(cfg)(wrapped(share), share)
    losses["loss"].backward()
    return (
        {name: loss.detach() for name, loss in losses.items()},
        {name: param.grad for name, param in model.named_parameters()},
        {name: buffer for name, buffer in model.named_buffers() if "running" in name},
    )


def _check_rank(values):
    return _step(values, distributed.rank(), distributed.world_size())


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["STICA.HEAD_BN", "joint"],
        ["FEATURE_CROP.PER_SAMPLE", False],
        ["AUDIO.ENABLE", False, "MODEL.POOLING", "avg"],
    ],
    ids=["group", "joint", "one sample", "no audio"],
)
def test_two_ranks_are_one_rank_on_the_joined_batch(two_ranks, values):
    losses, grads, buffers = _step(values, 0, 1)
    ranks = two_ranks.run(_check_rank, values)
    for name, loss in losses.items():
        mean = torch.stack([rank[0][name] for rank in ranks]).mean()
        torch.testing.assert_close(mean, loss, rtol=0, atol=1e-6, msg=name)
    for rank in ranks:
        for name, grad in grads.items():
            torch.testing.assert_close(rank[1][name], grad, rtol=0, atol=1e-6, msg=name)
        for name, buffer in buffers.items():
            torch.testing.assert_close(rank[2][name], buffer, rtol=0, atol=1e-6, msg=name)
