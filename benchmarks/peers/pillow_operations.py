"""RandAugment with Pillow, image by image, as PySlowFast does it: the oracle of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from reference.classifier_augment import pil_operation


def apply_operation(frames: NDArray[np.uint8], name: str, value: float) -> NDArray[np.uint8]:
    """Apply an operation to each frame: uint8 (T, H, W, 3), cubic where it moves pixels."""
    return np.stack([pil_operation(frame, name, value, True) for frame in frames])
