import math

import pytest
import torch
from reference import contrastive
from reference.info_nce import nce
from torch.nn import functional as F

from slowfast.models.losses.info_nce import info_nce, nt_xent


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
    expected = nce(list(query), list(key), temperature, flags)
    assert got.item() == pytest.approx(expected.item(), abs=1e-12)
    assert got.dtype == torch.float64


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


QUEUE = F.normalize(
    torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1
)
BANK = F.normalize(
    torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64), dim=2
)


@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("negatives", [QUEUE, BANK])
def test_with_negatives_equals_the_loops(negatives, valid):
    query, key = _pair()
    losses = []
    for i, (q, k) in enumerate(zip(query.tolist(), key.tolist(), strict=True)):
        own = negatives if negatives.dim() == 2 else negatives[i]
        scores = [contrastive.dot(q, other) / 0.2 for other in [k, *own.tolist()]]
        losses.append(contrastive.softmax_loss(scores, [0], range(len(scores))))
    kept = losses if valid is None else [x for x, flag in zip(losses, valid, strict=True) if flag]
    got = info_nce(query, key, 0.2, valid=valid, negatives=negatives)
    assert got.item() == pytest.approx(sum(kept) / len(kept), abs=1e-12)


def _several(query, key, mask, valid, negatives=None):
    """Loop over queries, their positives and what the softmax runs over."""
    losses = []
    for i, q in enumerate(query.tolist()):
        rows = [*key.tolist(), *([] if negatives is None else negatives.tolist())]
        scores = [contrastive.dot(q, row) / 0.3 for row in rows]
        positives = [j for j in range(len(key)) if mask[i][j] and valid[j]]
        keys = [j for j in range(len(key)) if valid[j] and (j != i or mask[i][j])]
        runs_over = keys if negatives is None else [*positives, *range(len(key), len(rows))]
        if positives and valid[i]:
            losses.append(contrastive.softmax_loss(scores, positives, runs_over))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("negatives", [None, QUEUE])
@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("own", [True, False])
def test_with_several_positives_equals_the_loops(own, valid, negatives):
    query, key = _pair()
    label = torch.tensor([0, 1, 0, 2, 1, 0])  # the only row of class 2 has no other positive
    mask = label[:, None] == label
    if not own:
        mask.fill_diagonal_(False)
    got = info_nce(query, key, 0.3, valid=valid, positive_mask=mask, negatives=negatives)
    flags = [True] * 6 if valid is None else valid.tolist()
    expected = _several(query, key, mask.tolist(), flags, negatives)
    assert got.item() == pytest.approx(expected, abs=1e-12)


def test_the_own_key_as_the_only_positive_is_the_ordinary_loss():
    query, key = _pair()
    got = info_nce(query, key, 0.1, valid=VALID, positive_mask=torch.eye(6, dtype=torch.bool))
    torch.testing.assert_close(got, info_nce(query, key, 0.1, valid=VALID), rtol=1e-12, atol=0)


@pytest.mark.parametrize("negatives", [None, QUEUE, BANK])
@pytest.mark.parametrize("mask", [None, torch.eye(6).roll(1, 0).bool() | torch.eye(6).bool()])
def test_gradient_of_the_other_forms_is_right(mask, negatives):
    inputs = [x.requires_grad_() for x in _pair()]

    def loss(query, key):
        kwargs = {"valid": VALID, "negatives": negatives, "positive_mask": mask}
        return info_nce(query, key, 0.5, key_gradient=True, **kwargs)

    assert torch.autograd.gradcheck(loss, inputs)


def test_without_a_positive_the_loss_is_zero_and_the_gradient_too():
    query, key = (x.requires_grad_() for x in _pair())
    none = torch.zeros(6, 6, dtype=torch.bool)
    with torch.autograd.set_detect_anomaly(True):
        loss = info_nce(query, key, 0.1, positive_mask=none, key_gradient=True)
        loss.backward()
    assert loss.item() == 0
    assert not query.grad.any()


@pytest.mark.parametrize("views", [2, 3])
def test_nt_xent_equals_the_loops(views):
    query, key = _pair()
    embedding = torch.stack([query, key, query.flip(0)][:views], dim=1)
    expected = contrastive.nt_xent(embedding.tolist(), 0.2)
    assert nt_xent(embedding, 0.2).item() == pytest.approx(expected, abs=1e-12)
    kept = nt_xent(embedding, 0.2, valid=VALID)
    torch.testing.assert_close(kept, nt_xent(embedding[VALID], 0.2), rtol=1e-12, atol=0)


def test_nt_xent_of_equal_embeddings_is_log_of_all_other_views():
    same = torch.ones(6, 2, 4) / 2
    assert nt_xent(same, 0.1).item() == pytest.approx(math.log(11), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negatives": torch.zeros(7, 3)}, r"negatives \(7, 3\), expected \(K, 4\) or \(6, K, 4\)"),
        ({"negatives": torch.zeros(5, 7, 4)}, r"negatives \(5, 7, 4\)"),
        ({"positive_mask": torch.zeros(6, 6)}, r"expected bool \(6, 6\)"),
        (
            {"positive_mask": torch.zeros(6, 5, dtype=torch.bool)},
            r"positive_mask torch\.bool \(6, 5",
        ),
    ],
)
def test_errors_of_the_other_forms(change, message):
    query, key = _pair(dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        info_nce(query, key, 0.1, **change)


def test_nt_xent_needs_two_views():
    with pytest.raises(ValueError, match=r"DATA\.TRAIN_CROP_NUM_SPATIAL: the loss got 1 view"):
        nt_xent(torch.zeros(6, 1, 4), 0.1)
