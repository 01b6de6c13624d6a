"""C3D (Tran et al., ICCV 2015): eight 3x3x3 convolutions, five max poolings, three linear layers.

The feature map is that of ``conv5b``. In the paper the last pooling has an output of 4x4 positions,
which is flattened for the linear layers. With MODEL.POOLING native the backbone returns this output
as ``BackboneOutput.summary``, and the linear layers are MODEL.HEAD c3d_fc. Any other pooling uses
the feature map, and any other head can follow.

Poolings round up, as in the authors' code: a 7x7 map becomes 4x4.

Legend: B batch, C channels, N token rows, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.activation_checkpoint import activation_checkpoint
from slowfast.models.build import (
    BACKBONE_REGISTRY,
    CHECKPOINT_FORMAT_REGISTRY,
    HEAD_REGISTRY,
)
from slowfast.models.contracts import BackboneOutput, Tokens
from slowfast.models.heads import LinearHead
from slowfast.models.pooling import AvgPooling

__all__ = ["C3DBackbone", "C3DHead", "GridPooling", "c3d", "c3d_fc", "published_c3d"]

_PUBLISHED_WIDTH = 64
# Name, channels at the published width, and the max pooling before it.
_LAYERS: tuple[tuple[str, int, tuple[int, int, int] | None], ...] = (
    ("conv1a", 64, None),
    ("conv2a", 128, (1, 2, 2)),
    ("conv3a", 256, (2, 2, 2)),
    ("conv3b", 256, None),
    ("conv4a", 512, (2, 2, 2)),
    ("conv4b", 512, None),
    ("conv5a", 512, (2, 2, 2)),
    ("conv5b", 512, None),
)
_LAST_POOL = (2, 2, 2)
# Input size of the linear layers: time, height and width.
_GRID = (1, 4, 4)
_HIDDEN = 4096
_CONV_STD, _LINEAR_STD = 0.01, 0.005


class ConvReLU(nn.Conv3d):
    """A 3x3x3 convolution with a bias, and ReLU.

    Args:
        dim_in: Input channels.
        dim_out: Output channels.
        bias_init: Initial bias; the weights are sampled from N(0, 0.01).
    """

    def __init__(self, dim_in: int, dim_out: int, *, bias_init: float) -> None:
        super().__init__(dim_in, dim_out, 3, padding=1)
        nn.init.normal_(self.weight, std=_CONV_STD)
        if self.bias is not None:
            nn.init.constant_(self.bias, bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to float (B, C, T, H, W)."""
        return F.relu(super().forward(x), inplace=True)


class GridPooling(nn.Module):
    """Repeat the average of a crop at all positions of the 4x4 grid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.positions = _GRID[0] * _GRID[1] * _GRID[2]
        self.dim_out = dim * self.positions
        self.average = AvgPooling()

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row.

        Returns:
            float (N, C * 16), with the positions of a channel contiguous.
        """
        return self.average(tokens).repeat_interleave(self.positions, dim=1)


