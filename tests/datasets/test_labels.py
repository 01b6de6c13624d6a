"""Labels against the head, and a few files of each class."""

import numpy as np
import pytest

from slowfast.config import UserError
from slowfast.datasets.annotations.labels import check_labels, take_per_class
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord

LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 0]


def make(labels=LABELS, names=("x", "y", "z")):
    return Manifest.from_rows(
        (VideoRecord(f"{i}.mp4", n) for i, n in enumerate(labels)), list(names)
    )


def chosen(manifest):
    return [int(manifest.path(i).removesuffix(".mp4")) for i in range(len(manifest))]


def test_labels_that_fit(caplog):
    check_labels(make(), 3, "MODEL.NUM_CLASSES")
    assert not caplog.text
    check_labels(make(names=()), 400, "MODEL.NUM_CLASSES")
    assert not caplog.text
    check_labels(make(), 400, "MODEL.NUM_CLASSES")
    assert "MODEL.NUM_CLASSES is 400, but the train split has only 3 classes" in caplog.text


@pytest.mark.parametrize(
    ("labels", "names", "num_classes", "message"),
    [
        (LABELS, "xyz", 2, r"MODEL.NUM_CLASSES: got 2, but .* train split is 2 of 3 .*; use 3"),
        ([0, 411], "", 400, r"MODEL.NUM_CLASSES: got 400, but .* is 411; use 412"),
        ([0, 1], "abcde", 1, r"is 1 of 5 classes; use 5"),
        ([0, -1, -1], "", 400, r"TRAIN.DATASET: 2 of the 3 files .* no label, the first: 1.mp4"),
    ],
)
def test_labels_that_do_not_fit(labels, names, num_classes, message):
    with pytest.raises(UserError, match=message):
        check_labels(make(labels, names), num_classes, "MODEL.NUM_CLASSES")


def test_a_few_of_each_class_in_the_order_of_the_manifest():
    few = take_per_class(make(), 2, seed=1)
    assert np.bincount(few.labels).tolist() == [2, 2, 2]
    assert chosen(few) == sorted(chosen(few))
    assert few.class_names == ["x", "y", "z"]
    assert all(LABELS[i] == few.label(k) for k, i in enumerate(chosen(few)))


def test_the_subset_depends_on_the_seed_alone_and_more_files_hold_the_fewer():
    subsets = {tuple(chosen(take_per_class(make(), 2, seed))) for seed in range(10)}
    assert len(subsets) > 5
    for seed in range(5):
        small, large = (set(chosen(take_per_class(make(), k, seed))) for k in (1, 3))
        assert small < large
        assert set(chosen(take_per_class(make(), 1, seed))) == small


def test_every_file_is_chosen_as_often():
    counts = np.zeros(len(LABELS))
    for seed in range(400):
        counts[chosen(take_per_class(make(), 1, seed))] += 1
    expected = 400 / np.bincount(LABELS)[LABELS]
    assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_zero_means_all():
    manifest = make()
    assert take_per_class(manifest, 0, seed=1) is manifest
    assert take_per_class(make([0, -1]), 0, seed=1).label(1) == -1


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (
            LABELS,
            "xyz",
            r"PER_CLASS: got 4, but class 2 \(z\) has only 3 training files",
        ),
        (LABELS, "", r"got 4, but class 2 has only 3 training files"),
        ([0] * 4, "xy", r"got 4, but class 1 \(y\) has only 0 training files"),
        ([0] * 4 + [-1], "", r"TRAIN_VIDEOS_PER_CLASS: got 4, but 1 of 5 .* no label"),
    ],
)
def test_too_few_files_and_unknown_labels(labels, names, message):
    with pytest.raises(UserError, match=message):
        take_per_class(make(labels, names), 4, seed=0)
