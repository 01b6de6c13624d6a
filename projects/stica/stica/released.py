"""STICA.COMPAT released: exactly the behavior of the published code, including its quirks.

Differences from the rest of this package (PAPER_TO_CODE.md has the reasons):

* Crop positions exclude the last valid one, so large crops of 7 spatial positions or 4 time steps
  never move. Positions are sampled once per view for the global batch. Sizes are 6 and 4 of 7
  spatial positions, 3 and 2 of 4 time steps (6 and 4 of more).
* Tokens are resized to 4 steps (8 if the map does not have 4). There are no positions and no value
  and output projections, and pooling takes the first step.
* Each view passes the backbone separately; the audio passes its encoder once per view.
* Lists of small crops are multiplied by the number of large ones twice, and all are embedded.
* The loss compares fixed pairs in one direction (``released_loss.py``).

With equal weights, inputs and boxes, outputs and losses equal those of the published code
(tests/projects/stica/test_released.py).

Legend: B batch, V = 2 views, C channels, D embedding, T' H' W' feature map, L token steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.checks import register_check
from slowfast.config.problems import ConfigValueError, Problem
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.contracts import CropGroup, Tokens
from slowfast.models.pooling import PathwayPooling, build_pooling, full_group, pool_groups
from slowfast.utils.constants import vector_on
from slowfast.utils.distributed import gather_no_gradient
from slowfast.utils.random import STREAM_CROPS, randint
from stica.config import CROP_KINDS
from stica.heads import ProjectionHead
from stica.model import SpaceTimeCropAttend, STiCAOutputs, uses_audio, uses_crops
from stica.pooling import EncoderLayer, TemporalTransformer

__all__ = [
    "RELEASED_SETTINGS",
    "ReleasedBoxes",
    "ReleasedStiCA",
    "build_released_model",
    "check_released",
    "sample_boxes",
    "windows",
]

COMPAT = "released"
# Crop sizes: spatial positions of a 7 x 7 map, and time steps by the map's number of steps.
MAP_SIDE = 7
SPACE_SIZES = {"space_large": 6, "space_small": 4}
TIME_SIZES_OF_FOUR = {"time_large": 3, "time_small": 2}
TIME_SIZES_OF_MORE = {"time_large": 6, "time_small": 4}

# Keys of other sections that the published run depends on. A check cannot set them, so it requires
# them; configs/StiCA/released.yaml sets them all.
RELEASED_SETTINGS: dict[str, Any] = {
    "AUDIO.PSF_COMPAT": True,
    "AUDIO.NUM_MEL": 257,
    "AUDIO.FFT_SIZE": 1024,
    "SOLVER.ZERO_WD_1D_PARAM": False,
    "DATA.TRAIN_CROP_NUM_SPATIAL": 2,
    "BN.NORM_TYPE": "sync_batchnorm",
    "STICA.CROP_STAGE": "features",
    "STICA.WITHIN_START_EPOCH": 0.0,
}


class ReleasedBoxes(NamedTuple):
    """First positions of the crops of one view, shared by all samples of the batch.

    They stay on the device: the host need not wait for them. Sizes are those of ``windows``.

    Attributes:
        space_large: int64 (K, 2), row and column of each large crop in space.
        space_small: The same, of each small one.
        time_large: int64 (K, 1), time step of each large crop in time.
        time_small: The same, of each small one.
    """

    space_large: Tensor
    space_small: Tensor
    time_large: Tensor
    time_small: Tensor


def sample_boxes(
    counts: Mapping[str, int], size: Sequence[int], aug_seed: Tensor, view: int
) -> ReleasedBoxes:
    """Sample the crops of one view as the published code does, with its exclusive upper bounds.

    Args:
        counts: Number of crops of each kind; small ones are sampled once per large one.
        size: (T', H', W') of the map.
        aug_seed: int64 (B,); the smallest of all processes is used.
        view: 0 or 1.

    Returns:
        The boxes.

    Raises:
        ValueError: If the map is not 7 x 7 in space, or too short in time.
    """
    steps, height, width = size
    if (height, width) != (MAP_SIDE, MAP_SIDE):
        raise ConfigValueError(
            "STICA.COMPAT",
            f"got a feature map of {height} x {width}; 'released' crops 7 x 7 "
            "maps only. Set DATA.TRAIN_CROP_SIZE 112 with r2plus1d_18, or STICA.COMPAT ''.",
        )
    sizes = windows(steps)
    axes = {k: (MAP_SIDE, MAP_SIDE) if k.startswith("space") else (steps,) for k in CROP_KINDS}
    crops = {
        kind: counts[kind] * (counts[kind.replace("small", "large")] if "small" in kind else 1)
        for kind in CROP_KINDS
    }
    # Positions are below size - window, so the last valid one is never sampled.
    highs = [n - sizes[kind] for kind in CROP_KINDS for n in axes[kind] * crops[kind]]
    seed = gather_no_gradient(aug_seed.min().reshape(1)).min().reshape(1)
    high = vector_on(seed.device, highs)
    starts = randint(seed, STREAM_CROPS + view, len(highs), high)[0]
    of_kinds = starts.split([len(axes[kind]) * crops[kind] for kind in CROP_KINDS])
    return ReleasedBoxes(
        *(x.view(crops[k], len(axes[k])) for k, x in zip(CROP_KINDS, of_kinds, strict=True))
    )


def windows(steps: int) -> dict[str, int]:
    """Return the size of each kind of crop, in spatial positions or time steps.

    Args:
        steps: T' of the feature map.

    Raises:
        ConfigValueError: If the map is too short.
    """
    time = TIME_SIZES_OF_FOUR if steps == 4 else TIME_SIZES_OF_MORE
    if steps <= time["time_large"]:
        raise ConfigValueError(
            "STICA.COMPAT",
            f"got a feature map of {steps} time steps; 'released' needs 4, or more "
            "than 6. Set DATA.NUM_FRAMES 30 or 60 with r2plus1d_18, or STICA.COMPAT ''.",
        )
    return SPACE_SIZES | time


class ReleasedStiCA(SpaceTimeCropAttend):
    """The published model. Its ``audio`` output is (V, B, D): one pass per view.

    Args:
        backbone: As in ``SpaceTimeCropAttend``, with one pathway.
        pooling: As in ``SpaceTimeCropAttend``.
        head_video: As in ``SpaceTimeCropAttend``.
        counts: Number of crops of each kind.
        resizes: Resize tokens to a fixed number of steps (with attention only).
        audio_backbone: As in ``SpaceTimeCropAttend``.
        head_audio: As in ``SpaceTimeCropAttend``.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {
        **SpaceTimeCropAttend.output_batch_dims,
        "audio": 1,
    }

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        head_video: nn.Module,
        *,
        counts: Mapping[str, int],
        resizes: bool,
        audio_backbone: nn.Module | None = None,
        head_audio: nn.Module | None = None,
    ) -> None:
        super().__init__(
            backbone, pooling, head_video, audio_backbone=audio_backbone, head_audio=head_audio
        )
        self.counts = dict(counts)
        self.resizes = resizes

    def forward(
        self, batch: Mapping[str, Any], boxes: Sequence[ReleasedBoxes] | None = None
    ) -> STiCAOutputs:
        """Embed both views and all their crops.

        Args:
            batch: As in ``SpaceTimeCropAttend``, with V = 2.
            boxes: Crops of each view; None: they are sampled.

        Returns:
            The embeddings; ``audio`` is (V, B, D), small crops are those that the loss reads.
        """
        views = []
        for view in range(batch["video"].shape[1]):
            feature_map = self.backbone(batch["video"][:, view]).maps[0]  # (B, C, T', H', W')
            if boxes is not None:
                box = boxes[view]
            elif any(self.counts.values()):
                box = sample_boxes(self.counts, feature_map.shape[2:], batch["aug_seed"], view)
            else:
                none = batch["aug_seed"].new_empty(0, 2)
                box = ReleasedBoxes(none, none, none, none)
            views.append(self._embed_view(feature_map, box))
        full, *crops = (torch.stack(embedded) for embedded in zip(*views, strict=True))
        if self.audio_backbone is None:
            return STiCAOutputs(None, None, *crops)
        audio = [self.embed_audio(batch["audio"][:, 0])[1] for _ in views]
        return STiCAOutputs(full[:, 0], torch.stack(audio), *crops)

    def full_group(self, maps: list[Tensor]) -> CropGroup:
        """Return the uncropped feature maps as a group of one crop, resized as crops are.

        Args:
            maps: One float (N, C, T', H', W').

        Returns:
            The group.
        """
        group = full_group(maps)
        values, steps = group.tokens[0].values, maps[0].shape[2]
        return group._replace(tokens=[self._resize(values, steps)])

    def _embed_view(self, feature_map: Tensor, boxes: ReleasedBoxes) -> list[Tensor]:
        """Embed the full feature map and all crops: (calls, B, D) of each kind, full map first."""
        repeats = {"space_small": len(boxes.space_large), "time_small": len(boxes.time_large)}
        crops = {
            kind: list(getattr(boxes, kind).unbind()) * repeats.get(kind, 1) for kind in CROP_KINDS
        }
        steps = feature_map.shape[2]
        tokens = [self._resize(feature_map.mean(dim=(3, 4)).transpose(1, 2), steps)]
        for kind in CROP_KINDS:
            tokens += [self._cut(feature_map, first, kind) for first in crops[kind]]
        rows = torch.arange(feature_map.shape[0], device=feature_map.device)
        groups = [CropGroup(("",), [token], rows) for token in tokens]
        pooled = pool_groups(self.pooling, groups)  # (calls * B, C)
        embedded = self.head_video(pooled, groups=len(tokens)).unflatten(0, (len(tokens), -1))
        full, *kinds = embedded.split([1, *(len(crops[kind]) for kind in CROP_KINDS)])
        return [full, *(e[: self.counts[k]] for e, k in zip(kinds, CROP_KINDS, strict=True))]

    def _cut(self, feature_map: Tensor, first: Tensor, kind: str) -> Tokens:
        """Cut one crop, in space or in time, from its first position (2,) or (1,)."""
        steps = feature_map.shape[2]
        dims = (3, 4) if len(first) == 2 else (2,)
        # The host does not know where a slice would begin: the map is rotated to begin there.
        for dim, start in zip(dims, first, strict=True):
            axis = torch.arange(feature_map.shape[dim], device=first.device)
            feature_map = feature_map.index_select(dim, (axis + start) % len(axis))
        for dim in dims:
            feature_map = feature_map.narrow(dim, 0, windows(steps)[kind])
        return self._resize(feature_map.mean(dim=(3, 4)).transpose(1, 2), steps)

    def _resize(self, values: Tensor, steps: int) -> Tokens:
        """Resize (B, L, C) to 4 steps (8 unless the full map has 4) by adaptive average pooling."""
        if self.resizes:
            length = 4 if steps == 4 else 8
            values = F.adaptive_avg_pool1d(values.transpose(1, 2), length).transpose(1, 2)
        positions = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])
        return Tokens(values, torch.ones_like(positions, dtype=torch.bool), positions)


