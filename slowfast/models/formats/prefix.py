"""The one documented mapping between a zoo's parameter names and a classifier's.

A model of the zoos is one module; a classifier here is a backbone, a pooling and a head. So
``backbone.`` is put in front of every name, but for the last layer's, ``head.projection.*``, which
is called the same here. What a family does otherwise stands in the format that it registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["to_classifier_keys"]


def to_classifier_keys(
    state: Mapping[str, Any], *, head: str = "head.projection."
) -> dict[str, Any]:
    """Put names of a whole model under those of a classifier.

    Args:
        state: Key -> tensor.
        head: What the names of the last layer begin with; becomes ``head.projection.``.

    Returns:
        The same tensors under our names.
    """
    return {
        f"head.projection.{key[len(head) :]}" if key.startswith(head) else f"backbone.{key}": value
        for key, value in state.items()
    }
