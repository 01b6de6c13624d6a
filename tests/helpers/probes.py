"""What protocols are tried on: tables by hand, and a small dataset with a model that sees all."""

import numpy as np
import torch
from helpers.synthetic import synthetic_cfg
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from slowfast.config import get_cfg
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.engine.features import FeatureTable
from slowfast.utils.random import STREAM_VIEW, sample_rng

SIZE, FRAMES, CLIPS, CROPS, RATE = 8, 3, 3, 3, 8000
GALLERY, TEST, CLASSES = 29, 13, 6

PROBES = (
    "TEST.DATASET probes TEST.NUM_ENSEMBLE_VIEWS 3 TEST.NUM_SPATIAL_CROPS 3 MODEL.NUM_CLASSES 7 "
    "AUDIO.ENABLE True AUDIO.SAMPLE_RATE 8000 AUDIO.CLIP_SEC 0.1 AUDIO.NUM_MEL 8 "
    "PROBE.RANKS [1,5,50] PROBE.WEIGHT_DECAY_GRID [0.001,0.1] PROBE.SVM_COSTS [0.01,1.0] "
    "PROBE.FEW_SHOT_K [1,3,50] PROBE.FEW_SHOT_EPISODES 3 PROBE.VALIDATION_FOLDS 2"
)
PROTOCOLS = (
    *("classification", "class_retrieval", "knn", "linear_probe", "few_shot", "linear_svm"),
    *("cross_modal_retrieval", "av_sync", "baselines"),
)


def make_table(features, label, audio_valid=None):
    """A table of given features, name -> (N, C) or nested lists."""
    features = {name: torch.as_tensor(values) for name, values in features.items()}
    label = torch.as_tensor(label)
    valid = torch.ones(len(label)) if audio_valid is None else torch.as_tensor(audio_valid)
    ones = torch.ones(len(label), dtype=torch.int64)
    return FeatureTable(features, label, torch.arange(len(label)), valid.bool(), ones)


def probe_cfg(**keys):
    """The default configuration with other values of PROBE."""
    cfg = get_cfg()
    for key, value in keys.items():
        cfg.PROBE[key] = value
    return cfg


class Given:
    """FeatureProvider of ready tables; ``later`` is the test split with its audio shifted."""

    def __init__(self, test, gallery=None, later=None):
        self.tables = {"test": test, "gallery": gallery}
        self.later = later
        self.warnings = []

    def features(self, split, *, audio_offset_sec=0.0):
        return self.later if audio_offset_sec else self.tables[split]

    def warn_once(self, message):
        self.warnings.append(message)


def blob_tables(classes=3, per_class=20, per_test=10, spread=1.0, name="video"):
    """Gaussian classes: a test table and a gallery table, features around a common mean."""
    centers = torch.randn(classes, 8, generator=torch.Generator().manual_seed(99))

    def blobs(count, seed):
        label = torch.arange(classes).repeat_interleave(count)
        noise = torch.randn(len(label), 8, generator=torch.Generator().manual_seed(seed))
        return make_table({name: centers[label] + spread * noise + 5}, label)

    return blobs(per_test, 1), blobs(per_class, 0)


class Probes(Dataset):
    """Brightness and pitch tell the class, loudness follows the video; one file has no audio.

    The test split has a class that the gallery lacks, and no count divides evenly.
    """

    def __init__(self, cfg, split):
        self.length, self.seed = (GALLERY, 0) if split == "gallery" else (TEST, 1)
        self.shift_sec = cfg.AUDIO.EVAL_OFFSET_SEC
        self.clips_per_chunk = CLIPS if cfg.TEST.VIEWS_PER_CHUNK >= CLIPS * CROPS else 1
        self.classes = CLASSES + (split != "gallery")
        rows = [VideoRecord(f"{split}/{i}.mp4", i % self.classes) for i in range(self.length)]
        self.manifest = Manifest.from_rows(rows, [])

    def __len__(self):
        return self.length * CLIPS // self.clips_per_chunk

    def path(self, index):
        return f"probe {index}"

    def __getitem__(self, key):
        row, chunk = divmod(key[1], CLIPS // self.clips_per_chunk)
        clips = range(chunk * self.clips_per_chunk, (chunk + 1) * self.clips_per_chunk)
        label = row % self.classes
        read = [self.clip(row, clip, label) for clip in clips]
        return {
            "video": np.concatenate([video for video, _ in read]),
            "audio": np.stack([audio for _, audio in read]),
            "audio_valid": np.full(len(clips), row != 4),
            "label": label,
            "index": row,
            "clip_start_sec": np.repeat(np.float32(clips), CROPS),
            "view": np.arange(clips.start * CROPS, clips.stop * CROPS),
            "aug_seed": row,
        }

    def clip(self, row, clip, label):
        """The crops of a clip, and its audio."""
        rng = sample_rng(self.seed, 0, row, STREAM_VIEW + clip)
        shape = (CROPS, FRAMES, SIZE, SIZE, 3)
        video = (30 + 25 * label + rng.normal(0, 20, shape)).clip(0, 255)
        time = np.arange(RATE // 10) / RATE + clip + self.shift_sec
        envelope = 0.2 + 0.1 * np.sin(7 * time + row)
        audio = envelope * np.sin(2 * np.pi * 400 * (1 + label) * time)
        return video.astype(np.uint8), audio.astype(np.float32)


class AudioProbes(Probes):
    """The same without video, as a dataset of audio files gives it."""

    def __getitem__(self, key):
        sample = super().__getitem__(key)
        del sample["video"]
        kept = {name: sample[name][::CROPS] for name in ("view", "clip_start_sec")}
        return {**sample, **kept, "view": kept["view"] // CROPS}


def probes(cfg, split):
    return Probes(cfg, split)


def audio_probes(cfg, split):
    return AudioProbes(cfg, split)


for builder in (probes, audio_probes):
    if builder.__name__ not in DATASET_REGISTRY:
        DATASET_REGISTRY.register(builder)


def add_config(cfg):
    """Make this module a project: processes that are spawned find the datasets by PROJECTS."""


class ProbeModel(nn.Module):
    """Fixed projections of coarse frames and spectrograms.

    Every row is computed on its own, so that its bits do not depend on the batch it comes in.
    """

    def embed(self, batch):
        out = {}
        if "video" in batch:
            pixels = batch["video"].mean(dim=3).flatten(2)  # (B, V, 3 * H * W)
            out |= {"video": project(pixels, 16, 0), "video_embedding": project(pixels, 5, 1)}
        if "audio" in batch:
            # The last bits of a spectrogram depend on how many are computed together.
            bins = (batch["audio"] * 256).round().flatten(2) / 256  # (B, A, F * S)
            out |= {"audio": project(bins, 12, 2), "audio_embedding": project(bins, 5, 3)}
        for name in {"video_embedding", "audio_embedding"} & set(out):
            out[name] = F.normalize(out[name], dim=-1)
        out["logits"] = project(out["video" if "video" in batch else "audio"], CLASSES + 1, 4)
        return out


def project(rows, dim, seed):
    """Multiply each row by a fixed matrix, in an order of additions of its own."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows.shape[-1], dim, generator=generator).double()
    return torch.stack(
        [(row.double()[:, None] * matrix).sum(0) for row in rows.flatten(0, -2)]
    ).view(*rows.shape[:-1], dim)


def probes_cfg(output_dir, *words):
    """Load the configuration of the small dataset with more overrides."""
    return synthetic_cfg(
        output_dir, *PROBES.split(), "TEST.PROTOCOLS", str(list(PROTOCOLS)), *words
    )
