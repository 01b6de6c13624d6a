import torch

from slowfast.models.drop_path import DropPath


def test_a_sample_is_dropped_as_a_whole_and_the_mean_is_kept():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    out = drop(torch.ones(20_000, 2, 3))
    rows = out.flatten(1)
    assert (rows == rows[:, :1]).all()
    assert set(rows[:, 0].tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(out.mean().item() - 1) < 0.02


def test_evaluation_and_rate_zero_change_and_sample_nothing():
    x = torch.randn(4, 3)
    state = torch.get_rng_state()
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
    assert torch.equal(state, torch.get_rng_state())
