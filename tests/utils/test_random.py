import io
import itertools
import logging
import random

import numpy as np
import pytest
import torch

from slowfast.utils import random as ours
from slowfast.utils.random import (
    STREAM_CROPS,
    STREAM_SPECAUG,
    STREAM_VIEW,
    randint,
    rng_state,
    sample_rng,
    seed_everything,
    set_rng_state,
    spawn_seeds,
    uniform,
)

MASK = (1 << 64) - 1


@pytest.fixture(autouse=True)
def _keep_global_generators():
    state = rng_state()
    yield
    set_rng_state(state)


# -- sample_rng ------------------------------------------------------------------------------------


def test_sample_rng_repeats_and_each_number_matters():
    where = (1, 2, 3, STREAM_VIEW)
    first = sample_rng(*where).integers(1 << 63, size=8)
    np.testing.assert_array_equal(first, sample_rng(*where).integers(1 << 63, size=8))
    for changed in range(4):
        other = list(where)
        other[changed] += 1
        assert not np.isin(sample_rng(*other).integers(1 << 63, size=8), first).any()


def test_the_numbers_of_a_run_never_change():
    """A new version that fails here would repeat nobody's runs: bump the major version."""
    assert sample_rng(1, 2, 3, 4).integers(1 << 63, size=2).tolist() == [
        4940242540392951859,
        337726874786455401,
    ]
    assert uniform(torch.tensor([1]), 2, 2).tolist() == [[0.82407857641727, 0.8981054902442361]]


def test_sample_rng_tells_permuted_keys_apart():
    firsts = {sample_rng(*p).integers(1 << 63) for p in itertools.permutations((0, 1, 2, 3))}
    assert len(firsts) == 24


def test_sample_rng_of_neighboring_samples_is_uncorrelated():
    numbers = np.array([sample_rng(0, 0, i, STREAM_VIEW).random(2) for i in range(4000)])
    # Standard error of a correlation of 4000 pairs: 0.016.
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.064
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.064
    assert abs(numbers.mean() - 0.5) < 4 * (1 / 12 / numbers.size) ** 0.5


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("bad", [-1, 1 << 64])
def test_sample_rng_refuses_what_has_no_64_bits(position, bad):
    where = [0, 0, 0, 0]
    where[position] = bad
    name = ("seed", "epoch", "index", "stream")[position]
    with pytest.raises(ValueError, match=rf"{name} is {bad}; expected 0 <= {name} < 2\*\*64"):
        sample_rng(*where)


def test_nothing_touches_the_global_generators():
    before = sample_from_all(seed=0)
    seed_everything(0)
    sample_rng(MASK, MASK, MASK, MASK).random(10)
    uniform(torch.arange(3), 1, 3)
    assert sample_from_all() == before


def test_streams_leave_room_for_a_number():
    streams = sorted(getattr(ours, name) for name in ours.__all__ if name.startswith("STREAM_"))
    assert len(streams) >= 9
    assert min(np.diff(streams)) >= 1 << 16


# -- uniform, randint, spawn_seeds -----------------------------------------------------------------


GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """The finalizer of splitmix64 with Python's unbounded integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def python_bits(seed, stream, counter):
    key = mix(mix((seed + GOLDEN) & MASK) ^ stream)
    return mix((key + (counter + 1) * GOLDEN) & MASK)


def test_uniform_is_the_integer_hash():
    # The first outputs of the published generator for seed 0, whose state advances by GOLDEN.
    assert mix(GOLDEN) == 0xE220A8397B1DCDAF
    assert mix(2 * GOLDEN & MASK) == 0x6E789E6AA1B965F4
    seeds = [0, 1, 2**63 - 1, 123456789012345]
    ours_ = uniform(torch.tensor(seeds), STREAM_CROPS, 5)
    oracle = [[(python_bits(s, STREAM_CROPS, c) >> 11) / 2**53 for c in range(5)] for s in seeds]
    assert ours_.dtype == torch.float64
    assert ours_.tolist() == oracle


def test_rows_depend_on_their_own_seed_and_columns_extend():
    seeds = torch.tensor([5, 9, 5])
    numbers = uniform(seeds, STREAM_CROPS, 6)
    assert torch.equal(numbers[0], numbers[2])
    assert not torch.equal(numbers[0], numbers[1])
    assert torch.equal(uniform(seeds[1:2], STREAM_CROPS, 3), numbers[1:2, :3])
    assert uniform(seeds, STREAM_CROPS, 0).shape == (3, 0)


@pytest.mark.parametrize(
    ("seeds", "n"),
    [(torch.arange(500), 400), (torch.arange(200_000), 1), (torch.tensor([7]), 200_000)],
)
def test_uniform_moments_and_chi_square(seeds, n):
    numbers = uniform(seeds, STREAM_SPECAUG, n).flatten()
    count = numbers.numel()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Four standard errors each.
    assert abs(numbers.mean() - 1 / 2) < 4 * (1 / 12 / count) ** 0.5
    assert abs((numbers**2).mean() - 1 / 3) < 4 * (4 / 45 / count) ** 0.5
    observed = torch.bincount((numbers * 256).long(), minlength=256).double()
    chi2 = ((observed - count / 256) ** 2 / (count / 256)).sum()
    # 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert 255 - 4 * 22.6 < chi2 < 255 + 4 * 22.6


def test_uniform_neighbors_are_uncorrelated():
    seeds = torch.arange(100_000)
    base = uniform(seeds, STREAM_CROPS, 2)
    neighbors = {
        "seed": (base[:-1, 0], base[1:, 0]),
        "counter": (base[:, 0], base[:, 1]),
        "stream": (base[:, 0], uniform(seeds, STREAM_CROPS + 1, 1)[:, 0]),
        "far stream": (base[:, 0], uniform(seeds, STREAM_SPECAUG, 1)[:, 0]),
        "high bit": (base[:, 0], uniform(seeds + (1 << 62), STREAM_CROPS, 1)[:, 0]),
    }
    for name, (a, b) in neighbors.items():
        # Standard error 0.0032.
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.013, name
        # The pair fills the square: 64 bins, chi-square with 63 degrees of freedom.
        counts = torch.bincount((a * 8).long() * 8 + (b * 8).long(), minlength=64).double()
        expected = len(a) / 64
        assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * 11.3, name


def test_every_bit_is_fair_and_flips_with_every_input_bit():
    bits = spawn_seeds(torch.arange(20_000), 1, 1)[:, 0]
    for position in range(63):
        share = ((bits >> position) & 1).double().mean()
        assert abs(share - 0.5) < 4.5 * 0.5 / 20_000**0.5
    for position in range(0, 63, 7):  # avalanche: one changed input bit changes half the output
        changed = spawn_seeds(torch.arange(20_000) ^ (1 << position), 1, 1)[:, 0]
        flipped = sum(((bits ^ changed) >> p & 1).double().mean() for p in range(63)) / 63
        assert abs(flipped - 0.5) < 0.005


def test_randint_is_uniform_and_reaches_both_ends():
    numbers = randint(torch.arange(70_000), STREAM_CROPS, 1, 7).flatten()
    assert numbers.dtype == torch.int64
    observed = torch.bincount(numbers, minlength=7).double()
    assert len(observed) == 7
    assert ((observed - 10_000) ** 2 / 10_000).sum() < 25  # 6 degrees of freedom, p < 0.001


def test_randint_takes_a_bound_per_number():
    high = torch.tensor([[1, 2, 300]])
    numbers = randint(torch.arange(5000), STREAM_CROPS, 3, high)
    assert numbers.shape == (5000, 3)
    assert numbers.amin(0).tolist() == [0, 0, 0]
    assert numbers.amax(0).tolist() == [0, 1, 299]


@pytest.mark.parametrize("high", [1, 3, 1 << 31])
def test_randint_stays_below_the_largest_number(high, monkeypatch):
    largest = torch.tensor([[1 - 2.0**-53]], dtype=torch.float64)
    monkeypatch.setattr(ours, "uniform", lambda *_: largest)
    assert randint(torch.tensor([0]), 0, 1, high).item() == high - 1


@pytest.mark.parametrize("high", [0, -3, (1 << 31) + 1])
def test_randint_refuses_bounds_out_of_range(high):
    with pytest.raises(ValueError, match=rf"high is {high}; expected 1 <= high <= 2\*\*31"):
        randint(torch.tensor([0]), 0, 1, high)


def test_child_seeds_are_distinct_and_not_negative():
    seeds = spawn_seeds(torch.arange(20_000), STREAM_CROPS, 4)
    assert seeds.shape == (20_000, 4)
    assert seeds.min() >= 0
    assert seeds.unique().numel() == seeds.numel()


@pytest.mark.parametrize(
    "bad", [torch.tensor([1], dtype=torch.int32), torch.tensor(1), torch.tensor([[1]])]
)
def test_wrong_seeds_are_refused(bad):
    with pytest.raises(ValueError, match=r"aug_seed: got torch.int.* expected int64 \(B,\)"):
        uniform(bad, 0, 1)


@pytest.mark.gpu
def test_the_same_bits_on_cuda():
    seeds = torch.tensor([0, 5, 2**63 - 1])
    assert torch.equal(uniform(seeds.cuda(), 7, 100).cpu(), uniform(seeds, 7, 100))
    assert torch.equal(randint(seeds.cuda(), 7, 100, 13).cpu(), randint(seeds, 7, 100, 13))


# -- global generators -----------------------------------------------------------------------------


def sample_from_all(seed=None):
    if seed is not None:
        seed_everything(seed)
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.random(),  # noqa: NPY002
        np.random.standard_normal(),  # noqa: NPY002
        torch.rand(1).item(),
        torch.randn(1).item(),
    ]


def test_seed_everything_fixes_all_generators():
    first = sample_from_all(seed=3)
    assert sample_from_all(seed=3) == first
    assert not set(sample_from_all(seed=4)) & set(first)
    assert len(set(first)) == len(first), "two libraries sample the same numbers"


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_seed_everything_refuses_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match=rf"seed: got {seed}; expected 0 <= seed"):
        seed_everything(seed)


def test_rng_state_survives_a_checkpoint():
    sample_from_all(seed=11)  # one normal each: the generators now hold the second one of the pair
    file, state = io.BytesIO(), rng_state()
    torch.save(state, file)
    expected = [sample_from_all() for _ in range(3)]
    file.seek(0)
    for saved in (torch.load(file, weights_only=True), state, state):
        set_rng_state(saved)
        assert [sample_from_all() for _ in range(3)] == expected


def test_set_rng_state_says_what_is_missing():
    state = rng_state()
    del state["numpy"]
    with pytest.raises(ValueError, match="no state of numpy"):
        set_rng_state(state)


def test_a_cuda_state_is_left_out_with_a_warning_on_the_cpu(caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    state = {**rng_state(), "cuda": torch.zeros(16, dtype=torch.uint8)}
    with caplog.at_level(logging.WARNING):
        set_rng_state(state)
    assert "there is no CUDA" in caplog.text
