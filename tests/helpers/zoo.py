"""Recorded names and shapes of the zoo's models, and weights and inputs anyone can make again.

A file of names is gzipped JSON: ``entries`` (model -> index), ``state_dicts`` (``total_params`` and
``state_dict``: name -> shape), and perhaps ``maps`` (YAML -> [input, map] shapes).
"""

import gzip
import json
import zlib
from pathlib import Path

import torch

DATA = Path(__file__).parents[1] / "data"


def read_recorded(family):
    """Read ``tests/data/state_dicts_<family>.json.gz``."""
    return json.loads(gzip.decompress((DATA / f"state_dicts_{family}.json.gz").read_bytes()))


def make_weight(name, shape, seed):
    """Sample a weight from its name, its shape and a seed alone."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
    r = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 0.5 + r.abs()
    if name.endswith("running_mean"):
        return 0.1 * r
    if r.dim() >= 2:
        return r * (2 / r[0].numel()) ** 0.5
    return 1 + 0.1 * r if name.endswith("weight") else 0.1 * r


def make_state(shapes, seed):
    return {name: make_weight(name, tuple(shape), seed) for name, shape in shapes.items()}


def make_input(shape, seed):
    generator = torch.Generator().manual_seed(10 * seed + 1)
    return torch.randn(tuple(shape), generator=generator)


def on_meta(shapes):
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(state):
    return {name: tuple(value.shape) for name, value in state.items()}


def assert_close_to(got, expected, largest, share=1e-4):
    """Compare with a part of an array, to a share of the whole array's largest value."""
    assert got.shape == expected.shape
    worst = (got - expected).abs().max().item()
    assert worst <= share * largest, f"{worst / largest:.1e} of the largest value"
