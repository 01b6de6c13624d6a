"""AudioSet's official lists."""

import pytest
from helpers.data_files import WHOLE, data_cfg, names, touch, windows, write
from helpers.media_files import Audio, write_media

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.audioset import audioset

HEAD = [
    "# Segments csv created Sun Mar  5 10:54:31 2017",
    "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4",
    "# YTID, start_seconds, end_seconds, positive_labels",
]
LISTS = {
    "balanced_train_segments": [
        '--a, 30.000, 40.000, "/m/09x0r"',
        'b, 0.000, 8.000, "/m/09x0r,/t/dd1"',
    ],
    "unbalanced_train_segments": ['c, 12.000, 22.000, "/t/dd1"'],
    "eval_segments": ['d, 5.000, 15.000, "/m/04rlf"'],
}
CLASSES = [
    "index,mid,display_name",
    '0,/m/09x0r,"Speech"',
    '1,/t/dd1,"Male speech, man"',
    "2,/m/04rlf,Music",
]
FILES = ["--a_000030", "b_000000", "c_000012", "d_000005"]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "audioset"
    for name, lines in LISTS.items():
        write(folder / f"{name}.csv", *HEAD, *lines)
    for name in FILES:
        touch(folder / "videos" / f"{name}.mp4")
    return folder


def test_all_lists_to_train_on_are_taken_and_nothing_is_labeled(root):
    cfg = data_cfg(root)
    train = build_dataset("AudioSet", cfg, "train").manifest
    assert names(train) == [(f"{FILES[k]}.mp4", -1) for k in (2, 0, 1)]
    assert windows(train) == [WHOLE] * 3
    assert train.class_names == []
    assert names(audioset(cfg, "test").manifest) == [("d_000005.mp4", -1)]
    assert not has_split("audioset", cfg, "val")
    (root / "unbalanced_train_segments.csv").unlink()
    assert len(audioset(cfg, "train").manifest) == 2


def test_a_single_label_counts_where_the_classes_are_known(root, caplog):
    caplog.set_level("INFO")
    write(root / "class_labels_indices.csv", *CLASSES)
    train = audioset(data_cfg(root), "train").manifest
    assert [label for _, label in names(train)] == [1, 0, -1]
    assert "1 of 3 segments of the train split count as unlabeled" in caplog.text
    assert train.class_names == ["Speech", "Male speech, man", "Music"]


def test_whole_videos_are_read_in_windows(root):
    for name in FILES:
        (root / "videos" / f"{name}.mp4").unlink()
    audio = Audio("pcm_s16le", 8000, "mono", {}, seconds=41.0)
    for name in ("--a", "b", "c", "d"):
        write_media(root / "videos" / f"{name}.mkv", audio)
    train = audioset(data_cfg(root), "train").manifest
    assert windows(train) == [(12.0, 22.0), (30.0, 40.0), (0.0, 8.0)]


def test_a_list_of_ones_own(tmp_path):
    root = tmp_path / "own"
    for split, video in (("train", "a"), ("val", "b"), ("test", "c")):
        write(root / f"{split}.csv", f"{video}, 1.5, 3.5, ")
        touch(root / f"{video}_000001.mp4")
    cfg = data_cfg(root)
    assert has_split("audioset", cfg, "val")
    assert names(audioset(cfg, "val").manifest) == [("b_000001.mp4", -1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("e, 1, 2", r"segments.csv:4: expected 'ID, START, END, \"LABELS\"', got 'e, 1, 2'"),
        ("e, one, 2, x", r"segments.csv:4: expected seconds, got 'one' and '2'"),
        ("e, 9, 2, x", r"segments.csv:4: expected 0 <= start < end, got 9 to 2 s"),
        ('e, 1, 2, "/m/0,/m/09x0r"', r"segments.csv:4: the label '/m/0' is not in class_labels"),
        (
            LISTS["eval_segments"][0],
            r"train_segments.csv:4: the segment d is also in the test list",
        ),
    ],
)
def test_wrong_lists(root, line, message):
    write(root / "class_labels_indices.csv", *CLASSES)
    write(root / "unbalanced_train_segments.csv", *HEAD, line)
    with pytest.raises(UserError, match=message):
        audioset(data_cfg(root), "train")


def test_wrong_classes_and_no_lists(root):
    write(root / "class_labels_indices.csv", CLASSES[0], CLASSES[2])
    with pytest.raises(UserError, match=r"indices.csv:2: expected '0,CODE,NAME', got '1,/t/dd1"):
        audioset(data_cfg(root), "train")
    for name in LISTS:
        write(root / f"{name}.csv", *HEAD)
    (root / "class_labels_indices.csv").unlink()
    with pytest.raises(UserError, match="name no file of the train split"):
        audioset(data_cfg(root), "train")
    for name in LISTS:
        (root / f"{name}.csv").unlink()
    with pytest.raises(UserError, match=r"found no unbalanced_train_segments.csv or"):
        audioset(data_cfg(root), "train")


def test_all_classes_of_a_segment(root):
    cfg = data_cfg(root, "DATA.MULTI_LABEL", True, "MODEL.NUM_CLASSES", 3)
    with pytest.raises(UserError, match=r"DATA.MULTI_LABEL: got True, .* no class_labels_indices"):
        audioset(cfg, "train")
    write(root / "class_labels_indices.csv", *CLASSES)
    train = audioset(cfg, "train").manifest
    assert [train.row(i).labels for i in range(3)] == [(1,), (0,), (0, 1)]
    assert audioset(cfg, "test").manifest.row(0).labels == (2,)
