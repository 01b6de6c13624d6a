"""Base classes of the datasets of the catalog: from a configuration to the files of a split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from slowfast.config import CfgNode
from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.annotations.match import Annotation, Locate, entries_to_manifest
from slowfast.datasets.annotations.split_files import (
    data_root,
    find_split_dir,
    media_root,
    require_split,
)
from slowfast.datasets.audio_dataset import AudioEvalDataset, AudioTrainDataset, build_audio_dataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.quarantined import leave_out_quarantined
from slowfast.datasets.video_dataset import VideoEvalDataset, VideoTrainDataset, build_video_dataset
from slowfast.datasets.views.clip_sampling import TIME_BINS

__all__ = ["CatalogDataset", "ListedDataset"]

Built = VideoTrainDataset | VideoEvalDataset | AudioTrainDataset | AudioEvalDataset


class CatalogDataset(ABC):
    """An entry of DATASET_REGISTRY: ``(cfg, split) -> Dataset``.

    Attributes:
        has_folds: Whether it reads DATA.FOLD.
        audio_only: Whether its samples have no video.
        any_files: Whether it reads files of any origin.
        sampling: Its own value for DATA.SAMPLING auto.
    """

    has_folds: ClassVar[bool] = False
    audio_only: ClassVar[bool] = False
    any_files: ClassVar[bool] = False
    sampling: ClassVar[str] = TIME_BINS

    @classmethod
    def register(cls, *names: str) -> Self:
        """Register a dataset of this class in DATASET_REGISTRY under lower-case names."""
        dataset = cls()
        DATASET_REGISTRY.register_as(
            *names,
            splits=dataset.splits,
            has_folds=cls.has_folds,
            audio_only=cls.audio_only,
            any_files=cls.any_files,
        )(dataset)
        return dataset

    def __call__(self, cfg: CfgNode, split: str) -> Built:
        """Build a split, one of ``build.SPLITS``."""
        manifest = self.manifest(cfg, split)
        manifest = leave_out_quarantined(manifest, cfg, split, audio_only=self.audio_only)
        if self.audio_only:
            return build_audio_dataset(cfg, manifest, split)
        return build_video_dataset(cfg, manifest, split, sampling=self.sampling)

    @abstractmethod
    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits that exist."""

    @abstractmethod
    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the files of a split, one of ``build.SPLITS``."""


class ListedDataset(CatalogDataset):
    """A dataset with official lists of the files of its splits.

    Attributes:
        name: Name of the dataset in messages.
        layout: Expected layout of the data folder, for messages.
        folders: See ``find_split_dir``.
        files: See ``find_split_dir``.
        split_names: Names of the splits.
        fold_case: Whether names in the lists and of the files may differ in case.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    folders: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[str, ...]]
    split_names: ClassVar[tuple[str, ...]] = ("train", "test")
    fold_case: ClassVar[bool] = False

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the official splits."""
        return set(self.split_names)

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """Find the files listed for a split; a few may be missing.

        Args:
            cfg: The configuration.
            split: One of ``build.SPLITS``.

        Returns:
            The manifest.

        Raises:
            UserError: If the split, its lists or too many of its files are missing, or a list
                cannot be read.
        """
        source = require_split(self.name, split, self.split_names)
        root = data_root(cfg, self.layout)
        folder = find_split_dir(cfg, root, self.folders, self.files)
        entries, class_names = self.read(cfg, folder, source)
        locate = self.find_frames(cfg, folder, source)
        if locate is None:
            suffixes = MEDIA_SUFFIXES if self.audio_only else VIDEO_SUFFIXES
            root = media_root(cfg, self.layout)
            locate = self.locate(MediaIndex(root, suffixes, fold_case=self.fold_case), entries)
        return entries_to_manifest(
            cfg, source, entries, locate, class_names=class_names, layout=self.layout
        )

    @abstractmethod
    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read the entries of a split, and the names of the classes, from the lists in a folder."""

    def find_frames(self, cfg: CfgNode, folder: Path, split: str) -> Locate | None:
        """Return the function that finds an entry in a frame list; None where there is no list."""
        return None

    def locate(self, index: MediaIndex, entries: Sequence[Annotation]) -> Locate:
        """Return the function that finds the file of an entry; by default by its name."""
        return index.locate
