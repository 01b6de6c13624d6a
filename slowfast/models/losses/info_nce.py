"""The InfoNCE loss, the base of all contrastive methods.

Legend: B rows of one process, V views, D embedding, W world size, N = W * B keys after gathering,
K negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.config import ConfigValueError
from slowfast.utils import distributed
from slowfast.utils.env import full_precision

__all__ = ["info_nce", "nt_xent"]


def info_nce(
    query: Tensor,
    key: Tensor,
    temperature: float,
    *,
    valid: Tensor | None = None,
    key_gradient: bool = False,
    gather: bool = True,
    negatives: Tensor | None = None,
    positive_mask: Tensor | None = None,
) -> Tensor:
    """Classify each query's own key among the keys of all rows (van den Oord et al., 2018).

    ``loss_i = -log( exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t) )``, averaged over valid queries.

    With several processes, j runs over the keys of all of them. The result is this process's sum of
    losses times W, divided by the number of valid queries of ALL processes. Its mean over
    processes, as in data-parallel training, is the loss of the global batch, even if valid counts
    differ.

    With ``negatives``, these replace the keys of the other rows
    (He et al., CVPR 2020, equation 1). With ``positive_mask`` a query may have several positives,
    over which ``-log softmax`` is averaged (Khosla et al., NeurIPS 2020, equation 2). With both,
    keys that are not positives are ignored.

    Args:
        query: float (B, D), of length 1 if the similarity is to be the cosine.
        key: float (B, D); row i belongs to query i.
        temperature: t > 0.
        valid: bool (B,). Rows that are False are neither queries nor keys. None: all valid.
        key_gradient: Let the gradient flow into the keys as well, to every process.
        gather: Use the keys of all processes. B must then be equal on all.
        negatives: float (K, D), a queue, or (B, K, D), rows of a bank; finite and constant, not
            gathered.
        positive_mask: bool (B, N), whether key j is a positive of query i. Key i of all keys is
            query i's own: it is a positive or ignored, never a negative, so that ``key`` may be
            ``query`` itself. A query without a valid positive is ignored. None: its own key.

    Returns:
        Scalar, float32 (float64 for float64 input). log N when all embeddings are equal and valid,
        log(1 + K) with negatives; 0 when no row is valid.

    Raises:
        ValueError: If shapes disagree or the temperature is not positive.
    """
    _check(query, key, valid, temperature)
    if valid is None:
        valid = torch.ones(query.shape[0], dtype=torch.bool, device=query.device)
    # Set to zero, not only masked: NaN times a gradient of zero is NaN.
    query, key = (x.masked_fill(~valid[:, None], 0.0) for x in (query, key))
    keys, key_valid, offset = key if key_gradient else key.detach(), valid, 0
    if gather and (negatives is None or positive_mask is not None):
        keys = distributed.gather_with_gradient(keys)  # (N, D); no gradient where keys have none
        key_valid = distributed.gather_no_gradient(valid)  # (N,)
        offset = distributed.rank() * query.shape[0]
    # Half precision holds about 3 digits: too few for logits of +-1/t, and exp overflows.
    with full_precision(query.device):
        wide = torch.promote_types(query.dtype, torch.float32)
        query, keys = query.to(wide), keys.to(wide)
        other = None if negatives is None else _similarities(query, negatives) / temperature
        if positive_mask is None and other is not None:
            own_logit = (query * keys).sum(dim=1, keepdim=True) / temperature  # (B, 1)
            losses = -torch.cat([own_logit, other], dim=1).log_softmax(dim=1)[:, 0]
            return distributed.global_mean(losses, valid, joint=gather)
        logits = query @ keys.T / temperature  # (B, N)
        target = torch.arange(query.shape[0], device=query.device) + offset
        own = torch.arange(keys.shape[0], device=query.device) == target[:, None]  # (B, N)
        if positive_mask is None:
            # A row's own key is never masked, so that invalid rows are finite, too.
            logits = logits.masked_fill(~(key_valid | own), float("-inf"))
            losses = F.cross_entropy(logits, target, reduction="none")  # (B,)
        else:
            positive = _checked_mask(positive_mask, logits) & key_valid  # (B, N)
            losses = _over_positives(logits, positive, key_valid & ~own | positive, other)
            valid = valid & positive.any(dim=1)
        return distributed.global_mean(losses, valid, joint=gather)


def nt_xent(
    embedding: Tensor, temperature: float, *, valid: Tensor | None = None, gather: bool = True
) -> Tensor:
    """Classify the other views of a sample among all views of a batch (Chen et al., ICML 2020).

    Equation 1 of the paper, averaged over all views. With more than two views each other view of
    the sample is a positive. The published code sums two halves, which is twice this.

    Args:
        embedding: float (B, V, D), of length 1 if the similarity is to be the cosine.
        temperature: t > 0.
        valid: bool (B,) or (B, V), as in :func:`info_nce`. None: all valid.
        gather: Use the views of all processes. B must then be equal on all.

    Returns:
        Scalar, as :func:`info_nce`; log(W * B * V - 1) when all embeddings are equal and V is 2.

    Raises:
        ConfigValueError: If there is one view.
        ValueError: If the shape is wrong.
    """
    if embedding.dim() != 3:
        raise ValueError(f"nt_xent: got {tuple(embedding.shape)}, expected (B, V, D).")
    if embedding.shape[1] < 2:
        raise ConfigValueError(
            "DATA.TRAIN_CROP_NUM_SPATIAL", "the loss got 1 view of a sample; expected at least 2."
        )
    samples, views = embedding.shape[:2]
    if valid is not None:
        valid = (valid[:, None] if valid.dim() == 1 else valid).expand(samples, views).flatten()
    rows = embedding.flatten(0, 1)  # (B * V, D)
    ranks, rank = (distributed.world_size(), distributed.rank()) if gather else (1, 0)
    column = torch.arange(ranks * len(rows), device=rows.device)
    row = torch.arange(len(rows), device=rows.device)[:, None] + rank * len(rows)
    is_other_view = (column // views == row // views) & (column != row)  # (B * V, W * B * V)
    return info_nce(
        rows,
        rows,
        temperature,
        valid=valid,
        key_gradient=True,
        gather=gather,
        positive_mask=is_other_view,
    )


def _similarities(query: Tensor, negatives: Tensor) -> Tensor:
    """Inner products of (B, D) with (K, D) or (B, K, D): (B, K)."""
    rows, dim = query.shape
    if (
        negatives.dim() not in (2, 3)
        or negatives.shape[-1] != dim
        or (negatives.dim() == 3 and negatives.shape[0] != rows)
    ):
        raise ValueError(
            f"info_nce: got negatives {tuple(negatives.shape)}, expected (K, {dim}) or "
            f"({rows}, K, {dim})."
        )
    negatives = negatives.detach().to(query.dtype)
    if negatives.dim() == 2:
        return query @ negatives.T
    return torch.einsum("bd,bkd->bk", query, negatives)


def _over_positives(
    logits: Tensor, positive: Tensor, candidate: Tensor, other: Tensor | None
) -> Tensor:
    """Average -log softmax over the positives of each row; 0 without any.

    Args:
        logits: (B, N).
        positive: bool (B, N), a subset of ``candidate``.
        candidate: bool (B, N), the keys in the softmax if there are no other logits.
        other: (B, K), logits of negatives that replace the keys that are not positives.

    Returns:
        (B,).
    """
    kept = logits.masked_fill(~(candidate if other is None else positive), float("-inf"))
    every = kept if other is None else torch.cat([kept, other], dim=1)
    has_positive = positive.any(dim=1)
    # Rows without a positive may be empty, where logsumexp has no gradient.
    total = every.masked_fill(~has_positive[:, None], 0.0).logsumexp(dim=1)  # (B,)
    mean = logits.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    return (total - mean).masked_fill(~has_positive, 0.0)


def _checked_mask(positive_mask: Tensor, logits: Tensor) -> Tensor:
    if positive_mask.dtype != torch.bool or positive_mask.shape != logits.shape:
        raise ValueError(
            f"info_nce: got positive_mask {positive_mask.dtype} {tuple(positive_mask.shape)}, "
            f"expected bool {tuple(logits.shape)}: queries of this process, keys of all."
        )
    return positive_mask


def _check(query: Tensor, key: Tensor, valid: Tensor | None, temperature: float) -> None:
    if query.dim() != 2 or query.shape != key.shape:
        raise ValueError(
            f"info_nce: got queries {tuple(query.shape)} and keys {tuple(key.shape)}; expected "
            "both (B, D), with matching rows."
        )
    if valid is not None and (valid.dtype != torch.bool or valid.shape != query.shape[:1]):
        raise ValueError(
            f"info_nce: got valid {valid.dtype} {tuple(valid.shape)}, expected bool "
            f"({query.shape[0]},)."
        )
    if temperature <= 0:
        raise ValueError(f"info_nce: got temperature {temperature}, expected a positive number.")
