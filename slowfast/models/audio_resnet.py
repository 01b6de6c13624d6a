"""Audio ResNets of basic blocks over a log-mel spectrogram.

Parameter names are those of torchvision's image ResNet, without ``fc``.

Legend: B batch, C channels, F mel bins, S time frames, F' S' feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.contracts import BackboneOutput

__all__ = ["AudioResNet", "audio_resnet9", "audio_resnet18", "audio_resnet34"]

Norm = Callable[[int], nn.Module]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016).

    Args:
        dim_in: Input channels.
        dim_out: Output channels.
        stride: Stride of the first convolution and the shortcut.
        norm: Channels -> batch norm.
    """

    def __init__(self, dim_in: int, dim_out: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(dim_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1, bias=False)
        self.bn2 = norm(dim_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or dim_in != dim_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(dim_in, dim_out, 1, stride=stride, bias=False), norm(dim_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, F, S)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + shortcut)


def _stage(dim_in: int, dim_out: int, *, depth: int, stride: int, norm: Norm) -> nn.Sequential:
    """Build the blocks of a stage; the first one changes channels and stride."""
    first = BasicBlock(dim_in, dim_out, stride=stride, norm=norm)
    rest = [BasicBlock(dim_out, dim_out, stride=1, norm=norm) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


class AudioResNet(nn.Module):
    """A ResNet over one-channel spectrograms, without pooling and classifier.

    Args:
        depths: Blocks of each of the four stages.
        width: Channels of the first stage; doubled by each further stage.
        norm: Channels -> batch norm.
    """

    def __init__(
        self, depths: Sequence[int], *, width: int = 64, norm: Norm = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        dims = [width, *(width * 2**i for i in range(4))]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(dims[i], dims[i + 1], depth=depths[i], stride=min(i, 1) + 1, norm=norm)
            for i in range(4)
        )
        self.out_channels = [dims[-1]]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, audio: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            audio: float log-mel, (B, 1, F, S).

        Returns:
            One map (B, C, F', S') with F' = ceil(F / 32), S' likewise.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(audio))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return BackboneOutput([x])


@BACKBONE_REGISTRY.register()
def audio_resnet9(cfg: CfgNode) -> AudioResNet:
    """Build the audio ResNet with one block per stage. Read: AUDIO.WIDTH, BN.NORM_TYPE."""
    return AudioResNet((1, 1, 1, 1), width=cfg.AUDIO.WIDTH, norm=get_norm(cfg, dims=2))


@BACKBONE_REGISTRY.register()
def audio_resnet18(cfg: CfgNode) -> AudioResNet:
    """Build the audio ResNet with two blocks per stage. Read: AUDIO.WIDTH, BN.NORM_TYPE."""
    return AudioResNet((2, 2, 2, 2), width=cfg.AUDIO.WIDTH, norm=get_norm(cfg, dims=2))


@BACKBONE_REGISTRY.register()
def audio_resnet34(cfg: CfgNode) -> AudioResNet:
    """Build the audio ResNet with 3, 4, 6 and 3 blocks. Read: AUDIO.WIDTH, BN.NORM_TYPE."""
    return AudioResNet((3, 4, 6, 3), width=cfg.AUDIO.WIDTH, norm=get_norm(cfg, dims=2))
