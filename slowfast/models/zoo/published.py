"""Zoo entries of weights that other projects publish, from ``published.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from slowfast.models.zoo.rows import ZooEntry, register_rows

__all__ = ["published"]


@register_rows
def published() -> Iterator[ZooEntry]:
    """List the weights of PySlowFast, pytorchvideo and torchvision.

    Yields:
        Entries, in the order of the file.
    """
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    for fields in yaml.safe_load(text)["rows"]:
        yield ZooEntry(**{**fields, "words": tuple(fields.get("words", ()))})
