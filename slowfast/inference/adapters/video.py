"""Video transformers of ``transformers``: VideoMAE, V-JEPA 2, TimeSformer, ViViT.

Legend: B batch, V views, T frames, H W height and width, N tokens, C channels, M classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from slowfast.config import UserError
from slowfast.inference.adapters.contract import AdaptedModel, ModelFolder
from slowfast.inference.adapters.processor import FrameTransform, Normalization, read_transform
from slowfast.inference.adapters.weights import load_model

__all__ = [
    "VideoEncoder",
    "frame_settings",
    "pixels_of",
    "timesformer",
    "video_settings",
    "videomae",
    "vivit",
    "vjepa2",
]

_CLASSIFIER = "ForVideoClassification"
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


class VideoEncoder(nn.Module):
    """A video transformer, with the features that its classifier reads, or would read.

    Args:
        tokens: From pixels, float (N, T, 3, H, W), to tokens, float (N, L, C).
        pool: From tokens to features, float (N, C).
        classifier: From features to logits, float (N, M); None: no classifier.
    """

    def __init__(
        self,
        tokens: nn.Module,
        pool: nn.Module,
        classifier: nn.Module | None = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.tokens, self.pool, self.classifier = tokens, pool, classifier
        self._options = dict(options or {})

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed a batch: ``video`` (B, V, C) and, with a classifier, ``logits`` (B, V, M)."""
        pixels = pixels_of(batch["video"])
        outputs = self.tokens(pixels, **self._options)
        features = self.pool(outputs.last_hidden_state)  # (B * V, C)
        views = batch["video"].shape[:2]
        embedded = {"video": features.unflatten(0, views)}
        if self.classifier is not None:
            embedded["logits"] = self.classifier(features).unflatten(0, views)
        return embedded


def pixels_of(video: Tensor) -> Tensor:
    """Reorder (B, V, 3, T, H, W) to the layout of ``transformers``: (B * V, T, 3, H, W)."""
    return video.flatten(0, 1).transpose(1, 2).contiguous()


class _Mean(nn.Module):
    """The mean of all tokens, normalized where the classifier does."""

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, tokens: Tensor) -> Tensor:
        pooled: Tensor = self.norm(tokens.mean(dim=1))
        return pooled


class _First(nn.Module):
    """The first token."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


def frame_settings(frames: int, rate: int, fps: int, clips: int) -> dict[str, Any]:
    """Return the settings of clips.

    Args:
        frames: Frames of a clip.
        rate: Distance between two of them, in frames at ``fps``.
        fps: Frame rate that the distance refers to, in Hz.
        clips: Clips of a video.

    Returns:
        Keys of the configuration -> values.
    """
    return {
        "DATA.NUM_FRAMES": frames,
        "DATA.SAMPLING_RATE": rate,
        "DATA.TARGET_FPS": fps,
        "DATA.SAMPLING": "time_bins",
        "TEST.NUM_ENSEMBLE_VIEWS": clips,
    }


def video_settings(transform: FrameTransform, normalization: Normalization) -> dict[str, Any]:
    """Return the settings of frames.

    Frames are decoded at up to twice the size that the transform needs.
    """
    short = min(transform.size) if transform.size else transform.short_side
    size = min(transform.output_size)
    return {
        "DATA.MEAN": list(normalization.mean),
        "DATA.STD": list(normalization.std),
        "DATA.TRAIN_JITTER_SCALES": [short or size, short or size],
        "DATA.TRAIN_CROP_SIZE": size,
        "DATA.TEST_CROP_SIZE": size,
        "DATA.DECODING_SHORT_SIZE": 2 * max(short or size, size),
        "TEST.NUM_SPATIAL_CROPS": 1,
    }


def _center_crop(folder: ModelFolder, ratio: float) -> dict[str, Any]:
    """Return the crop of the library's processor, ``ratio`` times smaller than the short side."""
    size = int(folder.config.get("image_size", 224))
    return {
        "size": {"shortest_edge": int(size * ratio)},
        "crop_size": size,
        "do_center_crop": True,
    }


def _check_size(transform: FrameTransform, folder: ModelFolder) -> None:
    """Raise if the frames of the processor do not fit the position embeddings."""
    size = int(folder.config.get("image_size", 224))
    if transform.output_size != (size, size):
        raise UserError(
            f"{folder.name}: its preprocessor makes frames of {transform.output_size}, but "
            f"config.json has the image_size {size}. Download the folder again."
        )