class C3DBackbone(nn.Module):
    """C3D's convolutions.

    Args:
        width: Channels of the first convolution, 64 as published; the others scale with it.
        dim_in: Channels of the input.
        act_checkpoint: Recompute each convolution in the backward pass instead of keeping
            activations.
    """

    def __init__(
        self, *, width: int = _PUBLISHED_WIDTH, dim_in: int = 3, act_checkpoint: bool = False
    ) -> None:
        super().__init__()
        self.act_checkpoint = act_checkpoint
        dim = dim_in
        for name, published, _ in _LAYERS:
            dim_out = max(1, published * width // _PUBLISHED_WIDTH)
            self.add_module(name, ConvReLU(dim, dim_out, bias_init=float(name != "conv1a")))
            dim = dim_out
        self.out_channels = [dim]

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the map of the last convolution, and the output of the last pooling.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T', H', W') with T' = ceil(T / 8), H' = ceil(H / 16), W' likewise; as
            ``summary`` float (B, C * 16). With 16 frames of 112x112 it is as published; other
            sizes are average-pooled to it.
        """
        x = video
        for name, _, pool in _LAYERS:
            if pool is not None:
                x = F.max_pool3d(x, pool, ceil_mode=True)
            layer = self.get_submodule(name)
            recompute = self.act_checkpoint and self.training
            x = activation_checkpoint(layer, x) if recompute else layer(x)
        summary = F.adaptive_avg_pool3d(F.max_pool3d(x, _LAST_POOL, ceil_mode=True), _GRID)
        return BackboneOutput([x], summary.flatten(1))

    def native_pooling(self) -> GridPooling:
        """Build the pooling that gives crops of the map the shape of the summary.

        Returns:
            ``Tokens -> (N, C * 16)``.
        """
        return GridPooling(self.out_channels[0])


class C3DHead(nn.Module):
    """The paper's three linear layers: two with ReLU and dropout, and the classifier.

    Args:
        dim_in: C.
        dim_out: D, the classes.
        dim_hidden: Channels of the hidden layers.
        dropout: Probability of dropout.
        init_std: Standard deviation of the last layer's initial weights.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        dim_hidden: int = _HIDDEN,
        dropout: float = 0.5,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.fc6 = nn.Linear(dim_in, dim_hidden)
        self.fc7 = nn.Linear(dim_hidden, dim_hidden)
        self.dropout = nn.Dropout(dropout)
        last = LinearHead(dim_hidden, dim_out, init_std=init_std)
        self.projection = last.projection
        for layer in (self.fc6, self.fc7):
            nn.init.normal_(layer.weight, std=_LINEAR_STD)
            nn.init.ones_(layer.bias)

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Compute logits.

        Args:
            x: float (N, C).
            groups: Not used, as rows are independent.

        Returns:
            float (N, D).
        """
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
        return self.projection(x)


@BACKBONE_REGISTRY.register()
def c3d(cfg: CfgNode) -> C3DBackbone:
    """Build C3D. Read: RESNET.WIDTH_PER_GROUP, MODEL.ACT_CHECKPOINT."""
    return C3DBackbone(
        width=cfg.RESNET.WIDTH_PER_GROUP,
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )


@HEAD_REGISTRY.register()
def c3d_fc(dim_in: int, dim_out: int, cfg: CfgNode) -> C3DHead:
    """Build C3D's linear layers, with 4096 channels at the published width.

    Read: MODEL.DROPOUT_RATE, FC_INIT_STD, RESNET.WIDTH_PER_GROUP.
    """
    return C3DHead(
        dim_in,
        dim_out,
        dim_hidden=_HIDDEN * cfg.RESNET.WIDTH_PER_GROUP // _PUBLISHED_WIDTH,
        dropout=cfg.MODEL.DROPOUT_RATE,
        init_std=cfg.MODEL.FC_INIT_STD,
    )


@CHECKPOINT_FORMAT_REGISTRY.register()
def published_c3d(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of C3D from the authors' code and its common ports.

    Convolutions get the prefix ``backbone.`` (``conv1`` and ``conv2`` of the ports become
    ``conv1a`` and ``conv2a``), ``fc6`` and ``fc7`` the prefix ``head.``, and ``fc8`` becomes
    ``head.projection``; the authors' ending ``-1`` of these is dropped.

    Returns:
        The converted state dict, or None if the keys are not of C3D.
    """
    renamed = {"conv1": "conv1a", "conv2": "conv2a", "fc8": "projection"}
    convolutions = {name for name, _, _ in _LAYERS}
    result = {}
    for key, value in state_dict.items():
        module, _, leaf = key.rpartition(".")
        module = module.removesuffix("-1")
        module = renamed.get(module, module)
        if module in convolutions:
            result[f"backbone.{module}.{leaf}"] = value
        elif module in ("fc6", "fc7", "projection"):
            result[f"head.{module}.{leaf}"] = value
        else:
            return None
    weights = {f"backbone.{name}.weight" for name in convolutions}
    return result if weights <= set(result) else None
