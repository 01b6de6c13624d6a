"""The content of a training sample: the clips of a video and the views of each clip.

DATA.TRAIN_VIEWS is the name of an entry of VIEW_REGISTRY, a function of cfg that returns
``SampleViews``. A method that needs other views registers its own entry
(docs/adding_a_method.md).

Legend: B batch, C clips, V views of a field, A audio views, T frames, S side, N audio samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slowfast.config import CfgNode, ConfigValueError, ParameterError, keys
from slowfast.datasets.views.sampling import random_clip_start
from slowfast.datasets.views.transform import TrainTransform, build_train_transform
from slowfast.utils.random import STREAM_CLIP, STREAM_TIME, STREAM_VIEW, sample_rng
from slowfast.utils.registry import Registry

__all__ = [
    "VIEW_REGISTRY",
    "Reverse",
    "SampleViews",
    "TemporalTransform",
    "ViewSpec",
    "build_views",
    "sample_shapes",
]

VIEW_REGISTRY = Registry("views", "DATA.TRAIN_VIEWS")
VIEW_REGISTRY.__doc__ = """
``(cfg) -> SampleViews``: the clips of a training sample and the views of each. Build transforms
with ``transform.build_train_transform(cfg)`` or ``TrainTransform(...)``.
"""

AUDIO = "audio"
_TRIES = 100
_MOST_VIEWS = 1000


class TemporalTransform(Protocol):
    """A temporal augmentation; the same object is applied to frames and waveforms."""

    def __call__(
        self, clip: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Transform a clip along its first axis.

        Args:
            clip: uint8 (T, H, W, 3) frames, or float32 (N,) waveform.
            rng: The clip's random generator. All views of a clip get it in the same state, so that
                video and audio of a clip are transformed alike.

        Returns:
            The clip, of the same shape, and labels by name: the label ``reversed`` of a view of
            the field ``video`` becomes an element of ``batch["video_reversed"]``.
        """


