"""From the samples of a step to one batch: tensors are stacked, bad files are gathered."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.utils.data import default_collate

from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.fault_tolerant import SampleOrError

__all__ = ["LoadedBatch", "collate"]


class LoadedBatch(NamedTuple):
    """A collated batch.

    Attributes:
        batch: Tensors with a leading B; None when every sample of it was left out.
        bad: Bad files met on the way.
        fatal: Why the run has to stop, or "".
    """

    batch: dict[str, Tensor] | None
    bad: list[BadMedia]
    fatal: str = ""


def collate(samples: list[SampleOrError]) -> LoadedBatch:
    """Stack samples into a batch and gather the bad files.

    Args:
        samples: What FaultTolerantDataset returned.

    Returns:
        Tensors with a leading B, without the samples that were left out.
    """
    kept = [s.sample for s in samples if s.sample is not None]
    bad = [entry for s in samples for entry in s.bad]
    fatal = next((s.fatal for s in samples if s.fatal), "")
    return LoadedBatch(default_collate(kept) if kept else None, bad, fatal)
