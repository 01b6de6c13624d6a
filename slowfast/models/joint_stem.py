"""R(2+1)D with a joint stem, and a plain 2-D network for audio (Morgado et al., CVPR 2021).

Unlike in the R(2+1)D of Tran et al. (CVPR 2018), the stem is one convolution over space and time
followed by max pooling, and the factorized convolutions of a block have as many channels as the
block.

Legend: B batch, C channels, T frames, T' H' W' feature map, F mel bins, S time frames of the
spectrogram.
"""

from __future__ import annotations

from collections.abc import Callable

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.contracts import BackboneOutput, Tokens
from slowfast.models.time_conv import TimeConv3d

__all__ = ["JointStemR2plus1d", "PlainConv2d", "conv2d_10", "r2plus1d_18_joint_stem"]

Norm = Callable[[int], nn.Module]


class _Block3d(nn.Module):
    """Residual block: convolutions over space, time, space, time, and a shortcut."""

    def __init__(self, dim_in: int, dim_out: int, *, stride: int, norm: Norm) -> None:
        super().__init__()

        def space(dim: int, step: int) -> nn.Conv3d:
            return nn.Conv3d(
                dim, dim_out, (1, 3, 3), stride=(1, step, step), padding=(0, 1, 1), bias=False
            )

        def time(step: int) -> TimeConv3d:
            return TimeConv3d(
                dim_out, dim_out, (3, 1, 1), stride=(step, 1, 1), padding=(1, 0, 0), bias=False
            )

        self.spt_conv1, self.spt_bn1 = space(dim_in, stride), norm(dim_out)
        self.tmp_conv1, self.tmp_bn1 = time(stride), norm(dim_out)
        self.spt_conv2, self.spt_bn2 = space(dim_out, 1), norm(dim_out)
        self.tmp_conv2, self.out_bn = time(1), norm(dim_out)
        self.res_conv: nn.Module | None = None
        if stride != 1 or dim_in != dim_out:
            self.res_conv = nn.Conv3d(dim_in, dim_out, 1, stride=stride, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, T, H, W)."""
        shortcut = x if self.res_conv is None else self.res_conv(x)
        x = self.relu(self.spt_bn1(self.spt_conv1(x)))
        x = self.relu(self.tmp_bn1(self.tmp_conv1(x)))
        x = self.relu(self.spt_bn2(self.spt_conv2(x)))
        return self.relu(self.out_bn(self.tmp_conv2(x) + shortcut))


class _Block2d(nn.Module):
    """Two convolutions, without a shortcut."""

    def __init__(self, dim_in: int, dim_out: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(dim_out)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1, bias=False)
        self.bn2 = norm(dim_out)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, F, S)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


class _GlobalMaxPool(nn.Module):
    """Maximum of each channel over the full feature map."""

    reads_space = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim_out = dim

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool Tokens of N rows to float (N, C)."""
        padding = ~tokens.mask[..., None]
        return tokens.values.masked_fill(padding, float("-inf")).amax(dim=1)


class JointStemR2plus1d(nn.Module):
    """R(2+1)D whose stem is one convolution over space and time, followed by max pooling.

    Args:
        width: Channels of the first stage; doubled by each of the others. 64 as published.
        norm: Channels -> batch norm.
    """

    def __init__(self, *, width: int = 64, norm: Norm = nn.BatchNorm3d) -> None:
        super().__init__()
        stem = nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.conv1 = nn.Sequential(stem, norm(width), nn.ReLU(inplace=True), pool)
        dims = [width, *(width * 2**i for i in range(4))]
        self.conv2x, self.conv3x, self.conv4x, self.conv5x = (
            nn.Sequential(
                _Block3d(dims[i], dims[i + 1], stride=min(i, 1) + 1, norm=norm),
                _Block3d(dims[i + 1], dims[i + 1], stride=1, norm=norm),
            )
            for i in range(4)
        )
        self.out_channels = [dims[-1]]

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T', H', W') with T' = ceil(T / 8), H' = ceil(H / 32), W' likewise.
        """
        x = self.conv1(video)
        for stage in (self.conv2x, self.conv3x, self.conv4x, self.conv5x):
            x = stage(x)
        return BackboneOutput([x])

    def native_pooling(self) -> nn.Module:
        """Build the published pooling: the maximum over the feature map."""
        return _GlobalMaxPool(self.out_channels[0])


class PlainConv2d(nn.Module):
    """A plain 2-D convolutional network for spectrograms: a stem and four blocks.

    Args:
        width: Channels of the first stage. 64 as published.
        norm: Channels -> batch norm.
    """

    def __init__(self, *, width: int = 64, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        stem = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.conv1 = nn.Sequential(stem, norm(width), nn.ReLU(inplace=True))
        self.block1 = _Block2d(width, width, stride=2, norm=norm)
        self.block2 = _Block2d(width, 2 * width, stride=2, norm=norm)
        self.block3 = _Block2d(2 * width, 4 * width, stride=2, norm=norm)
        self.block4 = _Block2d(4 * width, 8 * width, stride=1, norm=norm)
        self.out_channels = [8 * width]

    def forward(self, spectrogram: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            spectrogram: float (B, 1, F, S).

        Returns:
            One map (B, C, ceil(F / 16), ceil(S / 16)).
        """
        x = self.conv1(spectrogram)
        for block in (self.block1, self.block2, self.block3, self.block4):
            x = block(x)
        return BackboneOutput([x])


@BACKBONE_REGISTRY.register()
def r2plus1d_18_joint_stem(cfg: CfgNode) -> JointStemR2plus1d:
    """Build the video backbone. Read: RESNET.WIDTH_PER_GROUP."""
    return JointStemR2plus1d(width=cfg.RESNET.WIDTH_PER_GROUP, norm=get_norm(cfg, dims=3))


@BACKBONE_REGISTRY.register()
def conv2d_10(cfg: CfgNode) -> PlainConv2d:
    """Build the audio backbone. Read: AUDIO.WIDTH."""
    return PlainConv2d(width=cfg.AUDIO.WIDTH, norm=get_norm(cfg, dims=2))
