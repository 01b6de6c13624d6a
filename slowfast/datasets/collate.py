"""Collate samples into a batch, together with the bad files that were found."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import default_collate

from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.fault_tolerant import SampleOrError

__all__ = ["LoadedBatch", "collate"]


class LoadedBatch(NamedTuple):
    """A collated batch.

    Attributes:
        batch: Tensors with a leading B; None if no sample of it could be loaded.
        bad: Bad files found while loading the batch.
        fatal: Error message if the run has to stop, else "".
    """

    batch: dict[str, Tensor] | None
    bad: list[BadMedia]
    fatal: str = ""


def collate(samples: list[SampleOrError]) -> LoadedBatch:
    """Stack samples into a batch and collect the bad files.

    Args:
        samples: Items of a FaultTolerantDataset. The samples of an item with several of them
            (AUG.NUM_SAMPLE) follow each other in the batch.

    Returns:
        The batch, without the samples that could not be loaded.
    """
    kept: list[dict[str, Any]] = []
    for item in samples:
        if item.sample is not None:
            kept += item.sample if isinstance(item.sample, list) else [item.sample]
    bad = [entry for s in samples for entry in s.bad]
    fatal = next((s.fatal for s in samples if s.fatal), "")
    return LoadedBatch(default_collate(kept) if kept else None, bad, fatal)
