"""Stochastic depth: residual branches are dropped for random samples of a batch.

Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016; MODEL.DROPCONNECT_RATE and
MVIT.DROPPATH_RATE.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DropPath"]


class DropPath(nn.Module):
    """Set a branch to zero for each sample with probability p, and scale the others by 1 / (1 - p).

    Args:
        rate: Drop probability p; 0 does nothing, and uses no random numbers.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def extra_repr(self) -> str:
        """Describe the layer in a printed model."""
        return f"rate={self.rate}"

    def forward(self, x: Tensor) -> Tensor:
        """Apply stochastic depth.

        Args:
            x: float (B, ...), the output of the branch.

        Returns:
            The same shape; in evaluation x itself.
        """
        if not self.training or not self.rate:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(keep)
        return x * (mask / keep)
