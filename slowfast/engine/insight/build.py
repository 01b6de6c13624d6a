"""Writes ``OUTPUT_DIR/insight``: ``insight.json`` and the images that it names.

Legend: N videos, n sampled videos, C channels.
"""

from __future__ import annotations

import io
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import CfgNode
from slowfast.engine.features import FeatureTable
from slowfast.engine.insight import geometry
from slowfast.engine.insight.clips import read_clips
from slowfast.engine.insight.examples import (
    Files,
    choose_predictions,
    describe_clip,
    describe_predictions,
)
from slowfast.engine.insight.images import decode_jpeg, encode_jpeg, fit_square, sprite_sheet
from slowfast.engine.insight.neighbors import choose_queries, gallery
from slowfast.engine.insight.projection import TSNE_MOST, pca, tsne
from slowfast.engine.insight.watch import Watched
from slowfast.utils.io import write_json

__all__ = ["FOLDER", "TestedModel", "build_insight", "write_insight"]

logger = logging.getLogger(__name__)

FOLDER = "insight"
FORMAT = 1

_NEIGHBORS = 5
_SPECTRUM_ROWS, _SPECTRUM_SHOWN = 2000, 128
_SPRITE_PX, _SPRITE_QUALITY = 48, 65
_DIGITS = 5

GALLERIES = {
    "video_to_audio": ("video_embedding", "audio_embedding"),
    "audio_to_video": ("audio_embedding", "video_embedding"),
}


class TestedModel(NamedTuple):
    """A model after its test.

    Attributes:
        cfg: The configuration of the test.
        model: The model, not wrapped, on the device.
        prepare: Preprocessing of batches.
        table: Features of the test split.
        watched: What was collected meanwhile.
        name_of: Row of the manifest -> name of the file.
        class_names: Names of classes in the order of their labels; may be empty.
    """

    cfg: CfgNode
    model: nn.Module
    prepare: Callable[[Any], dict[str, Any]]
    table: FeatureTable
    watched: Watched
    name_of: Callable[[int], str]
    class_names: Sequence[str]


def write_insight(tested: TestedModel, output_dir: Path) -> Path:
    """Look into a model and write what is found, in place of an earlier test.

    Args:
        tested: The model after its test.
        output_dir: OUTPUT_DIR.

    Returns:
        ``OUTPUT_DIR/insight``.
    """
    content, files = build_insight(tested)
    folder = output_dir / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    write_json(folder / "insight.json", content)
    logger.info("insight: %s", folder)
    return folder


def build_insight(tested: TestedModel) -> tuple[dict[str, Any], Files]:
    """Look into a model.

    Args:
        tested: The model after its test.

    Returns:
        The content of ``insight.json`` (docs/insight.md), and file name -> content of the images
        that it names.
    """
    files: Files = {}
    table, watched = tested.table, tested.watched
    places = torch.searchsorted(table.index, watched.rows)
    labels = [_first_class(table, place) for place in places.tolist()]
    was_training = tested.model.training
    tested.model.eval()
    try:
        clips, predictions = _examples(tested, labels, files)
    finally:
        tested.model.train(was_training)
    content = {
        "format": FORMAT,
        "num_videos": len(table),
        "num_shown": len(watched.rows),
        "num_views": int(table.num_views.max()),
        "class_names": list(tested.class_names),
        "videos": {
            "row": watched.rows.tolist(),
            "name": [tested.name_of(row) for row in watched.rows.tolist()],
            "label": labels,
        },
        "geometry": _geometry(watched),
        "cross_modal": _cross_modal(tested),
        "galleries": _galleries(tested, places, labels, files),
        "map": _map(tested, places, files),
        "clips": clips,
        "predictions": predictions,
    }
    return content, files


def main_feature(table: FeatureTable, preferred: str) -> str:
    """Choose the features of neighbors and of the map.

    Args:
        table: Features of the test split.
        preferred: PROBE.FEATURE.

    Returns:
        The preferred ones; else pooled features, else the scores of a model that returns no others.
    """
    names = (preferred, "video", "audio", "scores")
    return next(name for name in names if name in table.features)


def _first_class(table: FeatureTable, place: int) -> int | None:
    """Return the label of a video, the first one of several; None if unknown."""
    if not table.is_labeled[place]:
        return None
    label = table.label[place]
    if table.is_multi_label:
        classes = label.nonzero().flatten()
        return int(classes[0]) if len(classes) else None
    return int(label)


def _geometry(watched: Watched) -> dict[str, dict[str, Any]]:
    """Measure alignment, uniformity and effective rank of each kind of vectors."""
    measured = {}
    for name, vectors in watched.vectors.items():
        used = vectors.num_views > 0
        first = vectors.first[used][:_SPECTRUM_ROWS]
        uniform, found = geometry.uniformity(first), geometry.spectrum(first)
        if uniform is None or found is None:
            continue
        align = geometry.view_alignment(vectors.unit_sum[used], vectors.num_views[used])
        measured[name] = {
            "videos": len(first),
            "dim": first.shape[1],
            "alignment": _round(align),
            "uniformity": _round(uniform),
            "effective_rank": _round(found.effective_rank),
            "rankme": _round(found.rankme),
            "highest_rank": found.highest,
            "singular_values": [float(f"{v:.4g}") for v in found.values[:_SPECTRUM_SHOWN].tolist()],
            "sentence": geometry.describe(found, uniform),
        }
    return measured


