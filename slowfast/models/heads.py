"""Heads: pooled features to logits or embeddings.

A head always returns logits, in training and in evaluation. :func:`activate` computes scores, so
that averaging over views, calibration and losses all use the same logits.
(PySlowFast's heads apply MODEL.HEAD_ACT themselves when not training.)

Legend: N rows, C channels, D embedding or classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ParameterError
from slowfast.models.batch_norm import GroupedBatchNorm1d, get_norm
from slowfast.models.build import HEAD_REGISTRY

__all__ = ["HEAD_ACTIVATIONS", "LinearHead", "MLPHead", "activate", "linear", "mlp"]

HEAD_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "none": lambda logits: logits,
}


def activate(logits: Tensor, head_act: str) -> Tensor:
    """Convert logits to scores, for evaluation (MODEL.HEAD_ACT).

    Args:
        logits: float (..., D).
        head_act: ``softmax``, ``sigmoid`` or ``none``.

    Returns:
        float32 (..., D); float64 for float64 logits.

    Raises:
        ValueError: If the name is unknown.
    """
    if head_act not in HEAD_ACTIVATIONS:
        raise ParameterError(
            "head_act", f"got '{head_act}', expected one of {', '.join(HEAD_ACTIVATIONS)}."
        )
    # In half precision a softmax over many classes underflows.
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return HEAD_ACTIVATIONS[head_act](wide)


class LinearHead(nn.Module):
    """Dropout and one linear layer.

    Args:
        dim_in: C.
        dim_out: D, the classes.
        dropout: Probability of dropout.
        init_std: Standard deviation of the initial weights; the bias starts at 0.
    """

    def __init__(
        self, dim_in: int, dim_out: int, *, dropout: float = 0.0, init_std: float = 0.01
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(dim_in, dim_out)
        nn.init.normal_(self.projection.weight, std=init_std)
        nn.init.zeros_(self.projection.bias)

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Compute logits.

        Args:
            x: float (N, C).
            groups: Not used, as rows are independent.

        Returns:
            float (N, D).
        """
        return self.projection(self.dropout(x))


class MLPHead(nn.Module):
    """An MLP: blocks of linear layer, batch norm and ReLU, and a last linear layer.

    Args:
        dim_in: C.
        dim_hidden: Width of the hidden layers.
        dim_out: D.
        num_layers: Number of linear layers.
        norm: ``dim_hidden -> GroupedBatchNorm1d``, or None for none.
        dropout: Probability of dropout before each linear layer.
        normalize: L2-normalize the output.
    """

    def __init__(
        self,
        dim_in: int,
        dim_hidden: int,
        dim_out: int,
        *,
        num_layers: int = 2,
        norm: Callable[[int], nn.Module] | None = GroupedBatchNorm1d,
        dropout: float = 0.0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        dims = [dim_in, *[dim_hidden] * (num_layers - 1)]
        hidden = dims[1:]
        # Batch norm removes a bias.
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias=norm is None) for a, b in zip(dims, hidden, strict=False)
        )
        self.norms = nn.ModuleList(norm(b) for b in hidden) if norm is not None else None
        self.projection = nn.Linear(dims[-1], dim_out)
        self.dropout = nn.Dropout(dropout)
        self.normalize = normalize

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Embed.

        Args:
            x: float (N, C), ``groups`` equal blocks of rows.
            groups: Number of blocks with their own batch statistics.

        Returns:
            float (N, D).
        """
        for i, layer in enumerate(self.layers):
            x = layer(self.dropout(x))
            if self.norms is not None:
                x = self.norms[i](x, groups=groups)
            x = F.relu(x)
        x = self.projection(self.dropout(x))
        return F.normalize(x, dim=-1) if self.normalize else x


@HEAD_REGISTRY.register()
def linear(dim_in: int, dim_out: int, cfg: CfgNode) -> LinearHead:
    """Build a linear classifier. Read: MODEL.DROPOUT_RATE, MODEL.FC_INIT_STD."""
    return LinearHead(
        dim_in, dim_out, dropout=cfg.MODEL.DROPOUT_RATE, init_std=cfg.MODEL.FC_INIT_STD
    )


@HEAD_REGISTRY.register()
def mlp(dim_in: int, dim_out: int, cfg: CfgNode) -> MLPHead:
    """Build an MLP head of two layers; the hidden one is as wide as the input.

    Read: MODEL.DROPOUT_RATE, BN.NORM_TYPE.
    """
    return MLPHead(
        dim_in, dim_in, dim_out, norm=get_norm(cfg, dims=1), dropout=cfg.MODEL.DROPOUT_RATE
    )
