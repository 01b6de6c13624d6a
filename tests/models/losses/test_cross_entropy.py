import math

import pytest
import torch
from torch.nn import functional as F

from slowfast.config import get_cfg
from slowfast.models.build import LOSS_REGISTRY
from slowfast.models.classifier import ClassifierOutputs
from slowfast.models.losses.cross_entropy import ClassificationLoss, label_loss, topk_errors


def _loss(name="cross_entropy", weight=0.5):
    cfg = get_cfg()
    cfg.MODEL.FEATURE_AUG_WEIGHT = weight
    return LOSS_REGISTRY.get(name)(cfg)


def _outputs(crops=2):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1 + crops, 3, 2, 4, generator=generator, dtype=torch.float64)
    return ClassifierOutputs(logits[0], logits[1:] if crops else None)


LABEL = torch.tensor([2, 0, 3])


def _by_hand(logits, labels):
    """Mean of -log softmax over rows and views, element by element."""
    total = 0.0
    for b, label in enumerate(labels.tolist()):
        for row in logits[b].tolist():
            total += math.log(sum(math.exp(x) for x in row)) - row[label]
    return total / (logits.shape[0] * logits.shape[1])


def test_full_map_alone():
    outputs = _outputs(crops=0)
    out = _loss()(outputs, {"label": LABEL})
    assert list(out) == ["loss", "top1_err"]
    assert out["loss"].item() == pytest.approx(_by_hand(outputs.logits, LABEL), abs=1e-12)


def test_errors_for_the_log():
    logits = torch.eye(7)[[0, 1, 2, 3]].view(2, 2, 7)  # B = 2, V = 2
    errors = topk_errors(logits, torch.tensor([0, 3]))
    assert errors["top1_err"].item() == 50.0  # right: view 0 of row 0, view 1 of row 1
    assert set(errors) == {"top1_err", "top5_err"}
    assert set(topk_errors(logits[..., :5], torch.tensor([0, 3]))) == {"top1_err"}
    assert topk_errors(logits, torch.zeros(2, 7, dtype=torch.int64)) == {}  # several labels


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_full_map_and_crops(weight):
    outputs = _outputs()
    out = _loss(weight=weight)(outputs, {"label": LABEL})
    full = _by_hand(outputs.logits, LABEL)
    crops = sum(_by_hand(logits, LABEL) for logits in outputs.crop_logits) / 2
    assert out["loss_full"].item() == pytest.approx(full, abs=1e-12)
    assert out["loss_crops"].item() == pytest.approx(crops, abs=1e-12)
    assert out["loss"].item() == pytest.approx((1 - weight) * full + weight * crops, abs=1e-12)


def test_only_the_total_carries_a_gradient():
    logits = torch.randn(3, 2, 4, requires_grad=True)
    crop_logits = torch.randn(2, 3, 2, 4, requires_grad=True)
    out = _loss()(ClassifierOutputs(logits, crop_logits), {"label": LABEL})
    out["loss"].backward()
    assert logits.grad.abs().sum() > 0
    assert crop_logits.grad.abs().sum() > 0
    assert not out["loss_full"].requires_grad
    assert not out["loss_crops"].requires_grad


def test_invalid_rows_do_not_count_and_need_no_label():
    outputs = _outputs()
    valid = torch.tensor([True, False, True])
    batch = {"label": torch.tensor([2, -1, 3]), "valid": valid}
    kept = ClassifierOutputs(outputs.logits[valid], outputs.crop_logits[:, valid])
    torch.testing.assert_close(
        _loss()(outputs, batch)["loss"], _loss()(kept, {"label": LABEL[valid]})["loss"]
    )


def test_a_batch_without_valid_rows_costs_nothing():
    logits = torch.randn(3, 2, 4, requires_grad=True)
    batch = {"label": LABEL, "valid": torch.zeros(3, dtype=torch.bool)}
    loss = _loss()(ClassifierOutputs(logits), batch)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_soft_labels_equal_hard_ones_where_they_are_hard():
    outputs = _outputs()
    soft = 3.0 * F.one_hot(LABEL, 4)  # scaled to sum to 1
    torch.testing.assert_close(
        _loss("soft_cross_entropy")(outputs, {"label": soft})["loss"],
        _loss()(outputs, {"label": LABEL})["loss"],
    )


def test_soft_labels_may_be_plain_ones():
    outputs = ClassifierOutputs(logits=torch.randn(3, 2, 4))
    losses = [
        _loss(name)(outputs, {"label": LABEL}) for name in ("soft_cross_entropy", "cross_entropy")
    ]
    assert losses[0].keys() == losses[1].keys()
    torch.testing.assert_close(losses[0]["loss"], losses[1]["loss"])


def test_soft_labels_mix():
    outputs = _outputs(crops=0)
    one, other = LABEL, LABEL.roll(1)
    soft = 0.3 * F.one_hot(one, 4) + 0.7 * F.one_hot(other, 4)
    expected = 0.3 * _by_hand(outputs.logits, one) + 0.7 * _by_hand(outputs.logits, other)
    got = _loss("soft_cross_entropy")(outputs, {"label": soft})["loss"]
    assert got.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["bce", "bce_logit"])