def _cross_modal(tested: TestedModel) -> dict[str, Any] | None:
    """Measure the joint space of a model that has one."""
    table, vectors = tested.table, tested.watched.vectors
    names = ("video_embedding", "audio_embedding")
    if "similarity" not in table.features or not set(names) <= set(vectors):
        return None
    heard = vectors["audio_embedding"].num_views > 0
    video, audio = (vectors[name].first[heard][:_SPECTRUM_ROWS] for name in names)
    uniform = geometry.cross_uniformity(video, audio)
    if uniform is None:
        return None
    cosine = table.features["similarity"][table.audio_valid].double().mean()
    centers = [F.normalize(rows.double(), dim=1).mean(dim=0) for rows in (video, audio)]
    return {
        "videos": int(table.audio_valid.sum()),
        "alignment": _round(2 - 2 * float(cosine)),
        "uniformity": _round(uniform),
        "gap": _round(float((centers[0] - centers[1]).norm())),
    }


def _galleries(
    tested: TestedModel, places: Tensor, labels: Sequence[int | None], files: Files
) -> list[dict[str, Any]]:
    """Find neighbors of some videos, and save the thumbnails of all that are shown."""
    table, count = tested.table, tested.cfg.REPORT.EXAMPLES
    if len(places) < 2:
        return []
    feature = main_feature(table, tested.cfg.PROBE.FEATURE)
    features = {name: values[places].flatten(1) for name, values in table.features.items()}
    valid = table.audio_valid[places]
    within = valid if feature == "audio" else torch.ones_like(valid)
    searches = {"nearest": (feature, feature, within)}
    searches |= {
        title: (query, key, valid)
        for title, (query, key) in GALLERIES.items()
        if query in features and key in features
    }
    found = []
    for title, (query, key, usable) in searches.items():
        keys = usable.nonzero().flatten().tolist()
        if len(keys) < 2:
            continue
        chosen = [keys[n] for n in choose_queries([labels[k] for k in keys], count)]
        examples = gallery(features[query], features[key], chosen, keys, _NEIGHBORS)
        found.append({"name": title, "query": query, "key": key, "examples": examples})
        for example in examples:
            for position in (example["query"], *example["neighbors"]):
                files[f"thumbnail_{position}.jpg"] = tested.watched.thumbnails[position]
    return found


def _map(tested: TestedModel, places: Tensor, files: Files) -> dict[str, Any] | None:
    """Compute the coordinates of the embedding map, with its sprite sheet and its vectors."""
    method = tested.cfg.REPORT.MAP
    feature = main_feature(tested.table, tested.cfg.PROBE.FEATURE)
    shown = places[:TSNE_MOST] if method == "tsne" else places
    if len(shown) < 3:
        return None
    vectors = F.normalize(tested.table.features[feature][shown].flatten(1).double(), dim=1)
    points, explained = (tsne if method == "tsne" else pca)(vectors)
    own = tested.watched.thumbnails[: len(shown)]
    thumbnails = [fit_square(decode_jpeg(data), _SPRITE_PX) for data in own]
    columns = math.ceil(math.sqrt(len(thumbnails)))
    files["map.jpg"] = encode_jpeg(sprite_sheet(thumbnails, columns), _SPRITE_QUALITY)
    buffer = io.BytesIO()
    np.savez(buffer, vectors=vectors.numpy().astype(np.float16))
    files["map.npz"] = buffer.getvalue()
    return {
        "method": method,
        "feature": feature,
        "explained": explained and [_round(share) for share in explained],
        "x": [_round(v) for v in points[:, 0].tolist()],
        "y": [_round(v) for v in points[:, 1].tolist()],
        "sheet": "map.jpg",
        "columns": columns,
        "image_px": _SPRITE_PX,
        "vectors": "map.npz",
    }


def _examples(
    tested: TestedModel, labels: Sequence[int | None], files: Files
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read some clips again: examples, and predictions with Grad-CAM."""
    cfg, table, rows = tested.cfg, tested.table, tested.watched.rows.tolist()
    count = cfg.REPORT.EXAMPLES
    chosen = [rows[position] for position in choose_queries(labels, count)]
    clips = [
        describe_clip(cfg, tested.model, clip, f"clip_{number}", files)
        for number, clip in enumerate(read_clips(cfg, tested.prepare, chosen))
    ]
    predictions = []
    if "scores" in table.features:
        wanted = choose_predictions(table, count)
        read = read_clips(cfg, tested.prepare, [prediction.row for prediction in wanted])
        predictions = describe_predictions(tested.model, read, wanted, files)
    for entry in (*clips, *predictions):
        place = int(torch.searchsorted(table.index, entry["row"]))
        entry |= {"name": tested.name_of(entry["row"]), "label": _first_class(table, place)}
    return clips, predictions


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
