"""The last keys of a training as negatives (He et al., CVPR 2020, section 3.2, algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast.models.contrastive.gathered import gather_rows, random_rows

__all__ = ["FeatureQueue"]


class FeatureQueue(nn.Module):
    """A ring buffer of K embeddings; the oldest are replaced.

    It starts with random directions. Batches of any size may be pushed: writing wraps around at the
    end. With a small dataset choose K of at most half of its videos, or the queue holds older
    copies of the queries, as negatives.

    Args:
        length: K.
        dim: D.
        seed: Of the first rows, such as RNG_SEED.

    Attributes:
        rows: float32 (K, D) buffer.
        pointer: Scalar int64 buffer: where the next row goes.
        filled: Scalar int64 buffer: how many rows have been written, at most K.

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
            float32 (K, D), a copy: a later push must not change what a backward pass reads.
        """
        return self.rows.clone()

    @torch.no_grad()
    def push(self, value: Tensor, valid: Tensor | None = None) -> None:
        """Append the rows of all processes, those of rank 0 first. Every process must call it.

        Args:
            value: float (B, D), of length 1 if the similarity is to be the cosine. Rows that are
                not finite are left out. More than K: the last K stay.
            valid: bool (B,); rows that are False are left out.

        Raises:
            ValueError: If a shape does not fit.
        """
        length, dim = self.rows.shape
        if value.dim() != 2 or value.shape[1] != dim:
            raise ValueError(f"FeatureQueue: got values {tuple(value.shape)}, expected (B, {dim}).")
        (new,) = gather_rows(value, valid)  # (n, D)
        first = max(len(new) - length, 0)
        positions = torch.arange(first, len(new), device=self.rows.device) + self.pointer
        self.rows[positions % length] = new[first:].to(self.rows.dtype)
        self.pointer.add_(len(new)).remainder_(length)
        self.filled.add_(len(new)).clamp_(max=length)
