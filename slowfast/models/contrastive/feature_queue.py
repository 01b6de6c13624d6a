"""A queue of past keys as negatives (He et al., CVPR 2020, section 3.2, algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast.models.contrastive.gathered import gather_rows, random_rows

__all__ = ["FeatureQueue"]


class FeatureQueue(nn.Module):
    """A ring buffer of K embeddings; the oldest are replaced.

    It is initialized with random directions. Batches of any size can be pushed: writing wraps
    around at the end. With a small dataset K should be at most half of its videos, else the queue
    has older embeddings of the queries as negatives.

    Args:
        length: K.
        dim: D.
        seed: Seed of the initial rows, such as RNG_SEED.

    Attributes:
        rows: float32 (K, D) buffer.
        pointer: Scalar int64 buffer, index of the next row to write.
        filled: Scalar int64 buffer, number of rows written, at most K.

    Raises:
        ParameterError: If a size is not positive.
    """

    replicated_buffers = frozenset({"rows", "pointer", "filled"})
    rows: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, length: int, dim: int, *, seed: int) -> None:
        super().__init__()
        self.register_buffer("rows", random_rows(length, dim, seed))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64, device="cpu"))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64, device="cpu"))

    def content(self) -> Tensor:
        """Return the queue for a loss.

        Returns:
            float32 (K, D), a copy, so that a later push does not affect the backward pass.
        """
        return self.rows.clone()

    @torch.no_grad()
    def push(self, value: Tensor, valid: Tensor | None = None) -> None:
        """Append the rows of all processes, those of rank 0 first. Every process must call this.

        Args:
            value: float (B, D), L2-normalized for cosine similarity. Rows that are
                not finite are skipped. More than K: the last K stay.
            valid: bool (B,); rows that are False are skipped.

        Raises:
            ValueError: If a shape does not fit.
        """
        length, dim = self.rows.shape
        if value.dim() != 2 or value.shape[1] != dim:
            raise ValueError(f"FeatureQueue: got values {tuple(value.shape)}, expected (B, {dim}).")
        kept, (new,) = gather_rows(value, valid)  # (n,), (n, D)
        count = kept.sum()
        kept_first = (~kept).to(torch.uint8).argsort(stable=True)
        # The last min(n, K) of the kept rows, then some that are not kept: these rewrite old rows.
        number = torch.arange(min(len(new), length), device=new.device)
        number = number + (count - length).clamp(min=0)
        positions = (self.pointer + number) % length
        values = new[kept_first[number]].to(self.rows.dtype)
        is_new = (number < count)[:, None]
        self.rows[positions] = torch.where(is_new, values, self.rows[positions])
        self.pointer.add_(count).remainder_(length)
        self.filled.add_(count).clamp_(max=length)
