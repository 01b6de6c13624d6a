"""TensorBoard after a test: what the report shows, from the files of OUTPUT_DIR.

Legend: n videos, T' time steps of a feature map.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slowfast.config import CfgNode
from slowfast.utils.io import read_json
from slowfast.utils.media_libraries import cv2
from slowfast.utils.tensorboard import TensorboardWriter

__all__ = ["write_board"]

_MOST_NAMES = 60
"""Classes up to which the axes of the confusion matrix have names."""

_COLORS = ((31, 95, 168), (196, 98, 26), (26, 127, 90), (163, 51, 127), (107, 91, 210))
_AXIS_PX, _BAR_PX = 896, 8

Image = NDArray[np.uint8]


def write_board(cfg: CfgNode, results: Mapping[str, float]) -> None:
    """Write the metrics of a test and what ``OUTPUT_DIR/insight`` and the csv files hold.

    Args:
        cfg: Read: OUTPUT_DIR, TENSORBOARD.
        results: Metric name -> value.
    """
    output_dir, writer = Path(cfg.OUTPUT_DIR), TensorboardWriter(cfg)
    writer.add_scalars({f"Test/{name}": value for name, value in results.items()}, 0)
    folder = output_dir / "insight"
    content = read_json(folder / "insight.json")
    if content:
        writer.add_scalars(_scalars(content), 0)
        _add_images(writer, cfg, folder, content)
        _add_projector(writer, folder, content)
    matrix = output_dir / "confusion_matrix.csv"
    if cfg.TENSORBOARD.CONFUSION_MATRIX.ENABLE and matrix.exists():
        figure = _plot_confusion(matrix, cfg.TENSORBOARD.CONFUSION_MATRIX.FIGSIZE)
        writer.writer.add_figure("Confusion Matrix", figure, 0)
    writer.close()


def _scalars(content: dict[str, Any]) -> dict[str, float]:
    """Return alignment, uniformity and ranks of each kind of vectors."""
    names = ("alignment", "uniformity", "effective_rank", "rankme", "gap")
    measured = {**content["geometry"], "cross_modal": content["cross_modal"] or {}}
    return {
        f"Insight/{kind}/{name}": values[name]
        for kind, values in measured.items()
        for name in names
        if values.get(name) is not None
    }


def _add_images(
    writer: TensorboardWriter, cfg: CfgNode, folder: Path, content: dict[str, Any]
) -> None:
    """Add example clips and Grad-CAM, as TENSORBOARD.MODEL_VIS selects."""
    keys = cfg.TENSORBOARD.MODEL_VIS
    if not keys.ENABLE:
        return
    if keys.INPUT_VIDEO:
        for number, clip in enumerate(content["clips"]):
            image = _clip_image(folder, clip)
            if image is not None:
                writer.writer.add_image(f"Example clips/{number}", image, 0, dataformats="HWC")
    if keys.GRAD_CAM.ENABLE:
        names = content["class_names"]
        for number, entry in enumerate(content["predictions"]):
            kind = {True: "right", False: "wrong", None: "unlabeled"}[entry["is_right"]]
            label = entry["predicted"]
            name = names[label] if label < len(names) else str(label)
            files = [folder / entry[key] for key in ("frames", "heat") if entry[key]]
            image = np.concatenate([_read(file) for file in files])
            tag = f"Grad-CAM/{kind} {number}: {name}"
            writer.writer.add_image(tag, image, 0, dataformats="HWC")


def _add_projector(writer: TensorboardWriter, folder: Path, content: dict[str, Any]) -> None:
    """Add the vectors of the embedding map with names, labels and thumbnails."""
    found = content["map"]
    if found is None:
        return
    with np.load(folder / found["vectors"]) as arrays:
        vectors = arrays["vectors"].astype(np.float32)
    sheet, side = _read(folder / found["sheet"]), found["image_px"]
    tiles = sheet.reshape(-1, side, sheet.shape[1] // side, side, 3).swapaxes(1, 2)
    thumbnails = tiles.reshape(-1, side, side, 3)[: len(vectors)]
    names, videos = content["class_names"], content["videos"]
    labels = [
        "" if label is None else names[label] if label < len(names) else str(label)
        for label in videos["label"][: len(vectors)]
    ]
    # Names of files may hold line breaks and tabs, which separate rows and columns there.
    rows = [
        [" ".join(text.split()) for text in pair]
        for pair in zip(videos["name"], labels, strict=False)
    ]
    writer.writer.add_embedding(
        vectors,
        metadata=rows[: len(vectors)],
        metadata_header=["name", "label"],
        label_img=_as_tensor(thumbnails),
        tag=found["feature"],
        global_step=0,
    )


def _as_tensor(images: Image) -> Any:
    """Convert uint8 (n, H, W, 3) to float (n, 3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def _clip_image(folder: Path, clip: dict[str, Any]) -> Image | None:
    """Compose the image of an example clip: frames with crops, spectrogram, attention."""
    seconds = max(clip["video_sec"] or 0.0, clip["audio_sec"]) or 1.0
    parts = []
    if clip["frames"]:
        width = round(_AXIS_PX * (clip["video_sec"] or seconds) / seconds)
        strip = _read(folder / clip["frames"])
        height, length = strip.shape[:2]
        frames = length // height if length >= height else 1
        strip = _with_boxes(strip, clip["regions"], frames)
        strip = np.asarray(cv2.resize(strip, (width, max(1, height * width // length))), np.uint8)
        parts.append(strip)
        parts += [_time_bar(region, width, n) for n, region in enumerate(clip["regions"])]
        for row in clip["attention"] or []:
            parts.append(_attention_bar(row, width))
    if clip["log_mel"]:
        width = round(_AXIS_PX * clip["audio_sec"] / seconds)
        image = _read(folder / clip["log_mel"])
        parts.append(np.asarray(cv2.resize(image, (width, image.shape[0])), np.uint8))
    if not parts:
        return None
    widest = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 2), (0, widest - part.shape[1]), (0, 0))) for part in parts]
    )


