#!/usr/bin/env python3
r"""What frozen video features know of a clip apart from its class, and what was learned by heart.

    python projects/stica/report_shortcuts.py output/sweeps/when_words \
        --out docs/evidence/words_shortcuts

For every finished run of a sweep over SPLIT/CLASS/NAME.mp4, where clips of one NAME were cut out of
one recording:

* source: the share of training clips whose nearest other training clip comes from the same
  recording;
* color, light: R2 of a ridge regression of the clip's mean red minus mean blue, and of its mean
  brightness, fitted on the training clips and measured on the test clips;
* across, down: R2 for where a crop lies in the frame. Every clip is embedded once, cropped at a
  place that this script samples within the margin between DATA.DECODING_SHORT_SIZE and
  DATA.TEST_CROP_SIZE;
* moved: the share of test clips whose nearest training clip is of the same class when both are
  cropped at such places;
* heard, unheard: the share of clips that find their own audio, among as many training clips as
  there are test clips, and among the test clips. Far apart, pairs were learned by heart.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from report_factors import load_run, r2, report
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import CfgNode
from slowfast.datasets.loader import construct_eval_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.evaluator import Evaluation
from slowfast.engine.precision import Precision
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.knn import recall_at_ranks

COLUMNS = {
    "source": "nearest clip is of the same recording",
    "color": "color (R2)",
    "light": "brightness (R2)",
    "across": "place, across (R2)",
    "down": "place, down (R2)",
    "moved": "class R@1, crops moved",
    "heard": "audio R@1, training clips",
    "unheard": "audio R@1, test clips",
}
"""What is measured -> the column's title."""
SHARES = ("source", "moved", "heard", "unheard")
SEED = 1
"""Of the places of moved crops."""


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(lambda: report(__doc__, measure, COLUMNS, SHARES))


def measure(folder: Path) -> dict[str, float]:
    """Measure the model of one run on the clips that it was trained on.

    Raises:
        FileNotFoundError: If its checkpoint is gone.
    """
    cfg, model = load_run(folder)
    train, test = (embed(cfg, model, split) for split in ("gallery", "test"))
    near = _cosine(train.centered, train.centered).fill_diagonal_(-1).argmax(dim=1).tolist()
    source = [train.source[i] == own for i, own in zip(near, train.source, strict=True)]
    moved = train.label[_cosine(test.moved, train.moved).argmax(dim=1)] == test.label

    def read(features: str, targets: str) -> list[float]:
        return r2(
            *(getattr(t, name).numpy() for t in (train, test) for name in (features, targets))
        )

    return {
        "source": sum(source) / len(source),
        **dict(zip(("color", "light"), read("centered", "look"), strict=True)),
        **dict(zip(("across", "down"), read("moved", "place"), strict=True)),
        "moved": float(moved.double().mean()),
        **remembered(cfg, model),
    }


def remembered(cfg: CfgNode, model: nn.Module) -> dict[str, float]:
    """Measure audio retrieval among training clips, evenly spaced, and among as many test clips.

    Args:
        cfg: Of the run.
        model: An EmbeddingModel with a joint space.

    Returns:
        "heard" and "unheard", as the module says.
    """
    evaluation = Evaluation(cfg, model, Precision.from_cfg(cfg, torch.device("cpu")))
    train, test = (evaluation.features(split).features for split in ("gallery", "test"))
    count = min(len(test["video_embedding"]), len(train["video_embedding"]))
    rows = torch.linspace(0, len(train["video_embedding"]) - 1, count).round().long()
    found = {}
    for name, features, keep in (("heard", train, rows), ("unheard", test, slice(count))):
        video, audio = (features[f"{m}_embedding"][keep] for m in ("video", "audio"))
        found[name] = recall_at_ranks(video, audio, torch.arange(count), [1])[1]
    return found


class Clips(NamedTuple):
    """One split, embedded twice.

    Attributes:
        source: N names of files, without suffix.
        label: int64 (N,).
        look: float (N, 2), mean red less mean blue and mean brightness of the frames, 0 to 255.
        place: float (N, 2), column and row of the corner of the moved crop, in pixels.
        centered: float (N, C), features of the crop in the middle.
        moved: float (N, C), features of the crop at ``place``.
    """

    source: list[str]
    label: Tensor
    look: Tensor
    place: Tensor
    centered: Tensor
    moved: Tensor


def embed(cfg: CfgNode, model: nn.Module, split: str) -> Clips:
    """Embed each clip of a split cropped in the middle, and cropped at a place of its own.

    Args:
        cfg: Of the run.
        model: An EmbeddingModel.
        split: "gallery" or "test".

    Returns:
        The clips; places follow from SEED alone.
    """
    side, cfg = cfg.DATA.TEST_CROP_SIZE, cfg.clone()
    cfg.merge_from_list(["DATA.TEST_CROP_SIZE", cfg.DATA.DECODING_SHORT_SIZE])
    cfg.merge_from_list(["TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1])
    loader, prepare = construct_eval_loader(cfg, split), build_preprocess(cfg, train=False)
    manifest = loader.manifest
    margin = cfg.DATA.DECODING_SHORT_SIZE - side
    rng = np.random.default_rng(SEED)
    model.eval()
    parts: list[tuple[Tensor, ...]] = []
    for batch in loader:
        color = batch["video"].double().mean(dim=(1, 2, 3, 4))  # (B, V, T, H, W, 3) -> (B, 3)
        look = torch.stack([color[:, 0] - color[:, 2], color.mean(dim=1)], dim=1)
        place = torch.from_numpy(rng.integers(0, margin + 1, (len(color), 2)))
        middle = torch.full_like(place, margin // 2)
        video = prepare(batch)["video"]  # (B, 1, 3, T, H, W)
        with torch.no_grad():
            features = [
                model.embed({"video": _crop(video, corners, side)})["video"][:, 0].double()
                for corners in (middle, place)
            ]
        parts.append((batch["index"], batch["label"], look, place.double(), *features))
    index, *values = (torch.cat(column) for column in zip(*parts, strict=True))
    return Clips([Path(manifest.path(i)).stem for i in index.tolist()], *values)


def _crop(video: Tensor, corners: Tensor, side: int) -> Tensor:
    """Crop each clip of (B, V, 3, T, H, W) at its own column and row (B, 2)."""
    return torch.stack(
        [
            clip[..., row : row + side, column : column + side]
            for clip, (column, row) in zip(video, corners.tolist(), strict=True)
        ]
    )


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return F.normalize(one, dim=1) @ F.normalize(other, dim=1).T


if __name__ == "__main__":
    sys.exit(main())
