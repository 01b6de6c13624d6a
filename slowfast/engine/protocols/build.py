"""The registry of protocols, and what one is given and returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from slowfast.engine.features import FeatureTable
from slowfast.utils.registry import Registry

__all__ = ["PROTOCOL_REGISTRY", "FeatureProvider", "Result"]

PROTOCOL_REGISTRY = Registry("protocol", "TEST.PROTOCOLS", needs_model=True)
PROTOCOL_REGISTRY.__doc__ = """
``(evidence, cfg) -> dict[str, Result]``: metric name -> result. Capability: ``needs_model`` (False:
the result does not change with training and is computed once).

Every process calls it and gets the same tables, so it may ask for features (which are gathered over
all processes) and may raise, but must not do either on one rank only. It also computes on every
rank: the processes of a machine share its cores, so that one of them alone would need as long,
while the others waited in a collective that times out.
"""


@dataclass(frozen=True)
class Result:
    """One measured number.

    Attributes:
        value: The measurement, a fraction unless its name says otherwise.
        chance: What guessing gives, or None.
        interval: 95 % confidence interval; None: that of a share of ``count`` trials (Wilson), if
            there is a count.
        count: Independent trials that ``value`` is the mean of; None where it is no such mean.
    """

    value: float
    chance: float | None = None
    interval: tuple[float, float] | None = None
    count: int | None = None


class FeatureProvider(Protocol):
    """What a protocol may look at."""

    def features(self, split: str, *, sound_shift_sec: float = 0.0) -> FeatureTable:
        """Return the features of "test" or "gallery", with the audio taken later than the picture.

        They are extracted once. The table is of all ranks, the same on each.
        """

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's prepared batches, with the uint8 frames as ``raw_video``."""

    def warn_once(self, message: str) -> None:
        """Log a warning, unless another protocol has logged the same."""
