import math

import pytest
import torch
from reference import contrastive as reference

from slowfast.models.losses.nce import nce_loss

GENERATOR = torch.Generator().manual_seed(0)
POSITIVE = torch.randn(4, generator=GENERATOR, dtype=torch.float64)
NEGATIVES = torch.randn(4, 6, generator=GENERATOR, dtype=torch.float64) * 2
VALID = torch.tensor([True, False, True, True])


@pytest.mark.parametrize("valid", [None, VALID])
def test_equals_the_loops(valid):
    got = nce_loss(POSITIVE, NEGATIVES, math.log(1.5), valid=valid)
    rows = range(4) if valid is None else [0, 2, 3]
    losses = [reference.nce(POSITIVE[i].item(), NEGATIVES[i].tolist(), 1.5) for i in rows]
    assert got.item() == pytest.approx(sum(losses) / len(losses), abs=1e-12)


def test_losses_of_several_positives_are_averaged():
    several = torch.stack([POSITIVE, POSITIVE + 1], dim=1)
    single = [nce_loss(p, NEGATIVES, 0.3) for p in several.unbind(dim=1)]
    torch.testing.assert_close(nce_loss(several, NEGATIVES, 0.3), sum(single) / 2)


def test_chance_level():
    same = nce_loss(torch.zeros(4), torch.zeros(4, 128), 0.0).item()
    assert same == pytest.approx(math.log(129) + 128 * math.log(129 / 128), abs=1e-5)


def test_gradient_is_right():
    inputs = POSITIVE.clone().requires_grad_(), NEGATIVES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, n: nce_loss(p, n, 0.4, valid=VALID), inputs)


def test_rows_that_are_not_valid_matter_to_nothing_even_when_not_finite():
    positive = POSITIVE.masked_fill(~VALID, float("nan")).requires_grad_()
    negatives = NEGATIVES.masked_fill(~VALID[:, None], float("inf"))
    loss = nce_loss(positive, negatives, 0.1, valid=VALID)
    torch.testing.assert_close(loss, nce_loss(POSITIVE[VALID], NEGATIVES[VALID], 0.1))
    loss.backward()
    assert positive.grad.isfinite().all()
    assert positive.grad[1] == 0


def test_large_scores_in_half_precision_are_finite():
    loss = nce_loss(torch.full((4,), -300.0).half(), torch.full((4, 6), 300.0).half(), 0.0)
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": POSITIVE[:3]}, r"positives \(3,\) and negatives \(4, 6\)"),
        ({"negatives": NEGATIVES[0]}, r"negatives \(6,\)"),
        ({"valid": torch.ones(4)}, r"got valid torch\.float32 \(4,\), expected bool \(4,\)"),
    ],
)
def test_errors(change, message):
    arguments = {"positive": POSITIVE, "negatives": NEGATIVES, "log_mean_exp": 0.0} | change
    with pytest.raises(ValueError, match=message):
        nce_loss(**arguments)
