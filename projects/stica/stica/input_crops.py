"""Input crops: patches cut from the clip before the backbone, each with a pass of its own.

The classic multi-crop (SwAV, arXiv 2006.09882), as a control for feature crops: a position of an
input crop sees nothing outside the crop, but every crop costs a pass. Number, size and position of
crops are those of ``FEATURE_CROP``, on the axes of the clip. Crops are not scaled.

Legend: N rows of clips, K crops, T frames, h w a crop in space, t a crop in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slowfast.models.contracts import CropGroup
from slowfast.models.pooling import full_group
from stica.config import CROP_KINDS
from stica.crops import FeatureCrop, crop_names, crop_size

__all__ = ["InputCrop", "cut_space", "cut_time"]


@dataclass(frozen=True)
class InputCrop:
    """Cuts the crops of a ``FeatureCrop`` from the clips.

    It is no module, so that nobody looks for regions of the feature map in it.

    Attributes:
        crops: Number, size and position of the crops.
    """

    crops: FeatureCrop

    def crop_clips(
        self,
        backbone: nn.Module,
        video: Tensor,
        maps: Sequence[Tensor],
        aug_seed: Tensor,
        *,
        reads_space: bool = False,
    ) -> list[CropGroup]:
        """Cut crops from clips and pass them through the backbone, in one call per kind of crop.

        Args:
            backbone: ``(N, 3, T, H, W) -> BackboneOutput``.
            video: float (N, 3, T, H, W).
            maps: Those of the full clips; a crop in time keeps its positions on their time axis.
            aug_seed: int64 (B,), as for ``FeatureCrop``.
            reads_space: As for ``full_group``.

        Returns:
            One group per kind, in the order of ``CROP_KINDS``.

        Raises:
            ValueError: If the clip is too small to be cropped.
        """
        size = video.shape[2:]
        boxes = self.crops.sample([size], aug_seed, len(video))[0]
        first = {"space": boxes.space[..., ::2], "time": boxes.time[..., :1]}  # (N, K, 2 or 1)
        groups = []
        for name, kind in self.crops.kinds.items():
            if not kind.num:
                continue
            axis, key = name.split("_")[0], f"FEATURE_CROP.{CROP_KINDS[name]}"
            starts, first[axis] = first[axis][:, : kind.num], first[axis][:, kind.num :]
            starts = starts.transpose(0, 1).flatten(0, 1)  # row k * N + n
            clips = video.repeat(kind.num, 1, 1, 1, 1)
            if axis == "space":
                height, width = (crop_size(length, kind.scale, key) for length in size[1:])
                clips = cut_space(clips, starts, height, width)
            else:
                clips = cut_time(clips, starts, crop_size(size[0], kind.scale, key))
            group = full_group(backbone(clips).maps, reads_space=reads_space)
            tokens = group.tokens
            if axis == "time":
                steps = [m.shape[2] for m in maps]
                tokens = [
                    t._replace(positions=(t.positions + starts * n // size[0]).clamp(max=n - 1))
                    for t, n in zip(tokens, steps, strict=True)
                ]
            names = crop_names({name: kind.num})
            groups.append(CropGroup(names, tokens, group.sample % len(video)))
        return groups


def cut_space(clips: Tensor, first: Tensor, height: int, width: int) -> Tensor:
    """Cut a box of pixels from every clip, the same in all its frames.

    Args:
        clips: float (N, 3, T, H, W).
        first: int64 (N, 2), first row and column of each box.
        height: h, in pixels.
        width: w, in pixels.

    Returns:
        float (N, 3, T, h, w).
    """
    rows = first[:, :1] + torch.arange(height, device=first.device)  # (N, h)
    columns = first[:, 1:] + torch.arange(width, device=first.device)  # (N, w)
    by_row = clips.take_along_dim(rows[:, None, None, :, None], dim=3)
    return by_row.take_along_dim(columns[:, None, None, None, :], dim=4)


def cut_time(clips: Tensor, first: Tensor, length: int) -> Tensor:
    """Cut consecutive frames from every clip.

    Args:
        clips: float (N, 3, T, H, W).
        first: int64 (N, 1), first frame.
        length: t, in frames.

    Returns:
        float (N, 3, t, H, W).
    """
    frames = first + torch.arange(length, device=first.device)  # (N, t)
    return clips.take_along_dim(frames[:, None, :, None, None], dim=2)
