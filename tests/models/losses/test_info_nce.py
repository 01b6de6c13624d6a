import math

import pytest
import torch
from reference.info_nce import info_nce as reference
from torch.nn import functional as F

from slowfast.models.losses.info_nce import info_nce


def _pair(rows=6, dim=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, rows, dim, generator=generator, dtype=torch.float64)
    return F.normalize(query, dim=1).to(dtype), F.normalize(key, dim=1).to(dtype)


VALID = torch.tensor([True, False, True, True, False, True])


@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_equals_the_loops(valid, temperature):
    query, key = _pair()
    got = info_nce(query, key, temperature, valid=valid)
    flags = None if valid is None else valid.tolist()
    expected = reference(query.tolist(), key.tolist(), temperature, flags)
    assert got.item() == pytest.approx(expected, abs=1e-12)
    assert got.dtype == torch.float64


def test_is_log_of_the_batch_when_all_embeddings_are_equal():
    same = torch.ones(6, 4) / 2
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(6), abs=1e-6)
    assert info_nce(same, same, 0.1, valid=VALID).item() == pytest.approx(math.log(4), abs=1e-6)


def test_a_joint_permutation_changes_nothing():
    query, key = _pair()
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(
        info_nce(query[order], key[order], 0.1, valid=VALID[order]),
        info_nce(query, key, 0.1, valid=VALID),
        rtol=1e-12,
        atol=1e-12,
    )


def test_gradient_reaches_queries_and_only_on_request_keys():
    query, key = (x.requires_grad_() for x in _pair())
    info_nce(query, key, 0.1).backward()
    assert query.grad.abs().sum() > 0
    assert key.grad is None
    info_nce(query, key, 0.1, key_gradient=True).backward()
    assert key.grad.abs().sum() > 0


def test_gradient_is_right():
    query, key = (x.requires_grad_() for x in _pair())
    assert torch.autograd.gradcheck(
        lambda q, k: info_nce(q, k, 0.5, valid=VALID, key_gradient=True), (query, key)
    )


def test_invalid_rows_matter_to_nothing_even_when_not_finite():
    query, key = _pair()
    expected = info_nce(query[VALID], key[VALID], 0.1)
    query, key = (x.masked_fill(~VALID[:, None], float("nan")) for x in (query, key))
    query.requires_grad_(), key.requires_grad_()
    loss = info_nce(query, key, 0.1, valid=VALID, key_gradient=True)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    loss.backward()
    for grad in (query.grad, key.grad):
        assert grad.isfinite().all()
        assert not grad[~VALID].any()


def test_without_a_valid_row_the_loss_is_zero_and_the_gradient_too():
    query, key = (x.requires_grad_() for x in _pair())
    loss = info_nce(query, key, 0.1, valid=torch.zeros(6, dtype=torch.bool))
    with torch.autograd.set_detect_anomaly(True):  # nor is it NaN on the way
        loss.backward()
    assert loss.item() == 0
    assert not query.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    query, key = _pair(dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(query, key, 0.01)  # logits up to 100: exp of them is no float16
    assert loss.dtype == torch.float32
    expected = info_nce(query.double(), key.double(), 0.01)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_extreme_logits_are_finite():
    query, key = _pair(dtype=torch.float32)
    assert info_nce(query * 1e3, key * 1e3, 0.01).isfinite()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": torch.zeros(5, 4)}, r"\(6, 4\) and keys \(5, 4\)"),
        ({"valid": torch.ones(6)}, "expected bool"),
        ({"valid": torch.ones(5, dtype=torch.bool)}, r"expected bool \(6,\)"),
        ({"temperature": 0.0}, "got temperature 0.0"),
    ],
)
def test_errors(change, message):
    query, key = _pair(dtype=torch.float32)
    arguments = {"query": query, "key": key, "temperature": 0.1} | change
    with pytest.raises(ValueError, match=message):
        info_nce(**arguments)