def test_binary_losses_take_logits(name):
    outputs = _outputs(crops=0)
    labels = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
    got = _loss(name)(outputs, {"label": labels})["loss"]
    probability = outputs.logits.sigmoid()
    target = labels[:, None].expand_as(probability).double()
    torch.testing.assert_close(got, F.binary_cross_entropy(probability, target))


def test_half_precision_logits_give_a_float32_loss():
    outputs = ClassifierOutputs(_outputs().logits.half())
    assert _loss()(outputs, {"label": LABEL})["loss"].dtype == torch.float32


def test_weight_out_of_range():
    with pytest.raises(ValueError, match=r"crop_weight: got 1\.5"):
        ClassificationLoss(label_loss, crop_weight=1.5)


@pytest.mark.parametrize("name", ["bce", "bce_logit"])
def test_binary_cross_entropy_of_lists_and_of_one_class(name):
    outputs = _outputs(crops=0)
    target = F.one_hot(LABEL, 4).float()
    expected = F.binary_cross_entropy(
        outputs.logits.sigmoid(), target[:, None].expand(3, 2, 4).double()
    )
    for label in (target, LABEL):
        out = _loss(name)(outputs, {"label": label})
        assert out["loss"].item() == pytest.approx(expected.item())
    cfg = get_cfg()
    cfg.DATA.MULTI_LABEL = True
    two = target.maximum(target.roll(1, dims=1))
    assert list(LOSS_REGISTRY.get(name)(cfg)(outputs, {"label": two})) == ["loss"]


def _weighted(name, weights):
    cfg = get_cfg()
    cfg.SOLVER.CLASS_WEIGHTS = weights
    return LOSS_REGISTRY.get(name)(cfg)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [0.5, 2.0, 3.0, 0.0]])
def test_class_weights(weights):
    """Against PyTorch's own weights, without their normalization."""
    outputs, exact = _outputs(crops=0), torch.tensor(weights, dtype=torch.float64)
    rows = outputs.logits.flatten(0, 1)
    each = F.cross_entropy(rows, LABEL.repeat_interleave(2), weight=exact, reduction="none")
    target = F.one_hot(LABEL, 4).double()
    for name, label in (("cross_entropy", LABEL), ("soft_cross_entropy", target)):
        loss = _weighted(name, weights)(outputs, {"label": label})["loss"]
        assert loss.item() == pytest.approx(each.mean().item())
    binary = F.binary_cross_entropy_with_logits(
        rows, target.repeat_interleave(2, dim=0), pos_weight=exact
    )
    assert _weighted("bce_logit", weights)(outputs, {"label": LABEL})["loss"].item() == (
        pytest.approx(binary.item())
    )


def _soft_labels(labels, smoothing=0.1, share=0.7):
    one_hot = F.one_hot(labels, 4).double()
    mixed = share * one_hot + (1 - share) * one_hot.flip(0)
    return (1 - smoothing) * mixed + smoothing / 4


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy"])
def test_soft_labels(name):
    outputs, labels = _outputs(crops=0), _soft_labels(LABEL)
    total = 0.0
    for row, label in zip(outputs.logits.tolist(), labels.tolist(), strict=True):
        for logits in row:
            norm = math.log(sum(map(math.exp, logits)))
            total -= sum(p * (x - norm) for x, p in zip(logits, label, strict=True))
    losses = _loss(name)(outputs, {"label": labels})
    assert losses["loss"].item() == pytest.approx(total / 6, abs=1e-12)
    assert list(losses) == ["loss", "top1_err"]


def test_crops_have_the_soft_label_of_their_sample():
    outputs, labels = _outputs(), _soft_labels(LABEL)
    losses = _loss("soft_cross_entropy", weight=0.3)(outputs, {"label": labels})
    views = [outputs.logits, *outputs.crop_logits]
    parts = [-(labels[:, None] * x.log_softmax(-1)).sum(-1).mean() for x in views]
    torch.testing.assert_close(losses["loss"], 0.7 * parts[0] + 0.15 * (parts[1] + parts[2]))


@pytest.mark.parametrize("name", ["bce", "bce_logit"])
def test_binary_losses_of_soft_labels(name):
    outputs, labels = _outputs(crops=0), _soft_labels(LABEL)
    probability = outputs.logits.sigmoid()
    target = labels[:, None]
    expected = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    losses = _loss(name)(outputs, {"label": labels})
    torch.testing.assert_close(losses["loss"], expected)
    assert list(losses) == ["loss", "top1_err"]


def test_errors_of_mixed_labels_count_the_two_classes_as_one():
    def by_hand(logits, label):
        first, second = sorted(range(len(label)), key=lambda c: -label[c])[:2]
        merged = list(logits)
        merged[first] += merged[second]
        merged[second] = 0.0
        rank = sum(x > merged[first] for x in merged)
        return rank >= 1, rank >= 5

    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(40, 2, 9, generator=generator)
    labels = torch.rand(40, 9, generator=generator)
    before = logits.clone()
    wrong = [by_hand(view, y) for row, y in zip(logits.tolist(), labels.tolist(), strict=True)
             for view in row]  # fmt: skip
    errors = topk_errors(logits, labels)
    assert errors["top1_err"].item() == pytest.approx(100 * sum(w for w, _ in wrong) / 80)
    assert errors["top5_err"].item() == pytest.approx(100 * sum(w for _, w in wrong) / 80)
    assert 0 < errors["top5_err"] < errors["top1_err"] < 100
    assert torch.equal(logits, before)
