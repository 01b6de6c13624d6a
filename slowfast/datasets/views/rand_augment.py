"""RandAugment for clips: sampled once, applied to all frames.

Cubuk et al., "RandAugment", NeurIPS 2020, with the operations, magnitudes and options of timm
(Wightman, "PyTorch Image Models") that PySlowFast uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from slowfast.config.problems import ParameterError
from slowfast.datasets.views.clip_operations import ClipOperation

__all__ = ["INTERPOLATIONS", "RandAugment"]

INTERPOLATIONS = ("bilinear", "bicubic", "random")

_MAX = 10  # the highest magnitude
_APPLIED = 0.5  # probability of an operation that was chosen

# (level from 0 to 1, increasing, sign) -> parameter of the operation.
_PARAMETERS: dict[str, Callable[[float, bool, int], float]] = {
    "AutoContrast": lambda level, inc, sign: 0,
    "Equalize": lambda level, inc, sign: 0,
    "Invert": lambda level, inc, sign: 0,
    "Rotate": lambda level, inc, sign: sign * level * 30,
    "Posterize": lambda level, inc, sign: 4 - int(level * 4) if inc else int(level * 4),
    "Solarize": lambda level, inc, sign: 256 - int(level * 256) if inc else int(level * 256),
    "SolarizeAdd": lambda level, inc, sign: int(level * 110),
    "Color": lambda level, inc, sign: _factor(level, inc, sign),
    "Contrast": lambda level, inc, sign: _factor(level, inc, sign),
    "Brightness": lambda level, inc, sign: _factor(level, inc, sign),
    "Sharpness": lambda level, inc, sign: _factor(level, inc, sign),
    "ShearX": lambda level, inc, sign: sign * level * 0.3,
    "ShearY": lambda level, inc, sign: sign * level * 0.3,
    "TranslateXRel": lambda level, inc, sign: sign * level * 0.45,
    "TranslateYRel": lambda level, inc, sign: sign * level * 0.45,
}
_NAMES = tuple(_PARAMETERS)
_GEOMETRIC = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}

# Weights of w0, in thousandths; missing: 0.
_WEIGHTS = {
    **{"Rotate": 300, "ShearX": 200, "ShearY": 200, "TranslateXRel": 100, "TranslateYRel": 100},
    **{"Color": 25, "Sharpness": 25, "AutoContrast": 25},
    **{"Solarize": 5, "SolarizeAdd": 5, "Contrast": 5, "Brightness": 5, "Equalize": 5},
}
_PROBABILITIES = np.array([_WEIGHTS.get(name, 0) for name in _NAMES]) / sum(_WEIGHTS.values())

_OPTION = re.compile(r"([a-z]+)(\d+(?:\.\d+)?)")
_OPTIONS = "m (0 to 10), n (1 or more), mstd (0 or more), inc (0 or 1), w (0)"


def _factor(level: float, increasing: bool, sign: int) -> float:
    """Return a factor from 0.1 to 1.9; 1 changes nothing."""
    return 1 + sign * level * 0.9 if increasing else 0.1 + level * 1.8


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """Samples the operations of a clip.

    Attributes:
        magnitude: Mean magnitude, 0 to 10.
        num_operations: Number of operations that are chosen; each is applied with probability 0.5.
        std: Standard deviation of the magnitude, which is clipped to [0, 10].
        increasing: Posterize, Solarize and the enhancements change more with a higher magnitude;
            otherwise they run from one extreme to the other.
        weighted: Choose with unequal probabilities and without repetition.
        interpolation: One of INTERPOLATIONS.

    Raises:
        ValueError: If a value is out of range.
    """

    magnitude: int = _MAX
    num_operations: int = 2
    std: float = 0.0
    increasing: bool = False
    weighted: bool = False
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ParameterError(
                "interpolation",
                f"got {self.interpolation!r}; expected {', '.join(map(repr, INTERPOLATIONS))}.",
            )
        most = len(_WEIGHTS) if self.weighted else math.inf
        for name, value, high in (
            ("magnitude", self.magnitude, _MAX),
            ("std", self.std, math.inf),
            ("num_operations", self.num_operations - 1, most - 1),
        ):
            if not 0 <= value <= high or not math.isfinite(value):
                raise ParameterError(name, f"got {getattr(self, name)}, out of range.")

    @classmethod
    def parse(cls, text: str, interpolation: str = "bicubic") -> Self:
        """Read timm's string format.

        Args:
            text: Such as ``rand-m7-n4-mstd0.5-inc1``: ``rand`` and options in any order.
            interpolation: One of INTERPOLATIONS.

        Returns:
            The sampler.

        Raises:
            ValueError: If the string is not of this format or a value is out of range.
        """
        kind, *words = text.split("-")
        if kind != "rand":
            raise _bad(text, "it does not start with 'rand'")
        values: dict[str, float] = {}
        for word in words:
            match = _OPTION.fullmatch(word)
            if match is None or match[1] not in ("m", "n", "mstd", "inc", "w"):
                raise _bad(text, f"{word!r} is not an option")
            if match[1] in values:
                raise _bad(text, f"option {match[1]!r} is given twice")
            if match[1] != "mstd" and "." in match[2]:
                raise _bad(text, f"{word!r} is not a whole number")
            values[match[1]] = float(match[2])
        if values.get("inc", 0) > 1 or values.get("w", 0) > 0:
            raise _bad(text, "'inc' is 0 or 1, and 'w' is 0")
        try:
            return cls(
                magnitude=int(values.get("m", _MAX)),
                num_operations=int(values.get("n", 2)),
                std=values.get("mstd", 0.0),
                increasing=bool(values.get("inc", 0)),
                weighted="w" in values,
                interpolation=interpolation,
            )
        except ParameterError as error:
            if error.parameter == "interpolation":
                raise
            option = {"magnitude": "m", "num_operations": "n", "std": "mstd"}[error.parameter]
            most = f", with w0 at most n{len(_WEIGHTS)}" if "w" in values else ""
            raise _bad(text, f"option {option!r} is out of range{most}") from error

    def sample(self, rng: np.random.Generator) -> tuple[ClipOperation, ...]:
        """Sample the operations of a clip.

        Args:
            rng: The view's random generator.

        Returns:
            The operations that are applied, maybe none.
        """
        chosen = rng.choice(
            len(_NAMES),
            size=self.num_operations,
            replace=not self.weighted,
            p=_PROBABILITIES if self.weighted else None,
        )
        return tuple(
            self._sample_one(_NAMES[number], rng) for number in chosen if rng.random() < _APPLIED
        )

    def _sample_one(self, name: str, rng: np.random.Generator) -> ClipOperation:
        level = min(max(rng.normal(self.magnitude, self.std), 0.0), _MAX) / _MAX
        sign = 1 if rng.random() < 0.5 else -1
        value = _PARAMETERS[name](level, self.increasing, sign)
        if name not in _GEOMETRIC:
            return ClipOperation(name, value)
        is_random = self.interpolation == "random"
        cubic = bool(rng.random() < 0.5) if is_random else self.interpolation == "bicubic"
        return ClipOperation(name, value, cubic)


def _bad(text: str, reason: str) -> ParameterError:
    return ParameterError(
        "text",
        f"got {text!r}: {reason}. Expected 'rand' and options separated by dashes, such as "
        f"'rand-m7-n4-mstd0.5-inc1'. Options: {_OPTIONS}.",
    )
