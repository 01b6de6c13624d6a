"""The noise-contrastive loss that every contrastive method here is built from.

Legend: B rows of one process, D embedding, W world size, N = W * B keys after gathering.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.utils import distributed

__all__ = ["info_nce"]


def info_nce(
    query: Tensor,
    key: Tensor,
    temperature: float,
    *,
    valid: Tensor | None = None,
    key_gradient: bool = False,
    gather: bool = True,
) -> Tensor:
    """Tell each query's own key from the keys of all other rows (van den Oord et al., 2018).

    ``loss_i = -log( exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t) )``, averaged over valid queries.

    With several processes j runs over the keys of all of them, and what is returned is this
    process's sum of losses times W over the number of valid queries of ALL processes. The mean over
    processes of that, which data-parallel training takes of the gradients, is the loss of the joint
    batch, also when the valid counts differ.

    Args:
        query: float (B, D), of length 1 if the similarity is to be the cosine.
        key: float (B, D); row i belongs to query i.
        temperature: t > 0.
        valid: bool (B,). Rows that are False are neither queries nor keys. None: all valid.
        key_gradient: Let the gradient flow into the keys as well, to every process.
        gather: Use the keys of all processes. B must then be equal on all.

    Returns:
        Scalar, float32 (float64 for float64 input). log N when all embeddings are equal and valid;
        0 when no row is valid.

    Raises:
        ValueError: If shapes disagree or the temperature is not positive.
    """
    _check(query, key, valid, temperature)
    if valid is None:
        valid = torch.ones(query.shape[0], dtype=torch.bool, device=query.device)
    # Cleared, not only left out: NaN times a gradient of zero is NaN.
    query, key = (x.masked_fill(~valid[:, None], 0.0) for x in (query, key))
    keys, key_valid, offset = key if key_gradient else key.detach(), valid, 0
    if gather:
        keys = distributed.gather_with_gradient(keys)  # (N, D); no gradient where keys have none
        key_valid = distributed.gather_no_gradient(valid)  # (N,)
        offset = distributed.rank() * query.shape[0]
    # Half precision holds about 3 digits: too few for logits of +-1/t, and exp overflows.
    with torch.autocast(query.device.type, enabled=False):
        wide = torch.promote_types(query.dtype, torch.float32)
        logits = query.to(wide) @ keys.to(wide).T / temperature  # (B, N)
        target = torch.arange(query.shape[0], device=query.device) + offset
        # A row's own key is never masked, so that the rows that do not count stay finite too.
        own = torch.arange(keys.shape[0], device=query.device) == target[:, None]  # (B, N)
        logits = logits.masked_fill(~(key_valid | own), float("-inf"))
        losses = F.cross_entropy(logits, target, reduction="none")  # (B,)
        return distributed.global_mean(losses, valid, joint=gather)


def _check(query: Tensor, key: Tensor, valid: Tensor | None, temperature: float) -> None:
    if query.dim() != 2 or query.shape != key.shape:
        raise ValueError(
            f"info_nce: got queries {tuple(query.shape)} and keys {tuple(key.shape)}; expected "
            "both (B, D), row i of one belonging to row i of the other."
        )
    if valid is not None and (valid.dtype != torch.bool or valid.shape != query.shape[:1]):
        raise ValueError(
            f"info_nce: got valid {valid.dtype} {tuple(valid.shape)}, expected bool "
            f"({query.shape[0]},)."
        )
    if temperature <= 0:
        raise ValueError(f"info_nce: got temperature {temperature}, expected a positive number.")
