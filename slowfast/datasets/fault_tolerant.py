"""A dataset wrapper that replaces bad files and makes hanging files detectable.

Each worker records in shared memory which sample it is decoding and since when. The main process
reads this table to find a file that hangs or that killed its worker, and adds its row to a shared
quarantine list. All samples of a file in quarantine are skipped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset, get_worker_info

from slowfast.config import UserError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.sampler import Key
from slowfast.utils.random import STREAM_REPLACEMENT, sample_rng

__all__ = ["FaultTolerantDataset", "Heartbeat", "SampleOrError"]

_MIN_REPLACEMENTS = 10

_UNLUCKY = 1e-9
"""Accepted probability that all replacements are bad although MAX_BAD_FRACTION is respected."""

_MOST = 0.99
"""If more files may be bad, all are tried."""


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
        self._table = torch.full((num_workers, 3), -1.0, dtype=torch.float64).share_memory_()
        self._table[:, 2] = time.monotonic()

    def begin(self, worker: int, index: int) -> None:
        """Record that a worker starts decoding a sample."""
        self._table[worker, 1:] = time.monotonic()
        self._table[worker, 0] = index

    def end(self, worker: int) -> None:
        """Record that a worker has finished its sample."""
        self._table[worker, 2] = time.monotonic()
        self._table[worker, 0] = -1.0

    def current(self, worker: int) -> int | None:
        """Return the index that a worker is decoding, None if it is idle."""
        index = int(self._table[worker, 0])
        return index if index >= 0 else None

    def overdue(self, limit_sec: float) -> dict[int, int]:
        """Return the workers that have decoded a sample for longer than a limit, and its index."""
        now = time.monotonic()
        rows = enumerate(self._table.tolist())
        return {w: int(i) for w, (i, since, _) in rows if i >= 0 and now - since > limit_sec}

    def silent_sec(self, worker: int) -> float:
        """Return for how long a worker has neither begun nor finished a sample."""
        return time.monotonic() - float(self._table[worker, 2])


class FaultTolerantDataset(Dataset[SampleOrError]):
    """Applies DATA.ON_DECODE_ERROR to a dataset.

    Args:
        dataset: A dataset that raises MediaError for a bad file; see DATASET_REGISTRY for
            ``path``, ``row``, ``manifest`` and ``variants``.
        policy: "resample" (training: a random other sample), "drop" (evaluation) or "raise".
        seed: RNG_SEED, for sampling replacements.
        max_fraction: DATA.MAX_BAD_FRACTION; it determines the number of replacements to try.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        policy: str,
        seed: int,
        max_fraction: float = 0.0,
    ) -> None:
        self._max_fraction = max_fraction
        share = min(max(max_fraction, 0.01), _MOST)
        self._attempts = max(_MIN_REPLACEMENTS, math.ceil(math.log(_UNLUCKY) / math.log(share)))
        self.dataset, self._policy, self._seed = dataset, policy, seed
        self.heartbeat: Heartbeat | None = None  # the table to write to; set by the loader
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

    def path_of_row(self, row: int) -> str:
        """Return the path of a row of the manifest."""
        manifest = self.manifest
        return self.dataset.path(row) if manifest is None else manifest.path(row)

    def bad_media(self, index: int, reason: str) -> BadMedia:
        """Return the log entry of a sample's file."""
        return BadMedia(self.row(index), self.dataset.path(index), reason)

    def __getitem__(self, key: Key) -> SampleOrError:
        epoch, _, *shape = key
        dataset = self.dataset.variants[shape[0]] if shape else self.dataset
        bad: list[BadMedia] = []
        for index in self._candidates(key):
            try:
                return SampleOrError(self._decode(dataset, epoch, index), bad)
            except MediaError as error:
                bad.append(self.bad_media(index, error.reason))
                if self._policy == "raise":
                    fatal = f"DATA.ON_DECODE_ERROR is 'raise' and a file is bad: {error}"
                    return SampleOrError(None, bad, fatal)
                if self._policy == "drop":
                    return SampleOrError(None, bad)
            except UserError as error:  # such as a missing library
                return SampleOrError(None, bad, str(error))
        fatal = (
            f"{len(bad)} files in a row could not be decoded, the last: {bad[-1].path}: "
            f"{bad[-1].reason}. By DATA.MAX_BAD_FRACTION at most {self._max_fraction:.1%} may be "
            "bad: check DATA.PATH_TO_DATA_DIR and DATA.PATH_PREFIX, or raise that limit."
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

    def _candidates(self, key: Key) -> Iterator[int]:
        """Yield the index of a sample, and those that replace it while files turn out to be bad.

        They depend on the key and on which files are bad, so a resumed run has the same ones.
        """
        yield key[1]
        last = 0
        for attempt in range(self._attempts - 1):
            rng = sample_rng(self._seed, key[0], key[1], STREAM_REPLACEMENT + attempt)
            last = int(rng.integers(len(self.dataset)))
            yield last
        if self._max_fraction > _MOST:
            yield from ((last + step) % len(self.dataset) for step in range(1, len(self.dataset)))
