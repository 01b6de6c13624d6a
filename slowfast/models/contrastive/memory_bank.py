"""A memory bank with one moving-average embedding per video (Wu et al., CVPR 2018, section 3.1).

With several views or modalities, each has a bank of its own (Tian et al., ECCV 2020; Morgado et
al., CVPR 2021).

Legend: B rows of one process, N rows of the bank, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import ParameterError
from slowfast.models.contrastive.gathered import gather_rows, random_rows

__all__ = ["MemoryBank"]


class MemoryBank(nn.Module):
    """An embedding for each row of the dataset.

    Read it in ``forward`` and write it in ``after_batch``, so that evaluation does not change it.

    Args:
        num_rows: N, ``DatasetInfo.num_rows``; ``batch["index"]`` is below it.
        dim: D.
        momentum: m, the weight of the old row in an update.
        seed: Seed of the initial rows, such as RNG_SEED; use different seeds for several banks.

    Attributes:
        rows: float32 (N, D) buffer, L2-normalized rows.

    Raises:
        ParameterError: If a size is not positive or the momentum not in [0, 1].
    """

    replicated_buffers = frozenset({"rows"})
    rows: Tensor

    def __init__(self, num_rows: int, dim: int, *, momentum: float = 0.5, seed: int) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ParameterError("momentum", f"got {momentum}; expected 0 to 1.")
        self.momentum = momentum
        self.register_buffer("rows", random_rows(num_rows, dim, seed))

    @torch.no_grad()
    def update(self, index: Tensor, value: Tensor, valid: Tensor | None = None) -> None:
        """Update the rows of the batches of all processes: ``normalize(m * old + (1 - m) * new)``.

        If an index occurs more than once, only its last valid occurrence is used, in rank order.
        Every process must call this.

        Args:
            index: int64 (B,).
            value: float (B, D), L2-normalized. Rows that are not finite are skipped.
            valid: bool (B,); rows that are False are skipped.

        Raises:
            ValueError: If a shape does not fit or an index is beyond the bank (checked on the CPU
                only).
        """
        if value.dim() != 2 or value.shape[1] != self.rows.shape[1] or index.dim() != 1:
            raise ValueError(
                f"MemoryBank: got index {tuple(index.shape)} and values {tuple(value.shape)}; "
                f"expected (B,) and (B, {self.rows.shape[1]})."
            )
        kept, (new, index) = gather_rows(value, valid, index)  # (n,), (n, D), (n,)
        if not index.is_cuda:
            self._check(index)
        # Writing an index twice is not deterministic on GPUs: all occurrences of an index write the
        # value of the last valid one. The sort puts it last, and the search finds it.
        order = (2 * index + kept).argsort(stable=True)
        index = index[order]
        last = order[torch.searchsorted(index, index, right=True) - 1]
        old = self.rows[index]
        mixed = self.momentum * old + (1 - self.momentum) * new[last].to(self.rows.dtype)
        self.rows[index] = torch.where(kept[last][:, None], F.normalize(mixed, dim=1), old)

    def _check(self, index: Tensor) -> None:
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < len(self.rows):
            raise ValueError(
                f"MemoryBank: got index {int(index.min())} to {int(index.max())}, but the bank has "
                f"{len(self.rows)} rows. Give it DatasetInfo.num_rows, see Method.setup."
            )