@dataclass(frozen=True)
class Reverse:
    """Reverses a clip in time; its label is ``<field>_reversed``, bool.

    Attributes:
        prob: Probability that a clip is reversed.
    """

    prob: float = 1.0

    def __call__(
        self, clip: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Transform a clip; see TemporalTransform."""
        is_reversed = bool(rng.random() < self.prob)
        return clip[::-1] if is_reversed else clip, {"reversed": is_reversed}


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """One view of a clip.

    Attributes:
        field: Entry of the batch that the view belongs to: ``video``, ``video_...`` or ``audio``.
            All views of a field have the same size; crops of another size need another field.
        clip: Index of the clip, from 0.
        transform: Crops and augments the frames; None for audio.
        num_frames: Number of frames, at a random position in the clip; 0: all frames of the clip.
        shift_sec: Range of the view's offset relative to its clip, in seconds, sampled uniformly.
            The batch has the start times: ``clip_start_sec`` of ``video``, ``<field>_start_sec``
            of other fields.
        temporal: Temporal augmentation; None: none.
    """

    field: str = "video"
    clip: int = 0
    transform: TrainTransform | None = None
    num_frames: int = 0
    shift_sec: tuple[float, float] = (0.0, 0.0)
    temporal: TemporalTransform | None = None

    @property
    def is_audio(self) -> bool:
        """Whether the view is a waveform."""
        return self.field == AUDIO


@dataclass(frozen=True)
class SampleViews:
    """The views of a training sample.

    Attributes:
        views: The views, in the order in which they are stacked in their fields.
        distance_sec: [lowest, highest] distance between the starts of any two clips, in seconds. If
            a video is too short for the lowest distance, its clips are as far apart as possible;
            if three or more clips cannot satisfy both bounds, the highest one holds.

    Raises:
        ValueError: If the views are inconsistent.
    """

    views: Sequence[ViewSpec]
    distance_sec: Sequence[float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        if len(self.distance_sec) != 2 or not 0 <= self.distance_sec[0] <= self.distance_sec[1]:
            raise ParameterError(
                "distance_sec",
                f"got {self.distance_sec}; expected [lowest, highest] in seconds, 0 <= lowest <= "
                "highest.",
            )
        if sorted({view.clip for view in self.views}) != list(range(self.num_clips)):
            raise ValueError(
                f"views: got the clips {[view.clip for view in self.views]}; expected consecutive "
                "indices from 0."
            )
        if "video" not in self.fields:
            raise ValueError(f"views: got the fields {list(self.fields)}; expected video, too.")
        for name, views in self.fields.items():
            self._check_field(name, views)

    @property
    def num_clips(self) -> int:
        """Number of clips, C."""
        return 1 + max((view.clip for view in self.views), default=0)

    @functools.cached_property
    def fields(self) -> dict[str, list[tuple[int, ViewSpec]]]:
        """The views of each field, each with its index in ``views``."""
        found: dict[str, list[tuple[int, ViewSpec]]] = {}
        for number, view in enumerate(self.views):
            found.setdefault(view.field, []).append((number, view))
        return found

    @property
    def has_audio(self) -> bool:
        """Whether a view is audio."""
        return any(view.is_audio for view in self.views)

    def shapes(self, num_frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the fields of a sample.

        Args:
            num_frames: T of a clip.

        Returns:
            (V, T, S) for fields of frames, (A,) for audio, (V,) for labels of temporal transforms.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for name, numbered in self.fields.items():
            first = numbered[0][1]
            size = (
                ()
                if first.transform is None
                else (first.num_frames or num_frames, first.transform.size)
            )
            shapes[name] = (len(numbered), *size)
            labels = [apply_temporal(view, np.zeros(1), (0, 0, 0))[1] for _, view in numbered]
            shapes |= {key: values.shape for key, values in stack_labels(name, labels).items()}
        return shapes

    def clip_starts(
        self, extent: tuple[float, float], clip_sec: float, key: tuple[int, int, int]
    ) -> list[float]:
        """Sample the starts of the clips, uniformly over all starts inside the video.

        Args:
            extent: Start and end of the video, in seconds.
            clip_sec: Length of a clip, in seconds.
            key: (seed, epoch, index) of the sample.

        Returns:
            C starts, in seconds, in random order.
        """
        shifts = [shift for view in self.views for shift in view.shift_sec]
        first, last = extent[0] - min(0.0, *shifts), extent[1] - max(0.0, *shifts)
        rngs = [sample_rng(*key, STREAM_CLIP + clip) for clip in range(self.num_clips)]
        for _ in range(_TRIES):
            starts = [random_clip_start(first, last, clip_sec, rng) for rng in rngs]
            if self._are_apart(starts):
                return starts
        return self._spread(first, last - clip_sec, rngs[0])

    def view_start(self, number: int, clip_start: float, rng: np.random.Generator) -> float:
        """Sample the start of a view; no random number is used if its offset is fixed.

        Args:
            number: Index of the view.
            clip_start: Start of its clip, in seconds.
            rng: The view's random generator.

        Returns:
            The start, in seconds.
        """
        low, high = self.views[number].shift_sec
        return clip_start + (rng.uniform(low, high) if low < high else low)

    def _are_apart(self, starts: Sequence[float]) -> bool:
        low, high = self.distance_sec
        return all(
            low <= abs(one - other) <= high
            for place, one in enumerate(starts)
            for other in starts[:place]
        )

    def _spread(self, first: float, last: float, rng: np.random.Generator) -> list[float]:
        """Space clips evenly, as far apart as required and possible, in random order."""
        room, gaps = max(0.0, last - first), max(1, self.num_clips - 1)
        step = min(self.distance_sec[0], self.distance_sec[1] / gaps, room / gaps)
        begin = first + rng.random() * (room - step * (self.num_clips - 1))
        return [begin + step * int(place) for place in rng.permutation(self.num_clips)]

    def _check_field(self, name: str, views: list[tuple[int, ViewSpec]]) -> None:
        shifts = [view.shift_sec for _, view in views if view.shift_sec[0] > view.shift_sec[1]]
        if shifts:
            raise ValueError(f"shift_sec: got {shifts[0]}; expected (lowest, highest), in seconds.")
        if name == AUDIO:
            wrong = [view for _, view in views if view.transform or view.num_frames]
            if wrong:
                raise ValueError(
                    f"views: {wrong[0]} is audio; transform and num_frames are for video only."
                )
            return
        if name != "video" and not name.startswith("video_"):
            raise ValueError(f"field: got {name!r}; expected video, video_... or audio.")
        sizes = {(view.transform and view.transform.size, view.num_frames) for _, view in views}
        if len(sizes) != 1 or any(view.transform is None for _, view in views):
            raise ValueError(
                f"views of {name}: got (size, num_frames) {sorted(map(str, sizes))}; expected a "
                "transform, and the same size and number of frames for all views. Put other views "
                "into another field."
            )


def view_rng(key: tuple[int, int, int], number: int) -> np.random.Generator:
    """Return the random generator of a view.

    Args:
        key: (seed, epoch, index) of the sample.
        number: Index of the view.

    Returns:
        A generator.
    """
    return sample_rng(*key, STREAM_VIEW + number)


def apply_temporal(
    view: ViewSpec, clip: NDArray[Any], key: tuple[int, int, int]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Apply a view's temporal transform.

    Args:
        view: The view.
        clip: (T, ...), frames or waveform.
        key: (seed, epoch, index) of the sample.

    Returns:
        The clip, and labels by name.
    """
    if view.temporal is None:
        return clip, {}
    return view.temporal(clip, sample_rng(*key, STREAM_TIME + view.clip))


def stack_labels(field: str, labels: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Stack the labels that temporal transforms returned for the views of a field.

    Args:
        field: The field of the views.
        labels: The labels of each view, by name; missing ones count as zero.

    Returns:
        Arrays (V,) named ``<field>_<name>``.
    """
    names = sorted({name for of_view in labels for name in of_view})
    zero = {
        name: type(next(of_view[name] for of_view in labels if name in of_view))() for name in names
    }
    return {
        f"{field}_{name}": np.array([of_view.get(name, zero[name]) for of_view in labels])
        for name in names
    }


@VIEW_REGISTRY.register()
def clips(cfg: CfgNode) -> SampleViews:
    """Random clips with independently augmented views, and the audio of each clip.

    V = DATA.TRAIN_CROP_NUM_TEMPORAL x DATA.TRAIN_CROP_NUM_SPATIAL, where the views of a clip are
    consecutive; A = DATA.TRAIN_CROP_NUM_TEMPORAL.

    Args:
        cfg: The configuration.

    Returns:
        The views.
    """
    transform, data = build_train_transform(cfg), cfg.DATA
    numbers = range(data.TRAIN_CROP_NUM_TEMPORAL)
    views = [
        ViewSpec(clip=clip, transform=transform)
        for clip in numbers
        for _ in range(data.TRAIN_CROP_NUM_SPATIAL)
    ]
    if cfg.AUDIO.ENABLE:
        views += [ViewSpec(field=AUDIO, clip=clip) for clip in numbers]
    with keys(distance_sec="DATA.TRAIN_CLIP_DISTANCE_SEC"):
        return SampleViews(views, data.TRAIN_CLIP_DISTANCE_SEC or (0.0, math.inf))


def build_views(cfg: CfgNode) -> SampleViews:
    """Build the views of training samples.

    Args:
        cfg: The configuration.

    Returns:
        The views that DATA.TRAIN_VIEWS selects.

    Raises:
        KeyError: If the name is not registered.
        ValueError: If a setting is out of range.
    """
    for name in ("TRAIN_CROP_NUM_TEMPORAL", "TRAIN_CROP_NUM_SPATIAL"):
        if cfg.DATA[name] > _MOST_VIEWS:
            message = f"got {cfg.DATA[name]}, expected 1 to {_MOST_VIEWS}."
            raise ConfigValueError(f"DATA.{name}", message)
    return VIEW_REGISTRY.get(cfg.DATA.TRAIN_VIEWS)(cfg)


def sample_shapes(cfg: CfgNode) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the fields of a training sample.

    Args:
        cfg: The configuration.

    Returns:
        See ``SampleViews.shapes``; None if the views cannot be built, which the checks report.
    """
    try:
        return build_views(cfg).shapes(cfg.DATA.NUM_FRAMES)
    except (KeyError, ValueError):
        return None
