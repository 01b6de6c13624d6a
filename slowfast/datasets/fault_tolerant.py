"""A dataset wrapper that replaces bad files and makes hanging files detectable.

Each worker records in shared memory which sample it is decoding and since when. The main process
reads this table to find a file that hangs or that killed its worker, and adds its row to a shared
quarantine list. All samples of a file in quarantine are skipped.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset, get_worker_info

from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.sampler import Key
from slowfast.utils.random import STREAM_REPLACEMENT, sample_rng

__all__ = ["FaultTolerantDataset", "Heartbeat", "SampleOrError"]

_MIN_REPLACEMENTS = 10

_UNLUCKY = 1e-9
"""Accepted probability that all replacements are bad although MAX_BAD_FRACTION is respected."""


class SampleOrError(NamedTuple):
    """A sample, or the reason why it could not be loaded.

    Attributes:
        sample: The sample or, with AUG.NUM_SAMPLE, the samples of a video; None if a bad file is
            skipped.
        bad: Bad files found while loading the sample.
        fatal: Error message if the run has to stop, else "". It is not an exception, because
            exceptions of workers reach the main process with their traceback in the message.
    """

    sample: dict[str, Any] | list[dict[str, Any]] | None
    bad: list[BadMedia]
    fatal: str = ""


class Heartbeat:
    """A table in shared memory of the sample that each worker is decoding."""

    def __init__(self, num_workers: int) -> None:
        self._table = torch.full((num_workers, 2), -1.0, dtype=torch.float64).share_memory_()

    def begin(self, worker: int, index: int) -> None:
        """Record that a worker starts decoding a sample."""
        self._table[worker, 1] = time.monotonic()
        self._table[worker, 0] = index

    def end(self, worker: int) -> None:
        """Record that a worker has finished its sample."""
        self._table[worker, 0] = -1.0

    def current(self, worker: int) -> int | None:
        """Return the index that a worker is decoding, None if it is idle."""
        index = int(self._table[worker, 0])
        return index if index >= 0 else None

    def overdue(self, limit_sec: float) -> list[int]:
        """Return the indices that have been decoded for longer than ``limit_sec``."""
        now = time.monotonic()
        rows = self._table.tolist()
        return [int(i) for i, since in rows if i >= 0 and now - since > limit_sec]


class FaultTolerantDataset(Dataset[SampleOrError]):
    """Applies DATA.ON_DECODE_ERROR to a dataset.

    Args:
        dataset: A dataset that raises MediaError for a bad file; see DATASET_REGISTRY for
            ``path``, ``row``, ``manifest`` and ``variants``.
        policy: "resample" (training: a random other sample), "drop" (evaluation) or "raise".
        seed: RNG_SEED, for sampling replacements.
        max_fraction: DATA.MAX_BAD_FRACTION; it determines the number of replacements to try.
        heartbeat: The table to write to, or None.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        policy: str,
        seed: int,
        max_fraction: float = 0.0,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        share = min(max(max_fraction, 0.01), 0.99)
        self._attempts = max(_MIN_REPLACEMENTS, math.ceil(math.log(_UNLUCKY) / math.log(share)))
        self.dataset, self._policy, self._seed, self.heartbeat = dataset, policy, seed, heartbeat
        self.num_files = len(dataset.manifest) if hasattr(dataset, "row") else len(dataset)
        self.quarantine = torch.zeros(self.num_files, dtype=torch.bool)  # workers share it

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def manifest(self) -> Manifest | None:
        """The list of the files; None for a dataset without one."""
        return getattr(self.dataset, "manifest", None)

    def row(self, index: int) -> int:
        """Return the row of a sample's file in the manifest, in [0, ``num_files``)."""
        return self.dataset.row(index) if hasattr(self.dataset, "row") else index

    def bad_media(self, index: int, reason: str) -> BadMedia:
        """Return the log entry of a sample's file."""
        return BadMedia(self.row(index), self.dataset.path(index), reason)

    def __getitem__(self, key: Key) -> SampleOrError:
        epoch, index, *shape = key
        dataset = self.dataset.variants[shape[0]] if shape else self.dataset
        bad: list[BadMedia] = []
        for attempt in range(self._attempts):
            try:
                return SampleOrError(self._decode(dataset, epoch, index), bad)
            except MediaError as error:
                bad.append(self.bad_media(index, error.reason))
                if self._policy == "raise":
                    fatal = f"DATA.ON_DECODE_ERROR is 'raise' and a file is bad: {error}"
                    return SampleOrError(None, bad, fatal)
                if self._policy == "drop":
                    return SampleOrError(None, bad)
                index = self._replacement(key, attempt)
        fatal = (
            f"{self._attempts} files in a row could not be decoded, the last: {bad[-1].path}: "
            f"{bad[-1].reason}. Check DATA.PATH_TO_DATA_DIR and DATA.PATH_PREFIX; if really so "
            "many files are bad, check DATA.MAX_BAD_FRACTION."
        )
        return SampleOrError(None, bad, fatal)

    def _decode(
        self, dataset: Any, epoch: int, index: int
    ) -> dict[str, Any] | list[dict[str, Any]]:
        if self.quarantine[self.row(index)]:
            raise MediaError(self.dataset.path(index), "in quarantine: it hung or killed a worker")
        worker = get_worker_info()
        if worker is None or self.heartbeat is None:
            return dataset[epoch, index]
        self.heartbeat.begin(worker.id, index)
        try:
            return dataset[epoch, index]
        finally:
            self.heartbeat.end(worker.id)

    def _replacement(self, key: Key, attempt: int) -> int:
        rng = sample_rng(self._seed, key[0], key[1], STREAM_REPLACEMENT + attempt)
        return int(rng.integers(len(self.dataset)))
