"""Random numbers that depend on what they are for, never on who asks or when.

Two kinds. A data worker draws from ``sample_rng``: numpy's Philox generator, addressed by (seed,
epoch, index, stream), so that sample i is augmented the same with 0 or 16 workers on 1 or 64 ranks.
A device draws with ``uniform`` and ``randint``: pure integer functions of a sample's ``aug_seed``,
the same bits on every device and in every batch composition. Neither touches a global generator.

A *stream* keeps purposes apart: two streams of one sample are independent. The constants below are
spaced so that ``STREAM_VIEW + 3`` can stand for the fourth view without meeting another stream.

Legend: B batch, n numbers per sample.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.config.problems import ParameterError

__all__ = [
    "STREAM_AUDIO_CLIP",
    "STREAM_AUG_SEED",
    "STREAM_CLIP",
    "STREAM_CROPS",
    "STREAM_NEGATIVES",
    "STREAM_ORDER",
    "STREAM_REPLACEMENT",
    "STREAM_SHUFFLE",
    "STREAM_SPECAUG",
    "STREAM_SUBSET",
    "STREAM_TIME",
    "STREAM_VIEW",
    "STREAM_VOLUME",
    "randint",
    "rng_state",
    "sample_rng",
    "seed_everything",
    "set_rng_state",
    "spawn_seeds",
    "uniform",
]

logger = logging.getLogger(__name__)

_SPACING = 1 << 16
# Drawn by data workers, with sample_rng.
STREAM_CLIP = 1 * _SPACING  # where a clip starts; + number of the clip
STREAM_VIEW = 2 * _SPACING  # how a view is augmented; + number of the view
STREAM_AUG_SEED = 3 * _SPACING  # the aug_seed handed to the device
STREAM_ORDER = 4 * _SPACING  # the order of an epoch's samples
STREAM_REPLACEMENT = 5 * _SPACING  # what stands in for a bad file; + number of the attempt
# Drawn on the device, with uniform and randint.
STREAM_VOLUME = 6 * _SPACING
STREAM_SPECAUG = 7 * _SPACING  # + number of the axis
STREAM_CROPS = 8 * _SPACING  # boxes on feature maps; + number of the view
STREAM_AUDIO_CLIP = 9 * _SPACING  # a seed for each audio clip of a sample
# Drawn by data workers again.
STREAM_TIME = 13 * _SPACING  # how a clip is changed in time; + number of the clip
# Drawn once, with sample_rng.
STREAM_SUBSET = 10 * _SPACING  # which few files of a class are trained on; index: the class
# Drawn on the device, for methods.
STREAM_NEGATIVES = 11 * _SPACING  # rows of a memory bank
STREAM_SHUFFLE = 12 * _SPACING  # the order of a batch, where batch statistics must not be shared

_WORD = 1 << 64
# splitmix64 (Steele, Lea and Flood, OOPSLA 2014): the golden ratio's increment and Stafford's
# variant 13 of the finalizer, as the signed integers that torch knows.
_GOLDEN = 0x9E3779B97F4A7C15 - _WORD
_MIX_1 = 0xBF58476D1CE4E5B9 - _WORD
_MIX_2 = 0x94D049BB133111EB - _WORD


def sample_rng(seed: int, epoch: int, index: int, stream: int) -> np.random.Generator:
    """Make the generator of one purpose of one sample in one epoch.

    The four numbers are the address itself (key and upper counter of Philox), not a hash of it:
    different addresses can never yield overlapping sequences.

    Args:
        seed: The run's seed, ``RNG_SEED``.
        epoch: Number of the epoch.
        index: Row of the sample in its dataset.
        stream: One of this module's ``STREAM_*`` constants, plus a small number where it says so.

    Returns:
        A fresh numpy generator.

    Raises:
        ValueError: If a number is negative or does not fit into 64 bits.
    """
    address = {"seed": seed, "epoch": epoch, "index": index, "stream": stream}
    for name, value in address.items():
        if not 0 <= value < _WORD:
            raise ValueError(f"sample_rng: {name} is {value}; expected 0 <= {name} < 2**64.")
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, epoch, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def uniform(aug_seed: Tensor, stream: int, n: int) -> Tensor:
    """Draw n numbers per sample from [0, 1).

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: What the numbers are for.
        n: How many per sample.

    Returns:
        float64 (B, n), multiples of 2**-53. Row b depends on ``aug_seed[b]`` alone, and the first
        m columns are those of ``n = m``.
    """
    top = _shift_right(_random_bits(aug_seed, stream, n), 11)  # 53 bits: all that float64 holds
    return top.to(torch.float64) * 2.0**-53


def randint(aug_seed: Tensor, stream: int, n: int, high: int | Tensor) -> Tensor:
    """Draw n integers per sample from {0, ..., high - 1}, each equally likely.

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: What the numbers are for.
        n: How many per sample.
        high: Exclusive upper bound, 1 <= high <= 2**31; an integer, or an integer tensor that
            broadcasts to (B, n). The bounds in a tensor are not checked, as reading them would
            make the host wait for the device.

    Returns:
        int64 (B, n). Equal probability holds to high / 2**53.

    Raises:
        ValueError: If an integer ``high`` is out of range.
    """
    if isinstance(high, int) and not 1 <= high <= 1 << 31:
        raise ValueError(f"randint: high is {high}; expected 1 <= high <= 2**31.")
    # The product stays below high: u <= 1 - 2**-53, and the spacing of float64 below high is
    # at most twice what is missing.
    return torch.floor(uniform(aug_seed, stream, n) * high).to(torch.int64)


def spawn_seeds(aug_seed: Tensor, stream: int, n: int) -> Tensor:
    """Derive n seeds from each seed, for the parts of a sample that draw independently.

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: What the parts are.
        n: Number of parts per sample.

    Returns:
        int64 (B, n), each >= 0.
    """
    return _shift_right(_random_bits(aug_seed, stream, n), 1)


def _random_bits(aug_seed: Tensor, stream: int, n: int) -> Tensor:
    """Hash (aug_seed, stream, counter) to 64 random bits: int64 (B, n)."""
    if aug_seed.dtype != torch.int64 or aug_seed.dim() != 1:
        raise ValueError(
            f"aug_seed: got {aug_seed.dtype} of shape {tuple(aug_seed.shape)}; expected int64 (B,)."
        )
    # Two rounds decouple neighbors: seeds and streams are often small consecutive numbers.
    key = _mix(_mix(aug_seed + _GOLDEN) ^ stream)  # (B,)
    counter = torch.arange(1, n + 1, device=aug_seed.device)
    return _mix(key[:, None] + counter * _GOLDEN)  # (B, n)


def _mix(z: Tensor) -> Tensor:
    """Apply splitmix64's finalizer, a bijection of the 64-bit words."""
    z = (z ^ _shift_right(z, 30)) * _MIX_1
    z = (z ^ _shift_right(z, 27)) * _MIX_2
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """Shift zeros in from the left, as for unsigned words; int64's own shift copies the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (every device).

    They drive only what has no seed of its own: initial weights and dropout.

    Args:
        seed: The run's seed, ``RNG_SEED``. Ranks that must differ add their rank.

    Raises:
        ValueError: If the seed is negative or does not fit into 32 bits: torch on the CPU and numpy
            would read no more.
    """
    if not 0 <= seed < 1 << 32:
        raise ParameterError("seed", f"got {seed}; expected 0 <= seed < 2**32.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that use it
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Capture every global generator of this process, to be saved in a checkpoint.

    Returns:
        ``python``, ``numpy``, ``torch`` and, once CUDA is in use, ``cuda`` (the current device:
        one process drives one device). Only dicts, tensors, numbers, strings and None, which
        ``torch.load(weights_only=True)`` accepts.
    """
    version, words, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global generator is meant
    state: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "bit_generator": str(legacy["bit_generator"]),
            "words": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "position": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every global generator back to where it was.

    Args:
        state: What ``rng_state`` returned, maybe saved and loaded in between, on any device. A CUDA
            state is left out, with a warning, where there is no CUDA.

    Raises:
        ValueError: If the state lacks a generator.
    """
    missing = {"python", "numpy", "torch"} - set(state)
    if missing:
        raise ValueError(
            f"set_rng_state: no state of {', '.join(sorted(missing))}; got {sorted(state)}. Pass "
            "what rng_state() returned."
        )
    python, legacy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(  # noqa: NPY002 - the global generator is meant
        {
            "bit_generator": legacy["bit_generator"],
            "state": {
                "key": legacy["words"].cpu().numpy().astype(np.uint32),
                "pos": legacy["position"],
            },
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        }
    )
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" not in state:
        return
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    else:
        logger.warning("The checkpoint holds a CUDA generator, but there is no CUDA: left out.")