def build_released_model(cfg: CfgNode) -> ReleasedStiCA:
    """Build the published model; of TEMPORAL_TRANSFORMER only LAYERS and HEADS are read."""
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
    dim = backbone.out_channels[0]
    section = cfg.TEMPORAL_TRANSFORMER
    resizes = cfg.MODEL.POOLING == "transformer"
    if resizes:
        layers = [
            EncoderLayer(dim, section.HEADS, value_projection=False) for _ in range(section.LAYERS)
        ]
        attend = TemporalTransformer(dim, layers=layers, positions=None, pool="first")
        pooling = PathwayPooling([attend], [dim])
    else:
        pooling = build_pooling(cfg, backbone)
    audio_backbone = head_audio = None
    if uses_audio(cfg):
        audio_backbone = BACKBONE_REGISTRY.get(cfg.AUDIO.ARCH)(cfg)
        # Unlike the other convolutions, the replaced first one keeps PyTorch's default init.
        audio_backbone.conv1.reset_parameters()
        head_audio = _head(audio_backbone.out_channels[0], cfg)
    used = uses_crops(cfg)
    counts = {k: cfg.FEATURE_CROP[key].NUM if used else 0 for k, key in CROP_KINDS.items()}
    return ReleasedStiCA(
        backbone,
        pooling,
        _head(dim, cfg),
        counts=counts,
        resizes=resizes,
        audio_backbone=audio_backbone,
        head_audio=head_audio,
    )


def _head(dim: int, cfg: CfgNode) -> ProjectionHead:
    """Build a head with batch statistics per call."""
    stica = cfg.STICA
    norm = get_norm(cfg, dims=1)(stica.HEAD_DIM)
    return ProjectionHead(
        dim, stica.HEAD_DIM, stica.EMBED_DIM, norm=norm, dropout=stica.HEAD_DROPOUT
    )


@register_check
def check_released(cfg: CfgNode) -> list[Problem]:
    """Require the values of other sections' keys that the published behavior depends on.

    Returns:
        Every key that contradicts STICA.COMPAT released; none in other modes.
    """
    if "STICA" not in cfg or cfg.STICA.COMPAT != COMPAT or cfg.MODEL.MODEL_NAME != "StiCA":
        return []
    problems = []
    required = dict(RELEASED_SETTINGS, **{"BN.WEIGHT_DECAY": cfg.SOLVER.WEIGHT_DECAY})
    for key, value in required.items():
        section, name = key.split(".")
        if cfg[section][name] != value:
            message = f"got {cfg[section][name]!r}; STICA.COMPAT released needs {value!r}"
            problems.append(Problem(key, f"{message}, as configs/StiCA/released.yaml sets it"))
    return problems
