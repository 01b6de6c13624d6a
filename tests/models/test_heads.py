import pytest
import torch

from slowfast.config import get_cfg
from slowfast.models.build import HEAD_REGISTRY
from slowfast.models.heads import LinearHead, MLPHead, activate


def test_linear_head_is_built_from_its_keys():
    cfg = get_cfg()
    cfg.MODEL.DROPOUT_RATE = 0.25
    cfg.MODEL.FC_INIT_STD = 0.05
    torch.manual_seed(0)
    head = HEAD_REGISTRY.get("linear")(256, 100, cfg)
    assert head.dropout.p == 0.25
    assert head.projection.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert not head.projection.bias.any()
    assert list(head.state_dict()) == ["projection.weight", "projection.bias"]


@pytest.mark.parametrize("training", [True, False])
def test_linear_head_returns_logits_always(training):
    head = LinearHead(4, 3).train(training)
    x = torch.randn(5, 4)
    expected = x @ head.projection.weight.T + head.projection.bias
    torch.testing.assert_close(head(x, groups=5), expected, rtol=1e-6, atol=1e-6)


def test_activations():
    logits = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float16)
    softmax = activate(logits, "softmax")
    assert softmax.dtype == torch.float32
    torch.testing.assert_close(softmax, logits.float().softmax(-1), rtol=0, atol=0)
    torch.testing.assert_close(activate(logits, "sigmoid"), logits.float().sigmoid())
    torch.testing.assert_close(activate(logits, "none"), logits.float(), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"head_act: got 'relu', expected one of softmax"):
        activate(logits, "relu")


def test_mlp_head_treats_each_group_as_a_call_of_its_own():
    torch.manual_seed(0)
    head = MLPHead(4, 6, 3, normalize=True).double()
    x = torch.randn(3 * 5, 4, dtype=torch.float64)
    together = head(x, groups=3)
    torch.testing.assert_close(together, torch.cat([head(block) for block in x.chunk(3)]))
    torch.testing.assert_close(together.norm(dim=1), torch.ones(15, dtype=torch.float64))
    assert (together - head(x)).abs().max() > 1e-3


def test_mlp_head_layers():
    assert [tuple(p.shape) for p in MLPHead(4, 6, 3, num_layers=3, norm=None).parameters()] == [
        (6, 4), (6,), (6, 6), (6,), (3, 6), (3,),
    ]  # fmt: skip
    assert [tuple(p.shape) for p in MLPHead(4, 6, 3, num_layers=1).parameters()] == [(3, 4), (3,)]


def test_mlp_head_from_config():
    cfg = get_cfg()
    cfg.BN.NORM_TYPE = "sync_batchnorm"
    cfg.MODEL.DROPOUT_RATE = 0.0
    head = HEAD_REGISTRY.get("mlp")(8, 5, cfg)
    assert head.norms[0].sync
    assert head(torch.randn(4, 8)).shape == (4, 5)
