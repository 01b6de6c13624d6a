"""What a frozen model returns: vectors of videos and their clips, and predicted classes.

Legend: N videos, C channels of pooled features, D embedding in the joint space, M classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from slowfast.config import UserError
from slowfast.datasets.bad_media import BadMedia

__all__ = [
    "FEATURES",
    "ClipEmbedding",
    "Embeddings",
    "Prediction",
    "VideoEmbedding",
    "best_classes",
]

Vector = NDArray[np.float32]

FEATURES = ("video", "audio", "video_embedding", "audio_embedding", "scores", "similarity")
"""Names of features, as in ``engine.features.FeatureTable``."""


class _Features:
    """Reads features by name as attributes, of one clip or video, or of N videos.

    Attributes:
        features: Name -> float32 (C,), or (N, C). Features of audio are missing where there is no
            audio.
    """

    features: Mapping[str, Vector]

    @property
    def video(self) -> Vector | None:
        """Pooled features of the video: float32 (C,) or (N, C)."""
        return self.features.get("video")

    @property
    def audio(self) -> Vector | None:
        """Pooled features of the audio: float32 (C,) or (N, C); None without audio."""
        return self.features.get("audio")

    @property
    def video_embedding(self) -> Vector | None:
        """Video in the space of the pretraining, L2-normalized: float32 (D,) or (N, D)."""
        return self.features.get("video_embedding")

    @property
    def audio_embedding(self) -> Vector | None:
        """Audio in the same space, L2-normalized: float32 (D,) or (N, D); None without audio."""
        return self.features.get("audio_embedding")

    @property
    def scores(self) -> Vector | None:
        """Scores of a classifier: float32 (M,) or (N, M); None for other models."""
        return self.features.get("scores")

    def _shapes(self) -> str:
        return ", ".join(f"{name} {value.shape}" for name, value in self.features.items())


@dataclass(frozen=True, repr=False)
class ClipEmbedding(_Features):
    """Vectors of one clip of a video, averaged over its spatial crops.

    Attributes:
        start_sec: Start of the clip, in seconds of presentation time.
        end_sec: End of the clip, at most that of the file.
    """

    features: Mapping[str, Vector]
    start_sec: float = 0.0
    end_sec: float = 0.0

    def __repr__(self) -> str:
        return f"ClipEmbedding({self.start_sec:.2f} to {self.end_sec:.2f} s: {self._shapes()})"


@dataclass(frozen=True, repr=False)
class VideoEmbedding(_Features):
    """Vectors of a video, averaged over its clips as in an evaluation.

    Attributes:
        path: The file; empty for frames in memory.
        label: Name of its class, "" if unknown.
        clips: Its clips, in temporal order.
        window: Start and end of the part of the file that a csv names, in seconds; None: all of it.
    """

    features: Mapping[str, Vector]
    path: str = ""
    label: str = ""
    clips: list[ClipEmbedding] = field(default_factory=list)
    window: tuple[float, float] | None = None

    def __repr__(self) -> str:
        return f"VideoEmbedding({self.path!r}, {len(self.clips)} clips: {self._shapes()})"


class Embeddings(_Features, Sequence[VideoEmbedding]):
    """Vectors of several videos: a sequence of ``VideoEmbedding``, with arrays of all of them.

    Args:
        videos: The videos, in the order of their paths.
        bad: Files that could not be decoded.

    Attributes:
        features: Name -> float32 (N, C), zeros in rows of videos without audio; see ``has_audio``.
        bad: As given.
    """

    def __init__(self, videos: Sequence[VideoEmbedding], bad: Sequence[BadMedia] = ()) -> None:
        self._videos, self.bad = list(videos), list(bad)
        names = [n for n in FEATURES if any(n in video.features for video in self._videos)]
        self.features = {name: self._stack(name) for name in names}

    @overload
    def __getitem__(self, index: int) -> VideoEmbedding: ...

    @overload
    def __getitem__(self, index: slice) -> Embeddings: ...

    def __getitem__(self, index: int | slice) -> VideoEmbedding | Embeddings:
        if isinstance(index, slice):
            return Embeddings(self._videos[index], self.bad)
        return self._videos[index]

    def __len__(self) -> int:
        return len(self._videos)

    def __iter__(self) -> Iterator[VideoEmbedding]:
        return iter(self._videos)

    def __repr__(self) -> str:
        return f"Embeddings({len(self)} videos, {len(self.bad)} bad files: {self._shapes()})"

    @property
    def paths(self) -> list[str]:
        """The file of each video."""
        return [video.path for video in self._videos]

    @property
    def labels(self) -> list[str]:
        """Name of the class of each video, "" if unknown."""
        return [video.label for video in self._videos]

    @property
    def has_audio(self) -> NDArray[np.bool_]:
        """Which videos have features of audio: bool (N,)."""
        return np.array(
            [any(name.startswith("audio") for name in video.features) for video in self._videos],
            bool,
        )

    def _stack(self, name: str) -> Vector:
        known = next(v.features[name] for v in self._videos if name in v.features)
        return np.stack([v.features.get(name, np.zeros_like(known)) for v in self._videos])


class Prediction(NamedTuple):
    """Predicted classes of a video, or of a window of it.

    Attributes:
        path: The file; empty for frames in memory.
        classes: Name and score of the best classes, the highest score first.
        start_sec: Start of the window; of the first clip for the video as a whole.
        end_sec: End of the window.
        windows: Predictions of each window, with ``every_sec``.
    """

    path: str
    classes: list[tuple[str, float]]
    start_sec: float = 0.0
    end_sec: float = 0.0
    windows: tuple[Prediction, ...] = ()

    @property
    def label(self) -> str:
        """Name of the best class, "" if no score reaches the threshold."""
        return self.classes[0][0] if self.classes else ""

    @classmethod
    def of(
        cls,
        video: VideoEmbedding,
        best: Callable[[Vector], list[tuple[str, float]]],
        *,
        windows: bool = False,
    ) -> Prediction:
        """Predict the classes of a video from its scores.

        Args:
            video: With scores.
            best: Names the best classes of float32 (M,), such as ``best_classes``.
            windows: Also of each of its clips.

        Returns:
            The prediction.

        Raises:
            UserError: If the video has no scores.
        """
        if video.scores is None:
            raise UserError(f"{video.path} has no audio, so its classes cannot be predicted.")
        start = video.clips[0].start_sec if video.clips else 0.0
        end = video.clips[-1].end_sec if video.clips else 0.0
        parts = tuple(
            cls(video.path, best(clip.scores), clip.start_sec, clip.end_sec)
            for clip in (video.clips if windows else [])
            if clip.scores is not None
        )
        return cls(video.path, best(video.scores), start, end, parts)


def best_classes(
    scores: Vector, *, names: Sequence[str], top_k: int, threshold: float | None = None
) -> list[tuple[str, float]]:
    """Name the classes with the highest scores.

    Args:
        scores: float32 (M,).
        names: Names of the classes; a class without one is named by its number.
        top_k: Largest number of classes.
        threshold: Lowest score of a class; None: any.

    Returns:
        Name and score of each, the highest score first.
    """
    lowest = -np.inf if threshold is None else threshold
    return [
        (names[i] if i < len(names) else str(i), float(scores[i]))
        for i in (-scores).argsort(kind="stable")[:top_k].tolist()
        if scores[i] >= lowest
    ]
