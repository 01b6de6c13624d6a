"""The mapping from parameter names of a zoo to those of a classifier.

A model of a zoo is one module; a classifier here has a backbone, a pooling and a head. So every
name gets the prefix ``backbone.``, except those of the last layer, which become
``head.projection.*``. Model families with other mappings register their own format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["to_classifier_keys"]


def to_classifier_keys(
    state: Mapping[str, Any], *, head: str = "head.projection."
) -> dict[str, Any]:
    """Convert the names of a full model to those of a classifier.

    Args:
        state: Key -> tensor.
        head: Prefix of the last layer; becomes ``head.projection.``.

    Returns:
        The same tensors under the converted names.
    """
    return {
        f"head.projection.{key[len(head) :]}" if key.startswith(head) else f"backbone.{key}": value
        for key, value in state.items()
    }
