"""Base classes of map-style datasets over the rows of a manifest.

A row may have several samples: a training file may be sampled several times per epoch, and the
views of a test file are split into chunks.
"""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from slowfast.datasets.annotations.manifest import Manifest
from slowfast.utils.multigrid import ClipShape

__all__ = ["EvalDataset", "ManifestDataset", "TrainDataset"]


class ManifestDataset(Dataset[Any]):
    """Samples of the rows of a manifest.

    Args:
        manifest: The files.
        seed: RNG_SEED.
        samples_per_row: Number of samples of each row.

    Attributes:
        label_width: 0 for one class per row; the number of classes of a multi-hot label, see
            ``labels.label_width``.
        variants: The same samples with clips of other shapes, for multigrid training.
    """

    def __init__(self, manifest: Manifest, seed: int, samples_per_row: int) -> None:
        self.manifest, self.seed, self._samples_per_row = manifest, seed, samples_per_row
        self.label_width = 0
        self.variants: dict[ClipShape, ManifestDataset] = {}

    def __len__(self) -> int:
        return len(self.manifest) * self._samples_per_row

    def row(self, index: int) -> int:
        """Return the row of the manifest that a sample belongs to."""
        raise NotImplementedError

    def path(self, index: int) -> str:
        """Return the name of a sample's file for messages."""
        return self.manifest.row(self.row(index)).name


class TrainDataset(ManifestDataset):
    """Training samples: ``clips_per_video`` per row. Sample i belongs to row i modulo their number.

    Args:
        manifest: The files.
        seed: RNG_SEED.
        clips_per_video: DATA.TRAIN_CLIPS_PER_VIDEO.
    """

    def __init__(self, manifest: Manifest, seed: int, clips_per_video: int = 1) -> None:
        super().__init__(manifest, seed, clips_per_video)

    def row(self, index: int) -> int:
        """Return the row of the manifest that a sample belongs to."""
        return index % len(self.manifest)


class EvalDataset(ManifestDataset):
    """Evaluation samples: the views of each row are split into ``chunks_per_video`` samples.

    Args:
        manifest: The files.
        seed: RNG_SEED.
        num_clips: Clips per row.
        views_per_clip: Spatial crops of a clip.
        views_per_chunk: Largest number of views in a sample; a sample has all spatial crops of at
            least one clip.
    """

    def __init__(
        self,
        manifest: Manifest,
        seed: int,
        *,
        num_clips: int,
        views_per_clip: int,
        views_per_chunk: int,
    ) -> None:
        most = max(1, views_per_chunk // views_per_clip)
        self._chunk = max(n for n in range(1, num_clips + 1) if num_clips % n == 0 and n <= most)
        self.chunks_per_video = num_clips // self._chunk
        super().__init__(manifest, seed, self.chunks_per_video)

    def row(self, index: int) -> int:
        """Return the row of the manifest that a sample belongs to."""
        return index // self.chunks_per_video

    def clips(self, index: int) -> range:
        """Return the indices of a sample's clips."""
        chunk = index % self.chunks_per_video
        return range(chunk * self._chunk, (chunk + 1) * self._chunk)
