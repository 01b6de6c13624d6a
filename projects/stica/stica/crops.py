"""Feature crops: many crops of a clip at the cost of one backbone pass.

StiCA crops the backbone's last feature map instead of the input (the paper's "feature crops"). A
crop in space averages a box of spatial positions at every time step; a crop in time keeps some
consecutive time steps. This file is geometry only: sizes, positions, masked averages.

Legend: B batch, V views, N = B * V rows of feature maps (row ``b * V + v``), K crops, C channels,
T' H' W' feature map, L token steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.config.problems import ConfigValueError, ParameterError, keys
from slowfast.models.build import FEATURE_AUG_REGISTRY
from slowfast.models.contracts import CropGroup, CropRegions, Tokens
from slowfast.utils.constants import vector_on
from slowfast.utils.distributed import gather_no_gradient
from slowfast.utils.random import STREAM_CROPS, randint
from stica.config import CROP_KINDS

__all__ = [
    "Boxes",
    "CropKind",
    "FeatureCrop",
    "crop_names",
    "crop_size",
    "feature_crop",
    "space_tokens",
    "time_tokens",
]


class CropKind(NamedTuple):
    """How many crops of one kind, and how large.

    Attributes:
        num: Crops per view.
        scale: Extent as a fraction of the axis, 0 < scale <= 1; 1 is the full feature map.
    """

    num: int
    scale: float


class Boxes(NamedTuple):
    """Position of every crop of every row, on one pathway's feature map. Ends are excluded.

    Attributes:
        space: int64 (N, K, 4): first and last row, first and last column; large crops first.
        time: int64 (N, K, 2): first and last time step; large crops first.
        longest: Steps of the longest crop in time, 0 without any. A Python int, so that the length
            of the padded tokens is known without a device synchronization.
    """

    space: Tensor
    time: Tensor
    longest: int


class FeatureCrop(nn.Module):
    """Large and small crops of the feature map, in space and in time.

    Args:
        space_large: Kind of the large crops in space; these are also keys.
        space_small: Kind of the small crops in space.
        time_large: Kind of the large crops in time.
        time_small: Kind of the small crops in time.
        per_sample: Sample positions for every sample. Otherwise each view of the global batch
            shares one set of positions.
        last_position: Sample among all valid positions. Otherwise the last one of each axis is left
            out, as in the released code, and a crop one position shorter than the map never moves.
    """

    def __init__(
        self,
        *,
        space_large: CropKind,
        space_small: CropKind,
        time_large: CropKind,
        time_small: CropKind,
        per_sample: bool = True,
        last_position: bool = True,
    ) -> None:
        super().__init__()
        self.kinds = {
            "space_large": space_large,
            "space_small": space_small,
            "time_large": time_large,
            "time_small": time_small,
        }
        for name, kind in self.kinds.items():
            if kind.num < 0 or not 0 < kind.scale <= 1:
                raise ParameterError(
                    name,
                    f"got NUM {kind.num}, SCALE {kind.scale}; expected NUM >= 0 and "
                    "0 < SCALE <= 1 (1 is the full feature map). NUM 0 disables this kind.",
                )
        self.per_sample, self.last_position = per_sample, last_position

    def forward(self, maps: Sequence[Tensor], aug_seed: Tensor) -> list[CropGroup]:
        """Crop every row of every pathway's feature map.

        Pathways of different size are cropped by the same fractions at the same relative places:
        exactly, where the shortest length of an axis divides the others, else to the nearest step.

        Args:
            maps: One float (N, C, T', H', W') per pathway; N = B * V, row ``b * V + v``.
            aug_seed: int64 (B,). Positions depend only on it and on the view index.

        Returns:
            The crops in space as one group, then those in time as another; a group without crops
            is left out. In time, shorter crops are padded.

        Raises:
            ValueError: If a map is too small to be cropped.
        """
        boxes = self.sample([m.shape[2:] for m in maps], aug_seed, maps[0].shape[0])
        names = crop_names({name: kind.num for name, kind in self.kinds.items()})
        space = tuple(name for name in names if name.startswith("space"))
        time = names[len(space) :]
        pairs = list(zip(maps, boxes, strict=True))
        row = torch.arange(maps[0].shape[0], device=maps[0].device)
        groups = []
        if space:
            tokens = [space_tokens(m, b.space) for m, b in pairs]
            groups.append(CropGroup(space, tokens, row.repeat(len(space))))
        if time:
            tokens = [time_tokens(m, b.time, b.longest) for m, b in pairs]
            groups.append(CropGroup(time, tokens, row.repeat(len(time))))
        return groups

    def regions(self, maps: Sequence[Tensor], aug_seed: Tensor) -> CropRegions:
        """Describe the crops that ``forward`` takes, for the report.

        Args:
            maps: As for ``forward``.
            aug_seed: As for ``forward``.

        Returns:
            Their regions on the first pathway: crops in space last the full clip, crops in time
            have full frames.
        """
        sizes = [m.shape[2:] for m in maps]
        if not self.per_sample:  # without the other processes: only one of them writes a report
            aug_seed = aug_seed.min().expand(len(aug_seed))
        boxes = self._sample_pathways(sizes, aug_seed, len(maps[0]))[0]
        count = boxes.space.shape[1]
        extent = torch.zeros(len(maps[0]), count + boxes.time.shape[1], 3, 2)
        extent[..., 1] = 1.0
        size = torch.tensor(sizes[0])
        space = boxes.space.unflatten(2, (2, 2)).cpu()  # (N, K, height and width, 2)
        extent[:, :count, 1:] = space / size[1:, None]
        extent[:, count:, 0] = boxes.time.cpu() / size[0]
        return CropRegions(crop_names({n: kind.num for n, kind in self.kinds.items()}), extent)

    def sample(self, sizes: Sequence[Sequence[int]], aug_seed: Tensor, rows: int) -> list[Boxes]:
        """Sample positions uniformly over all valid ones (without the last: ``last_position``).

        With ``per_sample`` False, the smallest seed of all processes is used for every sample. It
        depends neither on the order of the batch nor on how it is split over processes.

        Args:
            sizes: (T', H', W') of each pathway.
            aug_seed: int64 (B,).
            rows: N, a multiple of B.

        Returns:
            Boxes of each pathway, on the device of ``aug_seed``.

        Raises:
            ValueError: If an axis is too short to be cropped, or N is not a multiple of B.
        """
        if not self.per_sample:
            lowest = gather_no_gradient(aug_seed.min().reshape(1)).min()
            aug_seed = lowest.expand(aug_seed.shape[0])
        return self._sample_pathways(sizes, aug_seed, rows)

    def _sample_pathways(
        self, sizes: Sequence[Sequence[int]], aug_seed: Tensor, rows: int
    ) -> list[Boxes]:
        """Sample the boxes of all pathways from one seed per sample."""
        batch = aug_seed.shape[0]
        if rows % batch != 0:
            raise ValueError(
                f"feature_crop: got {rows} feature maps for {batch} samples (aug_seed); expected "
                "the same number of views for each sample."
            )
        shortest = [min(axis) for axis in zip(*sizes, strict=True)]
        # Positions per position of the coarsest pathway: with 32 and 4 steps, the 32 are cropped in
        # blocks of 8, so that the crops of both pathways cover the same seconds.
        blocks = [
            [n // s if n % s == 0 else 1 for n, s in zip(size, shortest, strict=True)]
            for size in sizes
        ]
        return [
            self._sample_pathway(size, block, aug_seed, rows // batch)
            for size, block in zip(sizes, blocks, strict=True)
        ]

    def _sample_pathway(
        self, size: Sequence[int], block: Sequence[int], aug_seed: Tensor, views: int
    ) -> Boxes:
        """Sample the windows of one pathway; all pathways use the same random numbers."""
        steps, height, width = (n // b for n, b in zip(size, block, strict=True))
        space = [  # (height, width) of every crop
            (crop_size(height, k.scale, key), crop_size(width, k.scale, key))
            for key, k in self._crops("space")
        ]
        time = [crop_size(steps, k.scale, key) for key, k in self._crops("time")]
        sides = [window for crop in space for window in crop] + time  # n windows
        axes = [height, width] * len(space) + [steps] * len(time)
        units = [*block[1:]] * len(space) + [block[0]] * len(time)
        last = int(self.last_position)
        # A full-size crop has one position.
        highs = [max(1, n - side + last) for n, side in zip(axes, sides, strict=True)]
        windows, high, unit = (
            vector_on(aug_seed.device, values) for values in (sides, highs, units)
        )
        starts = torch.stack(  # (B, V, n)
            [randint(aug_seed, STREAM_CROPS + v, len(highs), high) for v in range(views)], dim=1
        )
        spans = torch.stack([starts, starts + windows], dim=-1).flatten(0, 1)  # (N, n, 2)
        spans = spans * unit[:, None]
        space_spans, time_spans = spans.split([2 * len(space), len(time)], dim=1)
        rows, longest = spans.shape[0], max(time, default=0) * block[0]
        return Boxes(space_spans.reshape(rows, len(space), 4), time_spans, longest)

    def _crops(self, axis: str) -> list[tuple[str, CropKind]]:
        """List the config key and kind of every crop along an axis."""
        return [
            (f"FEATURE_CROP.{CROP_KINDS[name]}", kind)
            for name, kind in self.kinds.items()
            if name.startswith(axis)
            for _ in range(kind.num)
        ]


def crop_size(axis: int, scale: float, key: str) -> int:
    """Size of a crop along an axis of the feature map.

    The integer nearest to ``scale * axis`` (halves round up), at least 1 and at most ``axis - 1``;
    a scale of 1 is the full axis.

    Args:
        axis: Length of the axis, in spatial positions or time steps.
        scale: Fraction of it.
        key: Config section of the crop, for the error message.

    Returns:
        The size, in spatial positions or time steps.

    Raises:
        ValueError: If the axis has length 1 and ``scale`` is below 1.
    """
    if scale == 1:
        return axis
    if axis < 2:
        is_time = ".TIME_" in key
        unit, remedy = (
            ("time step", "Use more frames (DATA.NUM_FRAMES)")
            if is_time
            else ("spatial position along an axis", "Use larger images (DATA.TRAIN_CROP_SIZE)")
        )
        raise ConfigValueError(
            key,
            f"got a feature map of {axis} {unit}; a crop smaller than the full feature map "
            f"needs at least 2. {remedy}, or disable these crops ({key}.NUM 0).",
        )
    # The small constant rounds products such as 0.7 * 45 = 31.499999999999996 up, too.
    nearest = math.floor(scale * axis + 0.5 + 1e-9)
    return min(max(nearest, 1), axis - 1)


def crop_names(counts: dict[str, int]) -> tuple[str, ...]:
    """Name the crops, such as ``space_large_0``."""
    return tuple(f"{name}_{i}" for name, num in counts.items() for i in range(num))


def space_tokens(feature_map: Tensor, boxes: Tensor) -> Tokens:
    """Average the spatial positions in each box, at every time step, by one matrix product.

    Args:
        feature_map: float (N, C, T', H', W').
        boxes: int64 (N, K, 4), as in ``Boxes.space``.

    Returns:
        Tokens of K * N rows (row ``k * N + n``) and L = T' steps, all valid.
    """
    rows, channels, steps, height, width = feature_map.shape
    num = boxes.shape[1]
    inside_row = _inside(boxes[..., :2], height)  # (N, K, H')
    inside_column = _inside(boxes[..., 2:], width)  # (N, K, W')
    masks = inside_row[..., :, None] & inside_column[..., None, :]  # (N, K, H', W')
    weights = masks.flatten(2).to(feature_map.dtype)  # (N, K, H'W')
    weights = weights / weights.sum(dim=-1, keepdim=True)
    flat = feature_map.reshape(rows, channels * steps, height * width)
    means = torch.bmm(flat, weights.transpose(1, 2))  # (N, C T', K)
    values = means.reshape(rows, channels, steps, num).permute(3, 0, 2, 1)  # (K, N, T', C)
    positions = torch.arange(steps, device=feature_map.device).expand(num * rows, steps)
    return Tokens(values.flatten(0, 1), torch.ones_like(positions, dtype=torch.bool), positions)


def time_tokens(feature_map: Tensor, boxes: Tensor, longest: int) -> Tokens:
    """Keep the time steps inside each box, averaged over space.

    Args:
        feature_map: float (N, C, T', H', W').
        boxes: int64 (N, K, 2), as in ``Boxes.time``.
        longest: Steps of the longest crop, L.

    Returns:
        Tokens of K * N rows (row ``k * N + n``) and L steps; shorter crops are padded with zeros.
        ``positions`` are time steps of the full feature map.
    """
    steps = feature_map.shape[2]
    means = feature_map.mean(dim=(3, 4)).transpose(1, 2)  # (N, T', C)
    boxes = boxes.transpose(0, 1).flatten(0, 1)  # (K N, 2)
    means = means.repeat(boxes.shape[0] // means.shape[0], 1, 1)  # (K N, T', C)
    lengths = boxes[:, 1] - boxes[:, 0]
    offsets = torch.arange(longest, device=boxes.device)  # (L,)
    mask = offsets < lengths[:, None]  # (K N, L)
    positions = (boxes[:, :1] + offsets).clamp(max=steps - 1)
    values = torch.take_along_dim(means, positions[..., None], dim=1)  # (K N, L, C)
    return Tokens(values.masked_fill(~mask[..., None], 0.0), mask, positions)


def _inside(spans: Tensor, length: int) -> Tensor:
    """Mark the indices of an axis inside spans (..., 2): bool (..., length)."""
    index = torch.arange(length, device=spans.device)
    return (index >= spans[..., :1]) & (index < spans[..., 1:])


@FEATURE_AUG_REGISTRY.register()
def feature_crop(cfg: CfgNode) -> FeatureCrop:
    """Build feature crops from FEATURE_CROP."""
    section = cfg.FEATURE_CROP
    kinds = {
        name: CropKind(section[key].NUM, section[key].SCALE) for name, key in CROP_KINDS.items()
    }
    with keys(**{name: f"FEATURE_CROP.{key}" for name, key in CROP_KINDS.items()}):
        return FeatureCrop(
            **kinds, per_sample=section.PER_SAMPLE, last_position=section.LAST_POSITION
        )
