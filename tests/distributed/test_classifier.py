"""Data-parallel training of a classifier on two gloo ranks is training on the joint batch."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from slowfast.config import get_cfg
from slowfast.models.classifier import build_classifier
from slowfast.models.losses.cross_entropy import ClassificationLoss, label_loss
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed

LABELS = torch.tensor([1, 0, 2, 2, 1])
SHARES = [slice(0, 3), slice(3, 5)]


def _model(recompute):
    cfg = get_cfg()
    cfg.MODEL.ARCH = "r2plus1d_18"
    cfg.MODEL.NUM_CLASSES = 3
    cfg.MODEL.DROPOUT_RATE = 0.0
    cfg.MODEL.FC_INIT_STD = 1.0
    cfg.MODEL.ACT_CHECKPOINT = recompute
    cfg.RESNET.WIDTH_PER_GROUP = 2
    cfg.BN.NORM_TYPE = "sync_batchnorm"
    torch.manual_seed(0)
    return build_classifier(cfg).double().train()


def _batch(share):
    video = torch.randn(
        5, 1, 3, 2, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    valid = torch.tensor([True, False, True, True, True])
    return {"video": video[share], "label": LABELS[share], "valid": valid[share]}


def _train(recompute):
    model = _model(recompute)
    replica = DistributedDataParallel(model)
    batch = _batch(SHARES[distributed.rank()])
    loss = ClassificationLoss(label_loss)(replica(batch), batch)["loss"]
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    buffers = {name: b for name, b in model.named_buffers() if "running" in name}
    return loss.detach(), grads, buffers


@pytest.mark.parametrize("recompute", [False, True])
def test_loss_gradient_and_statistics(two_ranks, recompute):
    model = _model(recompute=False)
    batch = _batch(slice(None))
    expected = ClassificationLoss(label_loss)(model(batch), batch)["loss"]
    expected.backward()

    results = two_ranks.run(_train, recompute)
    close = {"rtol": 1e-8, "atol": 1e-10}
    mean = sum(loss for loss, _, _ in results) / 2
    torch.testing.assert_close(mean, expected.detach(), **close)
    for _, grads, buffers in results:
        for name, param in model.named_parameters():
            torch.testing.assert_close(grads[name], param.grad, **close, msg=name)
        for name, buffer in buffers.items():
            torch.testing.assert_close(buffer, model.get_buffer(name), **close, msg=name)
