"""The video ResNet with one or more pathways of C2D, I3D, Slow, SlowFast, CSN and R(2+1)D-50.

Parameters are named as in PySlowFast's checkpoints; see ``formats`` for the mapping of full
checkpoints, and ``archs``, ``slowfast_net`` and ``csn`` for the architectures.

Legend: B batch, C channels, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.activation_checkpoint import activation_checkpoint
from slowfast.models.contracts import BackboneOutput
from slowfast.models.resnet.block import (
    BlockSpec,
    BottleneckTransform,
    Norm,
    ResBlock,
    Transform,
    initialize,
    max_pool_inside,
)
from slowfast.models.resnet.nonlocal_block import NonLocal, NonLocalSpec

__all__ = ["Options", "Pathway", "ResNet", "StageSpec"]


class StageSpec(NamedTuple):
    """One stage of one pathway.

    Attributes:
        temporal_kernels: Temporal kernel of each block.
        stride: Stride of the first block, in height and width.
        temporal_stride: Stride of the first block, in time.
        dilation: Dilation in height and width.
        nonlocal_spec: The non-local blocks.
    """

    temporal_kernels: tuple[int, ...]
    stride: int = 2
    temporal_stride: int = 1
    dilation: int = 1
    nonlocal_spec: NonLocalSpec = NonLocalSpec()


class Pathway(NamedTuple):
    """One pathway through the network.

    Attributes:
        stages: Its four stages.
        width: Channels of the stem; the stages have 4, 8, 16 and 32 times as many.
        stem_frames: Temporal kernel of the stem.
        stem_pool: Halve height and width after the stem.
        pool_frames: Temporal pooling after the first stage.
        groups: Groups of the 3x3 convolutions. ``width`` is that of one group.
        dim_in: Channels of the input.
    """

    stages: tuple[StageSpec, ...]
    width: int = 64
    stem_frames: int = 1
    stem_pool: bool = True
    pool_frames: int = 1
    groups: int = 1
    dim_in: int = 3


class Options(NamedTuple):
    """Options of all blocks.

    Attributes:
        transform: Kind of transform.
        norm: Channels -> batch norm.
        drop_path: Probability of dropping a block's transform, per sample.
        stride_first: Stride in the first convolution of a bottleneck.
        zero_init_norm: Zero-initialize the last batch norm of every residual branch.
        zero_init_conv: Zero-initialize the last convolution of every residual branch.
        act_checkpoint: Recompute each block in the backward pass instead of keeping activations.
    """

    transform: Transform = BottleneckTransform
    norm: Norm = nn.BatchNorm3d
    drop_path: float = 0.0
    stride_first: bool = False
    zero_init_norm: bool = False
    zero_init_conv: bool = False
    act_checkpoint: bool = False


class _StemPathway(nn.Module):
    """A Tx7x7 convolution, strided in space, batch norm, ReLU and optional max pooling."""

    def __init__(self, pathway: Pathway, norm: Norm) -> None:
        super().__init__()
        frames = pathway.stem_frames
        self.conv = nn.Conv3d(
            pathway.dim_in,
            pathway.width,
            (frames, 7, 7),
            stride=(1, 2, 2),
            padding=(frames // 2, 3, 3),
            bias=False,
        )
        self.bn = norm(pathway.width)
        self.pool = pathway.stem_pool

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)) if self.pool else x


class _Stem(nn.Module):
    """The stem of every pathway."""

    def __init__(self, pathways: Sequence[Pathway], norm: Norm) -> None:
        super().__init__()
        for p, pathway in enumerate(pathways):
            self.add_module(f"pathway{p}_stem", _StemPathway(pathway, norm))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [stem(x) for stem, x in zip(self.children(), maps, strict=True)]


class _Stage(nn.Module):
    """One stage of every pathway.

    Args:
        pathways: Shapes of each pathway's blocks.
        specs: The stage of each pathway.
        options: Options of all blocks.
    """

    def __init__(
        self,
        pathways: Sequence[Sequence[BlockSpec]],
        specs: Sequence[StageSpec],
        options: Options,
    ) -> None:
        super().__init__()
        self.act_checkpoint = options.act_checkpoint
        self.names: list[list[str]] = []
        for p, (blocks, spec) in enumerate(zip(pathways, specs, strict=True)):
            layers: dict[str, nn.Module] = {}
            for i, block in enumerate(blocks):
                layers[f"pathway{p}_res{i}"] = ResBlock(
                    block,
                    transform=options.transform,
                    norm=options.norm,
                    drop_path=options.drop_path,
                )
                if i in spec.nonlocal_spec.after:
                    layers[f"pathway{p}_nonlocal{i}"] = NonLocal(
                        block.dim_out, spec.nonlocal_spec, norm=options.norm
                    )
            for name, layer in layers.items():
                self.add_module(name, layer)
            self.names.append(list(layers))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        out = []
        for names, x in zip(self.names, maps, strict=True):
            for name in names:
                layer = getattr(self, name)
                recompute = self.act_checkpoint and self.training
                x = activation_checkpoint(layer, x) if recompute else layer(x)
            out.append(x)
        return out


class _PoolFrames(nn.Module):
    """Temporal max pooling of each pathway."""

    def __init__(self, frames: Sequence[int]) -> None:
        super().__init__()
        self.frames = list(frames)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [max_pool_inside(x, (n, 1, 1)) for x, n in zip(maps, self.frames, strict=True)]


class ResNet(nn.Module):
    """A video ResNet without pooling and classifier: one stem and four stages, pathway by pathway.

    Args:
        pathways: Pathways; one for C2D, I3D, Slow, CSN and R(2+1)D-50.
        options: Options of all blocks.
        split: ``video -> [input of each pathway]``; None for one pathway.
        fuse: ``channels of each pathway -> module`` after the stem and each stage except the last,
            which maps a list of feature maps to another one with channels ``dims_out``. None for
            no fusion.
    """

    def __init__(
        self,
        pathways: Sequence[Pathway],
        options: Options = Options(),  # noqa: B008 - a tuple of constants
        *,
        split: Callable[[Tensor], list[Tensor]] | None = None,
        fuse: Callable[[list[int]], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.split = split
        self.s1 = _Stem(pathways, options.norm)
        dims = [pathway.width for pathway in pathways]
        for number in range(2, 6):
            if fuse is not None:
                fusion = fuse(dims)
                self.add_module(f"s{number - 1}_fuse", fusion)
                dims = list(fusion.dims_out)  # type: ignore[arg-type]
            specs = [pathway.stages[number - 2] for pathway in pathways]
            blocks = [
                _block_specs(dim, pathway, number - 2, stride_first=options.stride_first)
                for dim, pathway in zip(dims, pathways, strict=True)
            ]
            self.add_module(f"s{number}", _Stage(blocks, specs, options))
            if number == 2:
                self.s2_pool = _PoolFrames([pathway.pool_frames for pathway in pathways])
            dims = [block[-1].dim_out for block in blocks]
        self.out_channels = dims
        initialize(
            self, zero_final_norm=options.zero_init_norm, zero_final_conv=options.zero_init_conv
        )

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the last feature map of every pathway.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T', H', W') per pathway; with the published strides H' = ceil(H / 32), W'
            likewise.
        """
        return self.encode_pathways([video] if self.split is None else self.split(video))

    def encode_pathways(self, inputs: list[Tensor]) -> BackboneOutput:
        """Compute the last feature map of every pathway from the pathways' own frames.

        Args:
            inputs: float, normalized, (B, 3, T, H, W), one for each pathway.

        Returns:
            As ``forward``.
        """
        maps = inputs
        for layer in self.children():  # s1, s1_fuse, s2, ... in order of creation
            maps = layer(maps)
        return BackboneOutput(maps)

    @staticmethod
    def window_side(crop_size: int) -> int:
        """Return the side of the windows that PySlowFast's head pools, in positions of the map.

        Args:
            crop_size: DATA.TRAIN_CROP_SIZE.

        Returns:
            A 32nd of it, rounded down, at least 1.
        """
        return max(1, crop_size // 32)


def _block_specs(
    dim_in: int, pathway: Pathway, index: int, *, stride_first: bool
) -> list[BlockSpec]:
    """Return the shapes of a stage's blocks; the first one changes channels and stride."""
    stage = pathway.stages[index]
    dim_inner = pathway.groups * pathway.width * 2**index
    dim_out = 4 * pathway.width * 2**index
    shapes = []
    for i, frames in enumerate(stage.temporal_kernels):
        shapes.append(
            BlockSpec(
                dim_in if i == 0 else dim_out,
                dim_inner,
                dim_out,
                temporal_kernel=frames,
                stride=stage.stride if i == 0 else 1,
                temporal_stride=stage.temporal_stride if i == 0 else 1,
                dilation=stage.dilation,
                groups=pathway.groups,
                stride_first=stride_first,
            )
        )
    return shapes
