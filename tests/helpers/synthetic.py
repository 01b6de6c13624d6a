"""A dataset without files, and a configuration to train on it in a second."""

import numpy as np
import torch
from torch.utils.data import Dataset

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.utils.multigrid import MultigridSchedule
from slowfast.utils.random import STREAM_AUG_SEED, STREAM_VIEW, sample_rng, seed_everything

SIZE = 16
FRAMES = 4
CLASSES = 3

OVERRIDES = (
    "TRAIN.DATASET synthetic TEST.DATASET synthetic MODEL.MODEL_NAME VideoResNet "
    "MODEL.ARCH r3d_18 MODEL.NUM_CLASSES 3 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 "
    "DATA.TRAIN_CROP_SIZE 16 DATA.TEST_CROP_SIZE 16 TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 5 "
    "DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0 SOLVER.MAX_EPOCH 2 SOLVER.BASE_LR 0.05 LOG_PERIOD 1 "
    "TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 1 TEST.VIEWS_PER_CHUNK 1 "
    "DATA.PATH_TO_DATA_DIR unused"
)


class Synthetic(Dataset):
    """Noise around a brightness that tells the class; as many chunks per video as test views."""

    def __init__(self, length, seed, chunks=1, views=1, shape=(FRAMES, SIZE)):
        self.length, self.seed, self.chunks, self.views = length, seed, chunks, views
        self.shape, self.variants = shape, {}

    def __len__(self):
        return self.length * self.chunks

    def path(self, index):
        return f"synthetic {index}"

    def __getitem__(self, key):
        epoch, (row, chunk) = key[0], divmod(key[1], self.chunks)
        label = row % CLASSES
        frames, size = self.shape
        video = np.empty((self.views, frames, size, size, 3), np.uint8)
        for view in range(self.views):
            rng = sample_rng(self.seed, epoch, row, STREAM_VIEW + view + chunk * self.views)
            video[view] = (60 + 60 * label + rng.normal(0, 20, video.shape[1:])).clip(0, 255)
        tone = np.sin(np.arange(2400) * 0.05 * (1 + label)).astype(np.float32)[None]
        seed = sample_rng(self.seed, epoch, row, STREAM_AUG_SEED).integers(2**62)
        return {
            "video": video,
            "audio": tone,
            "audio_valid": np.array([True]),
            "label": label,
            "index": row,
            "clip_start_sec": np.zeros(self.views, np.float32),
            "view": np.arange(self.views) + chunk * self.views,
            "aug_seed": int(seed),
        }


def synthetic(cfg, split):
    if split == "train":
        settings = {"length": 13, "seed": cfg.RNG_SEED, "views": cfg.DATA.TRAIN_CROP_NUM_SPATIAL}
        dataset, schedule = Synthetic(**settings), MultigridSchedule.from_cfg(cfg)
        shapes = schedule.clip_shapes()
        dataset.variants = {shape: Synthetic(**settings, shape=shape) for shape in shapes}
        return dataset
    length = 13 if split == "gallery" else 7
    return Synthetic(length, 100, chunks=cfg.TEST.NUM_ENSEMBLE_VIEWS if split != "val" else 1)


def add_config(cfg):
    """Make this module a project: processes that are spawned find the dataset by PROJECTS."""


if "synthetic" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(synthetic)


def synthetic_cfg(output_dir, *words, path=None):
    """Load the configuration with more overrides, e.g. ``"SOLVER.MAX_EPOCH", 3``."""
    extra = [str(word) for word in words]
    return load_config(path, [*OVERRIDES.split(), "OUTPUT_DIR", str(output_dir), *extra]).cfg


def run(output_dir, *words, until=None, seed=None):
    """Train; ``until`` ends the run after so many steps, as a kill would, with a checkpoint.

    A run that resumes gets another ``seed``, which must not matter.
    """
    from slowfast.engine.trainer import Trainer  # as a project, this module needs none

    output_dir.mkdir(exist_ok=True)
    cfg = synthetic_cfg(output_dir, *words, *(("TRAIN.MAX_STEPS", until) if until else ()))
    seed_everything(cfg.RNG_SEED if seed is None else seed)
    trainer = Trainer(cfg, torch.device("cpu"))
    trainer.train()
    return trainer