def _with_boxes(strip: Image, regions: list[dict[str, Any]], frames: int) -> Image:
    """Add the boxes of the regions in space to each frame that they include."""
    image = strip.copy()
    height, width = image.shape[0], image.shape[1] / frames
    for number, region in enumerate(regions):
        (start, end), (top, bottom), (left, right) = region["extent"]
        if (top, bottom, left, right) == (0, 1, 0, 1):
            continue
        for frame in range(frames):
            if start <= (frame + 0.5) / frames < end:
                first = (round((frame + left) * width), round(top * height))
                last = (round((frame + right) * width) - 1, round(bottom * height) - 1)
                cv2.rectangle(image, first, last, _COLORS[number % len(_COLORS)], 1)
    return image


def _time_bar(region: dict[str, Any], width: int, number: int) -> Image:
    """Return a bar for a region that has a part of the time only, else nothing."""
    start, end = region["extent"][0]
    is_part = (start, end) != (0, 1)
    bar = np.full((_BAR_PX if is_part else 0, width, 3), 40, np.uint8)
    bar[:, round(start * width) : round(end * width)] = _COLORS[number % len(_COLORS)]
    return bar


def _attention_bar(weights: list[float], width: int) -> Image:
    """Return the weights of T' steps of one head as a gray bar, white at the largest."""
    row = np.asarray(weights) / max(max(weights), 1e-12)
    steps = np.asarray(255 * row, np.uint8)[None, :, None].repeat(3, axis=2)
    return np.asarray(
        cv2.resize(steps, (width, _BAR_PX), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _read(file: Path) -> Image:
    """Read an image that the run wrote: uint8 RGB (H, W, 3)."""
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file} is no image.")
    return np.asarray(image[..., ::-1], np.uint8)


def _plot_confusion(file: Path, size: list[float]) -> Any:
    """Plot the confusion matrix; colors are fractions of the videos of a class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        header, *rows = csv.reader(text)
    counts = np.array([row[1:] for row in rows], dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(size[0], size[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.imshow(counts / np.maximum(totals, 1), vmin=0, vmax=1, cmap="Blues")
    axis.set_xlabel("predicted")
    axis.set_ylabel("label")
    if len(counts) <= _MOST_NAMES:
        names = [name.encode("utf-8", "replace").decode() for name in header[1:]]
        names = [name.replace("$", r"\$") for name in names]  # no formulas
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
    return figure
