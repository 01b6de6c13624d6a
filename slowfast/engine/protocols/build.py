"""The registry of protocols, and what one is given and returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from torch import Tensor

from slowfast.engine.features import FeatureTable
from slowfast.utils.registry import Registry

__all__ = ["PROTOCOL_REGISTRY", "Evidence", "Result"]

PROTOCOL_REGISTRY = Registry("protocol", "TEST.PROTOCOLS")
PROTOCOL_REGISTRY.__doc__ = """
``(evidence, cfg) -> dict[str, Result]``: metric name -> result. Attributes of the function:
``needs_model`` (False: the result does not change with training and is computed once).
"""


class Result(NamedTuple):
    """One measured number.

    Attributes:
        value: The measurement, a fraction unless its name says otherwise.
        chance: What guessing gives, or None.
    """

    value: float
    chance: float | None = None


class Evidence(Protocol):
    """What a protocol may look at."""

    def features(self, split: str) -> FeatureTable:
        """Return the features of a split, extracted once."""

    def batches(self, split: str) -> Iterable[dict[str, Tensor]]:
        """Iterate over this rank's raw batches of a split, as the loader gives them."""
