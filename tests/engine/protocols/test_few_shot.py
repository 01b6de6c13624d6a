"""A few labeled videos: which ones, and what their spread says."""

import logging

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table, probe_cfg

from slowfast.datasets.annotations.labels import take_per_class
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.engine.protocols.few_shot import few_shot, sample_k_shot
from slowfast.engine.protocols.probe import remap_labels

LABEL = torch.tensor([5, 0, 5, 0, 5, 9, 9, 9, 9, 0])
SPLIT = remap_labels(Given(None), LABEL, LABEL)


def test_k_videos_of_each_class_are_sampled():
    for k in (1, 2, 3):
        rows = sample_k_shot(SPLIT, k, seed=1, episode=0)
        assert LABEL[rows].tolist() == [0] * k + [5] * k + [9] * k
        assert len(set(rows.tolist())) == 3 * k


def test_episodes_differ_and_repeat():
    episodes, again, other = (
        [
            tuple(sample_k_shot(SPLIT, 2, seed=seed, episode=episode).tolist())
            for episode in range(8)
        ]
        for seed in (1, 1, 2)
    )
    assert len(set(episodes)) > 4
    assert episodes == again != other


def test_the_first_episode_is_the_one_that_training_takes():
    manifest = Manifest.from_rows(
        [VideoRecord(str(i), label) for i, label in enumerate(LABEL.tolist())], []
    )
    for k, seed in ((1, 4), (2, 4), (3, 7)):
        taken = take_per_class(manifest, k, seed=seed)
        paths = [taken.path(i) for i in range(len(taken))]
        rows = sorted(sample_k_shot(SPLIT, k, seed=seed, episode=0).tolist())
        assert paths == [str(i) for i in rows]  # and so it has the properties tested there


def test_the_result_is_the_mean_over_episodes_with_its_interval(caplog):
    given = Given(*blob_tables(spread=2.0, per_class=12))
    with caplog.at_level(logging.INFO):
        results = few_shot(given, probe_cfg())
    assert list(results) == ["few_shot_1", "few_shot_5", "few_shot_10"]
    assert "k = 20 is skipped, as a class has 12 videos" in caplog.text
    one = results["few_shot_1"]
    assert one.count == 5
    assert one.chance == pytest.approx(1 / 3)
    assert one.interval[0] < one.value < one.interval[1]
    assert one.value < results["few_shot_10"].value
    assert few_shot(given, probe_cfg()) == results
    # Student's, of two episodes: 12.7 times half their difference, 1 of 30 videos; cut at 0, 1.
    two = few_shot(given, probe_cfg(FEW_SHOT_EPISODES=2))
    low, high = two["few_shot_10"].interval
    assert high - low == pytest.approx(12.7062 / 30, abs=1e-5)
    assert two["few_shot_5"].interval == (0.0, 1.0)


def test_two_models_are_compared_on_the_same_videos():
    """Features change, the sampled videos do not: same features by other names, the same bits."""
    test, gallery = blob_tables(spread=2.0)
    shuffled = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    tables = [
        make_table({"video": t.features["video"][:, shuffled]}, t.label) for t in (test, gallery)
    ]
    cfg = probe_cfg(FEW_SHOT_K=[5])
    first, second = few_shot(Given(test, gallery), cfg), few_shot(Given(*tables), cfg)
    assert first["few_shot_5"].value == pytest.approx(second["few_shot_5"].value, abs=0.01)
