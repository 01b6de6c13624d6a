"""Balanced sampling: equal classes, other clips, the same for every number of processes."""

import itertools

import numpy as np
import pytest
from helpers.data_files import data_cfg, write

from slowfast.config import UserError
from slowfast.datasets.annotations.labels import balanced_class_weights, rows_of_classes
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.balanced import balanced_order, samples_of_classes
from slowfast.datasets.base import TrainDataset
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.sampler import TrainBatches

LABELS = [0] * 17 + [1] * 2 + [3] * 1
CLASSES = [np.arange(17), np.array([17, 18]), np.array([19])]


def one(labels=LABELS):
    return Manifest.from_rows((VideoRecord(f"{i}", n) for i, n in enumerate(labels)), [])


def lists(*rows):
    records = (VideoRecord(f"{i}", labels=row) for i, row in enumerate(rows))
    return Manifest.from_rows(records, [])


def test_classes_are_equally_frequent_and_samples_of_a_class_too():
    seen = np.zeros(3)
    for epoch in range(30):
        order = balanced_order(CLASSES, 20, 1, epoch)
        rows = order % 20
        counts = np.array([np.isin(rows, own).sum() for own in CLASSES])
        assert sorted(counts) == [6, 7, 7]
        for own in CLASSES:
            times = np.bincount(rows[np.isin(rows, own)], minlength=20)[own]
            assert times.max() - times.min() <= 1
        assert len(set(order.tolist())) == 20  # no sample is the same clip twice
        seen += counts
    assert seen.max() - seen.min() < 15  # the remainder is not always of the same classes


def test_repetitions_are_numbered_from_the_first():
    order = balanced_order(CLASSES, 20, 1, 0)
    assert sorted(order[order % 20 == 19] // 20) == list(range(int((order % 20 == 19).sum())))
    assert set(order[order % 20 < 17] // 20) == {0}


def test_it_depends_on_seed_and_epoch_alone():
    orders = {
        tuple(balanced_order(CLASSES, 20, s, e)) for s, e in itertools.product((1, 2), (0, 1))
    }
    assert len(orders) == 4
    assert balanced_order(CLASSES, 20, 1, 0).tolist() == balanced_order(CLASSES, 20, 1, 0).tolist()


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_joined_batch_and_resume_anywhere(world_size):
    def batches(rank=0, world=1, size=6):
        plan = {"length": 20, "seed": 3, "max_epoch": 2, "classes": CLASSES}
        return TrainBatches(batch_size=size, rank=rank, world_size=world, **plan)

    joined = list(batches())
    shares = [list(batches(rank, world_size, 6 // world_size)) for rank in range(world_size)]
    for batch, parts in zip(joined, zip(*shares, strict=True), strict=True):
        assert batch == list(itertools.chain(*parts))
    rest = batches()
    rest.start_at(1, 1)
    assert list(rest) == joined[4:]


def test_rows_of_classes():
    assert [own.tolist() for own in rows_of_classes(one([1, 3, 1]))] == [[0, 2], [1]]
    found = rows_of_classes(lists((0, 2), (2,), (), (0,)))
    assert [own.tolist() for own in found] == [[0, 3], [0, 1], [2]]


def test_samples_of_several_clips_per_video():
    dataset = TrainDataset(one([0, 1, 0]), 1, clips_per_video=2)
    found = samples_of_classes(dataset)
    assert [own.tolist() for own in found] == [[0, 2, 3, 5], [1, 4]]
    assert {dataset.row(i) for i in found[1]} == {1}
    order = balanced_order(found, 6, 0, 0)
    assert sorted(dataset.row(int(i)) == 1 for i in order) == [False] * 3 + [True] * 3


def test_what_it_needs(tmp_path):
    with pytest.raises(UserError, match=r"BALANCED_SAMPLING: .* 1 of 3 training files"):
        samples_of_classes(TrainDataset(one([0, -1, 0]), 1))
    with pytest.raises(UserError, match=r"BALANCED_SAMPLING: .* no list of its files"):
        samples_of_classes([1, 2])


def test_the_train_loader_balances(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "data" / "train.csv", *(f"{i}.mp4 {n}" for i, n in enumerate(LABELS)))
    for number in range(len(LABELS)):
        (tmp_path / "data" / f"{number}.mp4").touch()
    words = ("TRAIN.BATCH_SIZE", 4, "SOLVER.MAX_EPOCH", 1, "DATA.BALANCED_SAMPLING", True)
    loader = construct_train_loader(data_cfg(tmp_path / "data", *words))
    rows = [loader.dataset.row(index) for batch in loader.batches for _, index in batch]
    assert sorted(np.bincount([LABELS[row] for row in rows])) == [0, 6, 7, 7]


def test_balanced_class_weights():
    weights = balanced_class_weights(one([0, 0, 0, 1]), 3)
    assert weights == [4 / 6, 2.0, 1.0]
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    expected = sklearn.compute_class_weight("balanced", classes=np.arange(2), y=[0, 0, 0, 1])
    assert weights[:2] == pytest.approx(expected.tolist())
    assert balanced_class_weights(lists((0,), (0, 1), (), (0,)), 3) == [1 / 3, 3.0, 1.0]
