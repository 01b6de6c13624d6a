"""The steps that are compared: one model, whose crops come from feature maps or from clips.

Legend: B batch, V views, N = B * V rows, K crops of a view, T frames, S side of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from stica.config import CROP_KINDS
from stica.crops import crop_names
from torch import Tensor, nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import CfgNode, load_config
from slowfast.engine.precision import Precision
from slowfast.models.build import FEATURE_AUG_REGISTRY, LOSS_REGISTRY, build_model
from slowfast.models.contracts import CropGroup, temporal_tokens

__all__ = ["BACKBONES", "COUNTS", "NO_CROPS", "Backbone", "Setting", "Step", "Way", "list_ways"]


class Backbone(NamedTuple):
    """A backbone, and the clip that two CPU cores can train it on often enough.

    Attributes:
        title: As in tables.
        config: A shipped pre-training YAML.
        frames: T. The feature map keeps at least two steps, or nothing could be cropped in time.
        side: S, in pixels.
    """

    title: str
    config: str
    frames: int
    side: int


BACKBONES = {
    "R2plus1D": Backbone("R(2+1)D-18", "StiCA/R2plus1D_pretrain.yaml", 9, 64),
    "SLOW_R50": Backbone("Slow R50", "StiCA/SLOW_R50_pretrain.yaml", 3, 112),
    "X3D_M": Backbone("X3D-M", "StiCA/X3D_M_pretrain.yaml", 8, 112),
}

# Crops of a view -> large and small ones in space, large and small ones in time. From 8 on about
# in the proportion of the released launch script, 2 + 4 + 2 + 1.
COUNTS = {1: (1, 0, 0, 0), 2: (1, 0, 1, 0), 4: (1, 1, 1, 1), 8: (2, 3, 2, 1), 16: (4, 6, 4, 2)}
SMALL_SCALE = 4 / 7  # side of a small crop over that of the clip: 64 of 112 pixels
MAX_FULL_SIZE = 4  # crops as large as the clip; more of them take memory and time, and no news


class Setting(NamedTuple):
    """What a step is built from; it can be sent to another process.

    Attributes:
        config: A YAML that trains StiCA.
        frames: T.
        side: S, in pixels.
        batch: B.
        device: "cpu" or "cuda".
        threads: Of torch.
        overrides: ``KEY VALUE ...`` of the command line.
    """

    config: str
    frames: int
    side: int
    batch: int
    device: str
    threads: int
    overrides: tuple[str, ...] = ()


class Way(NamedTuple):
    """Where the crops of a step come from.

    Attributes:
        source: "none", "feature" or "input".
        crops: K.
        side: Of an input crop, in pixels.
    """

    source: str
    crops: int = 0
    side: int = 0

    def extra_passes(self, side: int) -> float:
        """Count the backbone passes that come on top, in clips of a side: by area."""
        return self.crops * (self.side / side) ** 2


NO_CROPS = Way("none")


def list_ways(counts: Sequence[int], side: int) -> list[Way]:
    """List the ways to make crops, fewest crops first.

    Args:
        counts: Values of K, without 0.
        side: S, in pixels.

    Returns:
        Feature crops, small input crops, and up to 4 input crops as large as the clip.
    """
    small = round(SMALL_SCALE * side)
    ways = []
    for number in counts:
        ways += [Way("feature", number), Way("input", number, small)]
        if number <= MAX_FULL_SIZE:
            ways.append(Way("input", number, side))
    return ways


class InputCrops(nn.Module):
    """Stands where the feature crops stand, but takes maps of clips of their own.

    Pooling, head and loss are then the same code for both, on as many rows.

    Args:
        backbone: The model's own.
        names: K slot names.
        clips: float (K * N, 3, T, s, s), row ``k * N + n``; cut from the input before the step.
    """

    def __init__(self, backbone: nn.Module, names: tuple[str, ...], clips: Tensor) -> None:
        super().__init__()
        self.backbone, self.names, self.clips = backbone, names, clips

    def forward(self, maps: Sequence[Tensor], aug_seed: Tensor) -> list[CropGroup]:
        """Pass the clips through the backbone, all in one call."""
        rows = torch.arange(maps[0].shape[0], device=maps[0].device)
        tokens = [temporal_tokens(m) for m in self.backbone(self.clips).maps]
        return [CropGroup(self.names, tokens, rows.repeat(len(self.names)))]


class Step:
    """One training step of a model whose crops can be exchanged: forward, loss, backward.

    Args:
        setting: What to build.
    """

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        torch.manual_seed(0)
        self.setting, self.device = setting, torch.device(setting.device)
        self.cfg = _load(setting)
        self.precision = Precision.from_cfg(self.cfg, self.device)
        self.model: Any = build_model(self.cfg).to(self.device).train()
        self.own_crops = self.model.feature_aug
        self.criterion = LOSS_REGISTRY.get(self.cfg.MODEL.LOSS_FUNC)(self.cfg)
        self.batch = _make_batch(self.cfg, setting.batch, self.device)

    def use(self, way: Way) -> None:
        """Choose where crops come from."""
        self.model.zero_grad(set_to_none=True)
        self.model.feature_aug = None
        if way.source != "none":
            kinds = dict(zip(CROP_KINDS.values(), COUNTS[way.crops], strict=True))
            numbers = [(f"FEATURE_CROP.{key}.NUM", str(num)) for key, num in kinds.items()]
            cfg = _load(self.setting, [word for pair in numbers for word in pair])
            self.model.feature_aug = FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
        if way.source == "input":
            names = crop_names(dict(zip(CROP_KINDS, COUNTS[way.crops], strict=True)))
            clips = _cut_clips(self.batch["video"].flatten(0, 1), way.crops, way.side)
            self.model.feature_aug = InputCrops(self.model.backbone, names, clips)

    def __call__(self) -> None:
        """Run forward and backward, with the gradients unset before, as in the training loop."""
        self.model.zero_grad(set_to_none=True)
        with self.precision.autocast():
            losses = self.criterion(self.model(self.batch), self.batch)
        losses["loss"].backward()


def _load(setting: Setting, words: Sequence[str] = ()) -> CfgNode:
    """Load the YAML for synthetic clips of this size; the command line has the last word."""
    own = ["DATA.DEMO_CFG", "", "DATA.NUM_FRAMES", str(setting.frames)]
    own += ["DATA.TRAIN_CROP_SIZE", str(setting.side)]
    return load_config(setting.config, [*own, *words, *setting.overrides]).cfg


def _make_batch(cfg: CfgNode, size: int, device: torch.device) -> dict[str, Tensor]:
    """Make a batch as the model reads it."""
    views, side = cfg.DATA.TRAIN_CROP_NUM_SPATIAL, cfg.DATA.TRAIN_CROP_SIZE
    steps = round(cfg.AUDIO.CLIP_SEC / cfg.AUDIO.HOP_SEC)
    batch = {
        "video": torch.randn(size, views, 3, cfg.DATA.NUM_FRAMES, side, side),
        "audio": torch.randn(size, 1, 1, cfg.AUDIO.NUM_MEL, steps),
        "aug_seed": torch.arange(size),
    }
    return {name: value.to(device) for name, value in batch.items()}


def _cut_clips(video: Tensor, number: int, side: int) -> Tensor:
    """Cut K squares out of every row (N, 3, T, S, S): (K * N, 3, T, side, side)."""
    corners = torch.randint(video.shape[-1] - side + 1, (number, 2)).tolist()
    return torch.cat([video[..., y : y + side, x : x + side] for y, x in corners])
