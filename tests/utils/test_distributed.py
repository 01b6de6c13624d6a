"""One process; tests/distributed holds the same with two."""

import torch

from slowfast.utils import distributed


def test_one_process_is_rank_0_of_1():
    assert not distributed.is_initialized()
    assert distributed.rank() == 0
    assert distributed.world_size() == 1
    assert distributed.is_main_process()
    distributed.barrier()


def test_gathering_is_the_identity():
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather_with_gradient(x) is x
    for gather in (distributed.gather_no_gradient, distributed.all_gather_variable_length):
        alone = gather(x)
        assert not alone.requires_grad
        torch.testing.assert_close(alone, x.detach(), rtol=0, atol=0)


def test_joint_mean():
    values = torch.tensor([[1.0, 3.0], [float("nan"), 1.0], [5.0, 7.0]], requires_grad=True)
    valid = torch.tensor([True, False, True])
    mean = distributed.global_mean(values, valid)
    mean.backward()
    assert mean.item() == 4.0
    assert values.grad.tolist() == [[0.25, 0.25], [0.0, 0.0], [0.25, 0.25]]
    assert distributed.global_mean(values[[0, 2]]).item() == 4.0
    assert distributed.global_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0.0
