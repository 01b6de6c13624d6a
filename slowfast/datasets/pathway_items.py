"""PySlowFast's items of a dataset, for scripts: a tuple of pathways, label, index, time and meta.

The trainer and ``construct_train_loader`` use the dicts of ``build.DATASET_REGISTRY`` instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from slowfast.config import CfgNode, ParameterError
from slowfast.datasets.build import build_dataset
from slowfast.datasets.preprocess.batch import VideoPreprocess
from slowfast.utils.pathways import pack_pathway_output

__all__ = ["Kinetics", "PathwayItem"]

_MODES = ("train", "val", "test")


PathwayItem = tuple[list[Tensor], Any, int, Tensor, dict[str, Any]]
"""One view of a video.

* frames: float, normalized, (3, T, H, W), one tensor for each pathway;
* label: -1 if unknown; float (classes,) with several labels;
* index of the item;
* time: float (1, 3): start and end of the clip in seconds, and 0;
* meta: empty.
"""


class Kinetics(Dataset[PathwayItem]):
    """Videos of DATA.PATH_TO_DATA_DIR, one view per item.

    Args:
        cfg: The configuration.
        mode: "train": a random view; "val": the center view; "test": item i is view
            ``i % (NUM_ENSEMBLE_VIEWS * NUM_SPATIAL_CROPS)`` of its video, as TestMeter expects.
        num_retries: Not needed: a file that cannot be decoded is an error (MediaError).

    Raises:
        ParameterError: If the mode is unknown.
        UserError: If the data is missing.
    """

    def __init__(self, cfg: CfgNode, mode: str, num_retries: int = 100) -> None:
        if mode not in _MODES:
            raise ParameterError("mode", f"got {mode!r}, expected one of {', '.join(_MODES)}.")
        self.cfg, self.mode = cfg.clone(), mode
        self.cfg.defrost()
        crops = cfg.TEST.NUM_SPATIAL_CROPS if mode == "test" else 1
        self.cfg.TEST.VIEWS_PER_CHUNK = crops  # one clip for each sample of the dataset below
        self.cfg.AUDIO.ENABLE, self.cfg.AUG.NUM_SAMPLE = False, 1
        self.cfg.freeze()
        section = cfg.TEST if mode == "test" else cfg.TRAIN
        self._dataset: Any = build_dataset(section.DATASET, self.cfg, mode)
        self._crops = crops
        self._prepare = VideoPreprocess(mean=cfg.DATA.MEAN, std=cfg.DATA.STD)
        self._clip_sec = cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS

    def __len__(self) -> int:
        return len(self._dataset) * self._crops

    @property
    def num_videos(self) -> int:
        """Number of items."""
        return len(self)

    def __getitem__(self, index: int) -> PathwayItem:
        if not 0 <= index < len(self):
            raise IndexError(f"index: got {index}, expected 0 to {len(self) - 1}.")
        # Fresh random numbers for each access: DataLoader seeds torch in each worker and epoch.
        epoch = int(torch.randint(2**31, ())) if self.mode == "train" else 0
        sample = self._dataset[(epoch, index // self._crops)]
        view = index % self._crops
        pixels = torch.from_numpy(sample["video"][view : view + 1])  # (1, T, H, W, 3)
        frames = self._prepare(pixels.unsqueeze(0))[0, 0]  # (3, T, H, W)
        start = float(sample["clip_start_sec"][view])
        time = torch.tensor([[start, start + self._clip_sec, 0.0]])
        return pack_pathway_output(self.cfg, frames), sample["label"], index, time, {}
