"""Multiscale vision transformers: MViT (Fan et al., ICCV 2021), MViTv2 (Li et al., CVPR 2022), ViT.

Parameter names are PySlowFast's, without its ``head``; see ``formats.py`` for the mapping of
full checkpoints.

Legend: B batch, N tokens, C channels, P class tokens (0 or 1), T H W clip, T' H' W' grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast.models.contracts import BackboneOutput
from slowfast.models.interpolate import resize_axis
from slowfast.models.mvit.attention import LayerNorm
from slowfast.models.mvit.block import MultiscaleBlock
from slowfast.models.mvit.position_embedding import adapt_positions, grid_positions, position_tables
from slowfast.models.mvit.stage_config import BlockOptions, Grid, Schedule

__all__ = [
    "InputOptions",
    "MViT",
    "PatchEmbed",
    "Patches",
    "initialize_transformer",
    "transformer_layer_id",
]

_INIT_STD = 0.02


class Patches(NamedTuple):
    """Patches of a clip: kernel, stride and padding of a convolution over (T, H, W) or (H, W)."""

    kernel: tuple[int, ...] = (3, 7, 7)
    stride: tuple[int, ...] = (2, 4, 4)
    padding: tuple[int, ...] = (1, 3, 3)

    def grid(self, size: Grid) -> Grid:
        """Return the grid of a clip of T, H, W; a 2D convolution keeps T."""
        shape = zip(size[-len(self.kernel) :], self.kernel, self.stride, self.padding, strict=True)
        sides = [(side + 2 * p - k) // s + 1 for side, k, s, p in shape]
        time, height, width = (*size[: 3 - len(sides)], *sides)
        return time, height, width


class PatchEmbed(nn.Module):
    """Split a clip into patches and project each.

    Args:
        dim_in: Channels of the clip.
        dim_out: C.
        patches: Kernel, stride and padding; over (H, W) for patches of single frames.
    """

    def __init__(self, dim_in: int, dim_out: int, patches: Patches) -> None:
        super().__init__()
        self.patches = patches
        self.over_frames = len(patches.kernel) == 2
        conv: Callable[..., nn.Module] = nn.Conv2d if self.over_frames else nn.Conv3d
        self.proj = conv(dim_in, dim_out, patches.kernel, patches.stride, patches.padding)

    def forward(self, video: Tensor) -> Tensor:
        """Embed the patches: float (B, 3, T, H, W) -> float (B, C, T', H', W').

        Raises:
            ValueError: If the clip is smaller than a patch.
        """
        time, height, width = video.shape[2:]
        if min(self.patches.grid((time, height, width))) < 1:
            raise ValueError(
                f"got a clip of {time} x {height} x {width}, smaller than one patch: "
                f"MVIT.PATCH_KERNEL is {self.patches.kernel}. Raise DATA.NUM_FRAMES or crop sizes."
            )
        if not self.over_frames:
            return self.proj(video)
        frames = self.proj(video.transpose(1, 2).flatten(0, 1))  # (B * T, C, H', W')
        return frames.unflatten(0, (-1, time)).transpose(1, 2)


@dataclass(frozen=True)
class InputOptions:
    """Options of the patch and position embedding.

    Attributes:
        size: T, H, W of the position embedding; inputs may have other sizes.
        dim_in: Channels of the clip.
        patches: Patches of the clip.
        positions: One of ``position_embedding.POSITIONS``.
        norm: Normalize the tokens before the first block.
    """

    size: Grid = (16, 224, 224)
    dim_in: int = 3
    patches: Patches = field(default_factory=Patches)
    positions: str = "none"
    norm: bool = False


class MViT(nn.Module):
    """A vision transformer that trades resolution for channels from block to block.

    Args:
        inputs: Options of the patch and position embedding.
        schedule: Widths, heads and pooling of the blocks.
        options: Options of all blocks; read here: class_token, dropout.
        drop_path: Probability of dropping a residual branch of the last block; it grows linearly
            from 0 in the first.
        mean_pooling: The summary is the normalized mean of the grid's tokens instead of the class
            token.
        decay_positions: Apply weight decay to class token and position embedding, too.
        act_checkpoint: Recompute each block in the backward pass instead of keeping activations.
    """

    def __init__(
        self,
        inputs: InputOptions,
        schedule: Schedule,
        options: BlockOptions,
        *,
        drop_path: float = 0.0,
        mean_pooling: bool = False,
        decay_positions: bool = True,
        act_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.mean_pooling = mean_pooling
        self.decay_positions = decay_positions
        self.act_checkpoint = act_checkpoint
        self.grid = inputs.patches.grid(inputs.size)
        self.prefix = int(options.class_token)
        dim = schedule.embed_dim
        self.patch_embed = PatchEmbed(inputs.dim_in, dim, inputs.patches)
        self.cls_token: nn.Parameter | None = None
        if options.class_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
            nn.init.trunc_normal_(self.cls_token, std=_INIT_STD)
        tables = position_tables(inputs.positions, self.grid, dim, prefix=self.prefix)
        self.table_names = tuple(tables)
        for name, table in tables.items():
            self.register_parameter(name, table)
        self.pos_drop = nn.Dropout(options.dropout)
        self.norm_stem = LayerNorm(dim) if inputs.norm else None
        shapes = schedule.blocks(self.grid)
        probabilities = torch.linspace(0, drop_path, len(shapes), device="cpu").tolist()
        self.blocks = nn.ModuleList(
            MultiscaleBlock(shape, options, drop_path=p)
            for shape, p in zip(shapes, probabilities, strict=True)
        )
        self.norm = LayerNorm(shapes[-1].dim_out)
        self.out_channels = [shapes[-1].dim_out]
        self.num_layers = len(shapes)
        self.apply(initialize_transformer)

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the grid of tokens.

        Args:
            video: float, normalized, (B, 3, T, H, W), at least one patch.

        Returns:
            One map (B, C, T', H', W') of normalized tokens. ``summary`` (B, C) is the normalized
            class token, or with ``mean_pooling`` the normalized mean; else None, for the mean of
            the map.
        """
        patches = self.patch_embed(video)
        time, height, width = patches.shape[2:]
        grid: Grid = (time, height, width)
        x = patches.flatten(2).transpose(1, 2)  # (B, T' * H' * W', C)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        tables = {name: self.get_parameter(name) for name in self.table_names}
        positions = grid_positions(tables, self.grid, grid, prefix=self.prefix)
        if positions is not None:
            x = x + positions
        x = self.pos_drop(x)
        if self.norm_stem is not None:
            x = self.norm_stem(x)
        for block in self.blocks:
            if self.act_checkpoint and self.training:
                x, grid = checkpoint(block, x, grid, use_reentrant=False)
            else:
                x, grid = block(x, grid)
        normed = self.norm(x)
        patches = normed[:, self.prefix :].transpose(1, 2).unflatten(2, grid)
        return BackboneOutput([patches], self._summary(x, normed))

    def _summary(self, x: Tensor, normed: Tensor) -> Tensor | None:
        """Summarize tokens (B, P + N, C), given before and after the last norm, to (B, C)."""
        if self.mean_pooling:
            return self.norm(x[:, self.prefix :].mean(dim=1))
        return normed[:, 0] if self.prefix else None

    def no_weight_decay(self) -> set[str]:
        """Return the names of class token and position embedding, unless they have weight decay."""
        if self.decay_positions:
            return set()
        starts = ("cls_token", "pos_embed", "rel_pos_")
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.rpartition(".")[2].startswith(starts)}

    def layer_id(self, name: str) -> int:
        """Return the layer index of a parameter; see ``transformer_layer_id``."""
        return transformer_layer_id(name, self.num_layers)

    def adapt_tensor(self, name: str, value: Tensor, like: Tensor) -> Tensor | None:
        """Resize position embeddings of a model for another clip size.

        Returns:
            float of the shape of ``like``, or None if the parameter does not depend on the size.
        """
        last = name.rpartition(".")[2]
        if last.startswith("rel_pos_") and value.dim() == 2 and value.shape[1] == like.shape[1]:
            return resize_axis(value, like.shape[0])
        return adapt_positions(last, value, like, self.grid, self.prefix)


def transformer_layer_id(name: str, num_layers: int) -> int:
    """Return the layer index of a transformer's parameter, for SOLVER.LAYER_DECAY.

    Returns:
        0 for patches and positions, i + 1 for block i. The last norm has the index of the head,
        ``num_layers`` + 1, as published.
    """
    part, _, rest = name.partition(".")
    if part == "blocks":
        return int(rest.partition(".")[0]) + 1
    return num_layers + 1 if part == "norm" else 0


def initialize_transformer(module: nn.Module) -> None:
    """Initialize one layer as PySlowFast does; class token and positions are initialized elsewhere.

    Args:
        module: Modified in place if it is a linear layer, convolution or layer norm.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
    if isinstance(module, (nn.Linear, nn.LayerNorm)) and module.bias is not None:
        nn.init.constant_(module.bias, _INIT_STD)
