"""The projection heads from pooled features to the embeddings that the losses compare.

Legend: N rows, C channels, D embedding.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import HEAD_REGISTRY

__all__ = ["ProjectionHead", "stica_projection"]


class ProjectionHead(nn.Module):
    """Dropout, linear, batch norm, ReLU, dropout, linear, L2 normalization.

    Full clips and crops share one head.

    Args:
        dim_in: C.
        dim_hidden: Width between the two linear layers.
        dim_out: D.
        norm: Batch norm of ``dim_hidden`` features, called with (x, groups).
        dropout: Probability of dropout before each linear layer.
        joint: Compute batch statistics over all rows and ignore ``groups``.
    """

    def __init__(
        self,
        dim_in: int,
        dim_hidden: int,
        dim_out: int,
        *,
        norm: nn.Module,
        dropout: float = 0.3,
        joint: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear1 = nn.Linear(dim_in, dim_hidden, bias=False)  # batch norm subtracts any bias
        self.norm = norm
        self.linear2 = nn.Linear(dim_hidden, dim_out)
        self.joint = joint

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Embed.

        Args:
            x: float (N, C); rows are ``groups`` equal blocks, for example one per crop.
            groups: Number of blocks; batch statistics are separate for each.

        Returns:
            float (N, D), rows of length 1.
        """
        x = self.linear1(self.dropout(x))  # (N, hidden)
        x = F.relu(self.norm(x, groups=1 if self.joint else groups))
        return F.normalize(self.linear2(self.dropout(x)), dim=-1)  # (N, D)


@HEAD_REGISTRY.register()
def stica_projection(dim_in: int, dim_out: int, cfg: CfgNode) -> ProjectionHead:
    """Build a projection head from STICA.HEAD_* and BN.NORM_TYPE."""
    return ProjectionHead(
        dim_in,
        cfg.STICA.HEAD_DIM,
        dim_out,
        norm=get_norm(cfg, dims=1)(cfg.STICA.HEAD_DIM),
        dropout=cfg.STICA.HEAD_DROPOUT,
        joint=cfg.STICA.HEAD_BN == "joint",
    )
