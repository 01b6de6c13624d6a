"""A plain vision transformer over a log-mel spectrogram (Dosovitskiy et al., ICLR 2021).

As in the Audio Spectrogram Transformer (Gong et al., Interspeech 2021), but without class token:
its tokens form a feature map, to be pooled and cropped.

Legend: B batch, C channels, F mel bins, S time frames, F' S' grid of patches.
"""

from __future__ import annotations

import math

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import Problem, register_check
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.contracts import BackboneOutput
from slowfast.models.interpolate import resize_positions
from slowfast.models.mvit.attention import LayerNorm
from slowfast.models.mvit.block import MultiscaleBlock
from slowfast.models.mvit.network import initialize_transformer, transformer_layer_id
from slowfast.models.mvit.position_embedding import position_tables
from slowfast.models.mvit.stage_config import BlockOptions, Schedule
from slowfast.utils.registry import nearest

__all__ = ["AudioViT", "audio_vit", "check_audio_vit"]

Pair = tuple[int, int]

# AUDIO_VIT.POSITIONS -> kind of position embedding.
_POSITIONS = {"learned": "joint", "sincos": "sincos"}


class AudioViT(nn.Module):
    """A vision transformer over one-channel spectrograms, without pooling and classifier.

    Args:
        size: F, S of the position embedding; inputs may have other sizes.
        patch: Mel bins and time frames of a patch.
        stride: Stride of the patches, in mel bins and time frames.
        schedule: Depth, channels and heads.
        options: Options of all blocks; no class token.
        positions: ``joint`` (learned, one per patch) or ``sincos`` (fixed).
        drop_path: Probability of dropping a residual branch of the last block; it grows linearly
            from 0 in the first.
    """

    def __init__(
        self,
        size: Pair,
        *,
        patch: Pair = (16, 16),
        stride: Pair = (16, 16),
        schedule: Schedule,
        options: BlockOptions,
        positions: str = "joint",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride
        self.grid = self._grid(size)
        dim = schedule.embed_dim
        self.proj = nn.Conv2d(1, dim, patch, stride)
        self.pos_embed = position_tables(positions, self.grid, dim, prefix=0)["pos_embed"]
        self.pos_drop = nn.Dropout(options.dropout)
        shapes = schedule.blocks((1, *self.grid))
        probabilities = torch.linspace(0, drop_path, len(shapes), device="cpu").tolist()
        self.blocks = nn.ModuleList(
            MultiscaleBlock(shape, options, drop_path=p)
            for shape, p in zip(shapes, probabilities, strict=True)
        )
        self.norm = LayerNorm(dim)
        self.out_channels = [dim]
        self.num_layers = len(shapes)
        self.apply(initialize_transformer)

    def _grid(self, size: Pair) -> Pair:
        """Count the patches that cover a spectrogram of F, S; the last ones may need padding."""
        sides = zip(size, self.patch, self.stride, strict=True)
        bins, steps = (1 + math.ceil(max(side - p, 0) / s) for side, p, s in sides)
        return bins, steps

    def forward(self, audio: Tensor) -> BackboneOutput:
        """Compute the grid of tokens.

        Args:
            audio: float log-mel, (B, 1, F, S). The last patches are padded with zeros.

        Returns:
            One map (B, C, F', S') of normalized tokens.
        """
        bins, steps = audio.shape[2:]
        grid = self._grid((bins, steps))
        missing = [
            p + s * (count - 1) - side
            for side, p, s, count in zip((bins, steps), self.patch, self.stride, grid, strict=True)
        ]
        patches = self.proj(F.pad(audio, (0, max(missing[1], 0), 0, max(missing[0], 0))))
        x = patches.flatten(2).transpose(1, 2)  # (B, F' * S', C)
        x = x + resize_positions(self.pos_embed, old_grid=self.grid, new_grid=grid)
        x = self.pos_drop(x)
        for block in self.blocks:
            x, _ = block(x, (1, *grid))
        return BackboneOutput([self.norm(x).transpose(1, 2).unflatten(2, grid)])

    def no_weight_decay(self) -> set[str]:
        """Return the name of the position embedding."""
        return {"pos_embed"}

    def layer_id(self, name: str) -> int:
        """Return the layer index of a parameter, for SOLVER.LAYER_DECAY, as in MViT."""
        return transformer_layer_id(name, self.num_layers)

    def adapt_tensor(self, name: str, value: Tensor, like: Tensor) -> Tensor | None:
        """Resize position embeddings to another number of time frames.

        Returns:
            float of the shape of ``like``, or None for another parameter or number of mel bins.
        """
        bins = self.grid[0]
        if name != "pos_embed" or value.dim() != 3 or value.shape[1] % bins:
            return None
        old_grid = (bins, value.shape[1] // bins)
        return resize_positions(value, old_grid=old_grid, new_grid=self.grid)


@BACKBONE_REGISTRY.register()
def audio_vit(cfg: CfgNode) -> AudioViT:
    """Build the vision transformer for audio.

    Args:
        cfg: Read: AUDIO_VIT; AUDIO.NUM_MEL, CLIP_SEC, WINDOW_SEC, HOP_SEC.

    Returns:
        The backbone, with position embeddings for the audio of training.
    """
    audio, section = cfg.AUDIO, cfg.AUDIO_VIT
    hops = max(audio.CLIP_SEC - audio.WINDOW_SEC, 0.0) / audio.HOP_SEC
    return AudioViT(
        (audio.NUM_MEL, 1 + math.ceil(round(hops, 6))),
        patch=_pair(section.PATCH_KERNEL),
        stride=_pair(section.PATCH_STRIDE),
        schedule=Schedule(
            depth=section.DEPTH, embed_dim=section.EMBED_DIM, num_heads=section.NUM_HEADS
        ),
        options=BlockOptions(
            class_token=False, mlp_ratio=section.MLP_RATIO, dropout=section.DROPOUT_RATE
        ),
        positions=_POSITIONS[section.POSITIONS],
        drop_path=section.DROPPATH_RATE,
    )


def _pair(sizes: list[int]) -> Pair:
    bins, steps = sizes
    return int(bins), int(steps)


@register_check
def check_audio_vit(cfg: CfgNode) -> list[Problem]:
    """Find invalid values of AUDIO_VIT, if this backbone is used."""
    section = cfg.AUDIO_VIT
    if not cfg.AUDIO.ENABLE or cfg.AUDIO.ARCH != "audio_vit":
        return []
    problems = []
    for name in ("PATCH_KERNEL", "PATCH_STRIDE"):
        if len(section[name]) != 2 or min(section[name]) < 1:
            message = f"got {section[name]}, expected mel bins and time frames, each at least 1."
            problems.append(Problem(f"AUDIO_VIT.{name}", message))
    if section.POSITIONS not in _POSITIONS:
        hint = nearest(section.POSITIONS, _POSITIONS)
        problems.append(Problem("AUDIO_VIT.POSITIONS", f"got {section.POSITIONS!r}. {hint}"))
    for name in ("DEPTH", "NUM_HEADS"):
        if section[name] < 1:
            got = section[name]
            problems.append(Problem(f"AUDIO_VIT.{name}", f"got {got}, expected at least 1."))
    multiple = math.lcm(max(section.NUM_HEADS, 1), 4 if section.POSITIONS == "sincos" else 1)
    if section.EMBED_DIM < 1 or section.EMBED_DIM % multiple:
        message = f"got {section.EMBED_DIM}, expected a multiple of {multiple}."
        problems.append(Problem("AUDIO_VIT.EMBED_DIM", message))
    return problems
