"""The 18- and 34-layer video ResNets: R(2+1)D, R3D and MC3 (Tran et al., CVPR 2018).

Parameter names and shapes are torchvision's, except ``fc``, which is the classifier's head; see
:func:`torchvision_video_resnet` for the mapping of a full checkpoint.

Legend: B batch, C channels, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.activation_checkpoint import activation_checkpoint
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY, CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.contracts import BackboneOutput
from slowfast.models.time_conv import TimeConv3d

__all__ = [
    "Conv2Plus1D",
    "VideoResNet",
    "mc3_18",
    "r2plus1d_18",
    "r2plus1d_34",
    "r3d_18",
    "torchvision_video_resnet",
]

Norm = Callable[[int], nn.Module]

# The published stem of R(2+1)D has 45 channels between its two convolutions at width 64.
_STEM_MID_CHANNELS = 45


def mid_channels(dim_in: int, dim_out: int) -> int:
    """Compute the channels between the two convolutions that replace a 3x3x3 convolution.

    Both together have about as many weights as that one (Tran et al., section 3.5).
    """
    return (dim_in * dim_out * 27) // (dim_in * 9 + 3 * dim_out)


class Conv3d(nn.Conv3d):
    """A 3x3x3 convolution, strided in space and time; ``dim_mid`` is not used."""

    def __init__(self, dim_in: int, dim_out: int, *, dim_mid: int, stride: int, norm: Norm) -> None:
        super().__init__(dim_in, dim_out, 3, stride=stride, padding=1, bias=False)

    @staticmethod
    def downsample_stride(stride: int) -> tuple[int, int, int]:
        """Return the stride in time, height and width."""
        return stride, stride, stride


class Conv2d(nn.Conv3d):
    """A 1x3x3 convolution, strided in space only; ``dim_mid`` is not used."""

    def __init__(self, dim_in: int, dim_out: int, *, dim_mid: int, stride: int, norm: Norm) -> None:
        super().__init__(
            dim_in, dim_out, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False
        )

    @staticmethod
    def downsample_stride(stride: int) -> tuple[int, int, int]:
        """Return the stride in time, height and width."""
        return 1, stride, stride


class Conv2Plus1D(nn.Sequential):
    """A convolution in space, batch norm, ReLU, and a convolution in time.

    Args:
        dim_in: Input channels.
        dim_out: Output channels.
        dim_mid: Hidden channels.
        stride: Stride in space (first convolution) and time (second).
        norm: Channels -> batch norm.
    """

    def __init__(self, dim_in: int, dim_out: int, *, dim_mid: int, stride: int, norm: Norm) -> None:
        space = (1, stride, stride)
        super().__init__(
            nn.Conv3d(dim_in, dim_mid, (1, 3, 3), stride=space, padding=(0, 1, 1), bias=False),
            norm(dim_mid),
            nn.ReLU(inplace=True),
            TimeConv3d(
                dim_mid, dim_out, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False
            ),
        )

    @staticmethod
    def downsample_stride(stride: int) -> tuple[int, int, int]:
        """Return the stride in time, height and width."""
        return stride, stride, stride


Conv = type[Conv3d] | type[Conv2d] | type[Conv2Plus1D]


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut.

    Args:
        conv: Kind of convolution.
        dim_in: Input channels.
        dim_out: Output channels.
        stride: Stride of the first convolution and the shortcut.
        norm: Channels -> batch norm.
    """

    def __init__(self, conv: Conv, dim_in: int, dim_out: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        # The same number for both convolutions, as published, computed for the first one.
        build = partial(conv, dim_mid=mid_channels(dim_in, dim_out), norm=norm)
        self.conv1 = nn.Sequential(
            build(dim_in, dim_out, stride=stride), norm(dim_out), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(build(dim_out, dim_out, stride=1), norm(dim_out))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or dim_in != dim_out:
            strides = conv.downsample_stride(stride)
            self.downsample = nn.Sequential(
                nn.Conv3d(dim_in, dim_out, 1, stride=strides, bias=False), norm(dim_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, T, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.conv2(self.conv1(x)) + shortcut)


def _stem_3d(dim_in: int, width: int, norm: Norm) -> nn.Sequential:
    """One 3x7x7 convolution, strided in space."""
    conv = nn.Conv3d(dim_in, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
    return nn.Sequential(conv, norm(width), nn.ReLU(inplace=True))


def _stem_2plus1d(dim_in: int, width: int, norm: Norm) -> nn.Sequential:
    """A 1x7x7 convolution, strided in space, and a 3x1x1 convolution in time."""
    mid = max(1, _STEM_MID_CHANNELS * width // 64)
    return nn.Sequential(
        nn.Conv3d(dim_in, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        norm(mid),
        nn.ReLU(inplace=True),
        TimeConv3d(mid, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        norm(width),
        nn.ReLU(inplace=True),
    )


def _stage(
    conv: Conv, dim_in: int, dim_out: int, *, depth: int, stride: int, norm: Norm
) -> nn.Sequential:
    """Build the blocks of a stage; the first one changes channels and stride."""
    first = BasicBlock(conv, dim_in, dim_out, stride=stride, norm=norm)
    rest = [BasicBlock(conv, dim_out, dim_out, stride=1, norm=norm) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


class VideoResNet(nn.Module):
    """A video ResNet of basic blocks, without pooling and classifier.

    Args:
        convs: Kind of convolution of each of the four stages.
        depths: Blocks of each stage.
        stem: ``(dim_in, width, norm) -> nn.Sequential``.
        width: Channels of the first stage; doubled by each further stage. 64 as published.
        dim_in: Channels of the input.
        norm: Channels -> batch norm.
        act_checkpoint: Recompute each block in the backward pass instead of keeping activations.
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        depths: Sequence[int] = (2, 2, 2, 2),
        *,
        stem: Callable[[int, int, Norm], nn.Sequential],
        width: int = 64,
        dim_in: int = 3,
        norm: Norm = nn.BatchNorm3d,
        act_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.act_checkpoint = act_checkpoint
        self.stem = stem(dim_in, width, norm)
        dims = [width, *(width * 2**i for i in range(4))]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(convs[i], dims[i], dims[i + 1], depth=depths[i], stride=min(i, 1) + 1, norm=norm)
            for i in range(4)
        )
        self.out_channels = [dims[-1]]
        self.apply(_initialize)

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T', H', W') with H' = ceil(H / 16), W' likewise, and T' = ceil(T / 8), or
            T for MC3.
        """
        x = self.stem(video)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                recompute = self.act_checkpoint and self.training
                x = activation_checkpoint(block, x) if recompute else block(x)
        return BackboneOutput([x])


def _initialize(module: nn.Module) -> None:
    """Initialize as published; batch norm already has weight 1 and bias 0."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _from_config(
    cfg: CfgNode,
    convs: Sequence[Conv],
    stem: Callable[[int, int, Norm], nn.Sequential],
    depths: Sequence[int] = (2, 2, 2, 2),
) -> VideoResNet:
    return VideoResNet(
        convs,
        depths,
        stem=stem,
        width=cfg.RESNET.WIDTH_PER_GROUP,
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
        norm=get_norm(cfg, dims=3),
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )


@BACKBONE_REGISTRY.register()
def r2plus1d_18(cfg: CfgNode) -> VideoResNet:
    """Build R(2+1)D-18: factorized convolutions. Read: RESNET.WIDTH_PER_GROUP."""
    return _from_config(cfg, [Conv2Plus1D] * 4, _stem_2plus1d)


@BACKBONE_REGISTRY.register()
def r2plus1d_34(cfg: CfgNode) -> VideoResNet:
    """Build R(2+1)D-34, with 3, 4, 6 and 3 blocks."""
    return _from_config(cfg, [Conv2Plus1D] * 4, _stem_2plus1d, (3, 4, 6, 3))


@BACKBONE_REGISTRY.register()
def r3d_18(cfg: CfgNode) -> VideoResNet:
    """Build R3D-18: all convolutions over space and time."""
    return _from_config(cfg, [Conv3d] * 4, _stem_3d)


@BACKBONE_REGISTRY.register()
def mc3_18(cfg: CfgNode) -> VideoResNet:
    """Build MC3-18: 3D convolutions in stem and first stage, 2D ones after; keeps T."""
    return _from_config(cfg, [Conv3d, Conv2d, Conv2d, Conv2d], _stem_3d)


@CHECKPOINT_FORMAT_REGISTRY.register()
def torchvision_video_resnet(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert torchvision's keys to those of a classifier.

    ``fc.`` becomes ``head.projection.``, every other key gets the prefix ``backbone.``.

    Returns:
        The converted state dict, or None if the keys are not torchvision's.
    """
    modules = {"stem", "layer1", "layer2", "layer3", "layer4"}
    found = {key.split(".", 1)[0] for key in state_dict}
    if not modules <= found:
        return None
    return {
        f"head.projection.{key[3:]}" if key.startswith("fc.") else f"backbone.{key}": value
        for key, value in state_dict.items()
    }