def _adapt(
    folder: ModelFolder,
    *,
    prefix: str,
    base: str,
    build: Callable[[nn.Module, bool], VideoEncoder],
    defaults: Mapping[str, Any],
    frames: Mapping[str, Any],
    fixed: tuple[str, ...] = (),
    derived: Mapping[str, Any] = {},
) -> AdaptedModel:
    """Load a video transformer, with its classifier if the folder has one."""
    settings = {**folder.processor("video_processor"), **derived}
    transform, normalization = read_transform(settings, defaults, folder.name)
    if fixed:
        _check_size(transform, folder)
    is_classifier = folder.architecture.endswith(_CLASSIFIER)
    model: Any = load_model(f"{prefix}{_CLASSIFIER}" if is_classifier else base, folder)
    settings = {**frames, **video_settings(transform, normalization)}
    names: tuple[str, ...] = ()
    if is_classifier:
        labels = model.config.id2label
        names = tuple(str(labels[number]) for number in range(model.classifier.out_features))
        settings["MODEL.NUM_CLASSES"] = model.classifier.out_features
        is_multi = folder.config.get("problem_type") == "multi_label_classification"
        settings["MODEL.HEAD_ACT"] = "sigmoid" if is_multi else "softmax"
    return AdaptedModel(build(model, is_classifier), settings, transform, names, fixed=fixed)


def videomae(folder: ModelFolder) -> AdaptedModel:
    """VideoMAE: 16 frames, every fourth at 30 Hz; the mean of all tokens."""

    def build(model: Any, is_classifier: bool) -> VideoEncoder:
        if not is_classifier:
            return VideoEncoder(model, _Mean())
        pool = _First() if model.fc_norm is None else _Mean(model.fc_norm)
        return VideoEncoder(model.videomae, pool, model.classifier)

    return _adapt(
        folder,
        prefix="VideoMAE",
        base="VideoMAEModel",
        build=build,
        defaults={**_HALF, **_center_crop(folder, 1.0)},
        frames=frame_settings(int(folder.config.get("num_frames", 16)), 4, 30, 5),
        fixed=("DATA.NUM_FRAMES",),
    )


def timesformer(folder: ModelFolder) -> AdaptedModel:
    """TimeSformer: 8 frames over 256 frames at 30 Hz; the class token."""

    def build(model: Any, is_classifier: bool) -> VideoEncoder:
        if not is_classifier:
            return VideoEncoder(model, _First())
        return VideoEncoder(model.timesformer, _First(), model.classifier)

    frames = int(folder.config.get("num_frames", 8))
    return _adapt(
        folder,
        prefix="Timesformer",
        base="TimesformerModel",
        build=build,
        defaults={**_IMAGENET, **_center_crop(folder, 1.0)},
        frames=frame_settings(frames, max(1, 256 // frames), 30, 3),
    )


def vivit(folder: ModelFolder) -> AdaptedModel:
    """ViViT: 32 frames, every second at 30 Hz; the class token."""

    def build(model: Any, is_classifier: bool) -> VideoEncoder:
        if not is_classifier:
            return VideoEncoder(model, _First())
        return VideoEncoder(model.vivit, _First(), model.classifier)

    offset = {"rescale_factor": 1 / 127.5, "offset": 1.0}
    return _adapt(
        folder,
        prefix="Vivit",
        base="VivitModel",
        build=build,
        defaults={**_HALF, **_center_crop(folder, 256 / 224), **offset},
        frames=frame_settings(int(folder.config.get("num_frames", 32)), 2, 30, 3),
        fixed=("DATA.NUM_FRAMES",),
    )


def vjepa2(folder: ModelFolder) -> AdaptedModel:
    """V-JEPA 2: frames at 4 Hz; the mean of all tokens, or a classifier's attentive pooling."""

    def build(model: Any, is_classifier: bool) -> VideoEncoder:
        options = {"skip_predictor": True}
        if not is_classifier:
            return VideoEncoder(model, _Mean(), options=options)
        return VideoEncoder(model.vjepa2, model.pooler, model.classifier, options=options)

    crop = folder.processor("video_processor").get("crop_size")
    crop = crop or folder.config.get("crop_size", 256)
    crop = int(crop["height"] if isinstance(crop, Mapping) else crop)
    return _adapt(
        folder,
        prefix="VJEPA2",
        base="VJEPA2Model",
        build=build,
        defaults={**_IMAGENET, "crop_size": crop, "do_center_crop": True},
        # The library's processor derives the short side from the crop, whatever its file says.
        derived={"size": {"shortest_edge": int(crop * 256 / 224)}},
        frames=frame_settings(int(folder.config.get("frames_per_clip", 64)), 1, 4, 1),
    )
