"""Random numbers that depend on their purpose and sample only, never on the order of calls.

Data workers use ``sample_rng``: numpy's Philox generator with the key (seed, epoch, index,
stream), so that sample i is augmented the same with 0 or 16 workers on 1 or 64 ranks.
Code on the device uses ``uniform`` and ``randint``: pure integer functions of ``aug_seed``, with
the same bits on every device and in every batch composition. Neither changes a global generator.

A *stream* is a purpose: two streams of one sample are independent. The constants below are
spaced so that ``STREAM_VIEW + 3`` can be the fourth view without overlapping another stream.

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
    "STREAM_FRAMES",
    "STREAM_MIXUP",
    "STREAM_NEGATIVES",
    "STREAM_ORDER",
    "STREAM_REPLACEMENT",
    "STREAM_REPORT",
    "STREAM_SAMPLING_RATE",
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
# Sampled by data workers, with sample_rng.
STREAM_CLIP = 1 * _SPACING  # start time of a clip; + clip index
STREAM_VIEW = 2 * _SPACING  # augmentation of a view; + view index
STREAM_AUG_SEED = 3 * _SPACING  # the aug_seed passed to the device; + repeat (AUG.NUM_SAMPLE)
STREAM_ORDER = 4 * _SPACING  # order of the samples of an epoch
STREAM_REPLACEMENT = 5 * _SPACING  # replacement of a bad file; + attempt index
# Sampled on the device, with uniform and randint.
STREAM_VOLUME = 6 * _SPACING
STREAM_SPECAUG = 7 * _SPACING  # + axis index
STREAM_CROPS = 8 * _SPACING  # crop boxes of feature maps; + view index
STREAM_AUDIO_CLIP = 9 * _SPACING  # seed of each audio clip of a sample
# Sampled once per batch, with sample_rng; seed: the aug_seed of its first sample.
STREAM_MIXUP = 14 * _SPACING
# Sampled by data workers.
STREAM_TIME = 13 * _SPACING  # temporal augmentation of a clip; + clip index
STREAM_FRAMES = 15 * _SPACING  # frames of a clip that are not evenly spaced; + clip index
STREAM_SAMPLING_RATE = 19 * _SPACING  # distance between the frames of a sample
# Sampled once, with sample_rng.
STREAM_SUBSET = 10 * _SPACING  # few-shot training files of a class; index: the class
# Sampled on the device, for methods.
STREAM_NEGATIVES = 11 * _SPACING  # rows of a memory bank
STREAM_SHUFFLE = 12 * _SPACING  # shuffled batch order, for shuffled batch norm
# Sampled in or after a test.
STREAM_TEST_JITTER = 21 * _SPACING  # the part of the frame that test clips show
STREAM_REPORT = 20 * _SPACING  # the videos of a large split that the report shows

_WORD = 1 << 64
# splitmix64 (Steele, Lea and Flood, OOPSLA 2014): the golden ratio's increment and Stafford's
# variant 13 of the finalizer, as signed integers for torch.
_GOLDEN = 0x9E3779B97F4A7C15 - _WORD
_MIX_1 = 0xBF58476D1CE4E5B9 - _WORD
_MIX_2 = 0x94D049BB133111EB - _WORD


def sample_rng(seed: int, epoch: int, index: int, stream: int) -> np.random.Generator:
    """Create the generator for one purpose of one sample in one epoch.

    The four numbers are used directly as key and upper counter of Philox, without hashing:
    different keys never yield overlapping sequences.

    Args:
        seed: The run's seed, ``RNG_SEED``.
        epoch: Number of the epoch.
        index: Row of the sample in its dataset.
        stream: A ``STREAM_*`` constant, plus an index where its comment says so.

    Returns:
        A new numpy generator.

    Raises:
        ValueError: If a number is negative or does not fit into 64 bits.
    """
    numbers = {"seed": seed, "epoch": epoch, "index": index, "stream": stream}
    for name, value in numbers.items():
        if not 0 <= value < _WORD:
            raise ValueError(f"sample_rng: {name} is {value}; expected 0 <= {name} < 2**64.")
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, epoch, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def uniform(aug_seed: Tensor, stream: int, n: int) -> Tensor:
    """Sample n numbers per sample uniformly from [0, 1).

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: Purpose of the numbers, a ``STREAM_*`` constant.
        n: Numbers per sample.

    Returns:
        float64 (B, n), multiples of 2**-53. Row b depends on ``aug_seed[b]`` alone, and the first
        m columns are those of ``n = m``.
    """
    top = _shift_right(_random_bits(aug_seed, stream, n), 11)  # 53 bits, the precision of float64
    return top.to(torch.float64) * 2.0**-53


def randint(aug_seed: Tensor, stream: int, n: int, high: int | Tensor) -> Tensor:
    """Sample n integers per sample uniformly from {0, ..., high - 1}.

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: Purpose of the numbers, a ``STREAM_*`` constant.
        n: Numbers per sample.
        high: Exclusive upper bound, 1 <= high <= 2**31; an integer, or an integer tensor that
            broadcasts to (B, n). The bounds in a tensor are not checked, as reading them would
            make the host wait for the device.

    Returns:
        int64 (B, n). Probabilities are equal up to high / 2**53.

    Raises:
        ValueError: If an integer ``high`` is out of range.
    """
    if isinstance(high, int) and not 1 <= high <= 1 << 31:
        raise ValueError(f"randint: high is {high}; expected 1 <= high <= 2**31.")
    # The product stays below high: u <= 1 - 2**-53, and the spacing of float64 below high is
    # at most twice the gap.
    return torch.floor(uniform(aug_seed, stream, n) * high).to(torch.int64)


def spawn_seeds(aug_seed: Tensor, stream: int, n: int) -> Tensor:
    """Derive n independent seeds from each seed, such as one per clip of a sample.

    Args:
        aug_seed: int64 (B,), one seed per sample.
        stream: Purpose of the seeds, a ``STREAM_*`` constant.
        n: Seeds per sample.

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

    They are used only for initial weights and dropout.

    Args:
        seed: The run's seed, ``RNG_SEED``. For different values per rank, add the rank.

    Raises:
        ValueError: If the seed is negative or does not fit into 32 bits, the limit of numpy and of
            torch on the CPU.
    """
    if not 0 <= seed < 1 << 32:
        raise ParameterError("seed", f"got {seed}; expected 0 <= seed < 2**32.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that use it
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the state of every global generator of this process, for a checkpoint.

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
    """Restore the state of every global generator.

    Args:
        state: The result of ``rng_state``, maybe saved and loaded in between, on any device. A CUDA
            state is ignored with a warning if there is no CUDA.

    Raises:
        ValueError: If the state lacks a generator.
    """
    missing = {"python", "numpy", "torch"} - set(state)
    if missing:
        raise ValueError(
            f"set_rng_state: no state of {', '.join(sorted(missing))}; got {sorted(state)}. Pass "
            "the result of rng_state()."
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
        logger.warning(
            "The checkpoint has the state of a CUDA generator, but there is no CUDA: ignored."
        )
