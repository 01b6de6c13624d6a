"""UCF-101's official lists."""

import pytest
from helpers.data_files import data_cfg, listed, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.ucf101 import ucf101

TRAIN = {
    1: ["Archery/v_Archery_g08_c01.avi 1", "HandstandPushups/v_HandStandPushups_g08_c01.avi 2"],
    2: ["Archery/v_Archery_g01_c01.avi 1", "HandstandPushups/v_HandStandPushups_g01_c01.avi 2"],
}
TEST = {
    1: ["HandstandPushups/v_HandStandPushups_g01_c01.avi", "Archery/v_Archery_g01_c01.avi"],
    2: ["HandstandPushups/v_HandStandPushups_g08_c01.avi", "Archery/v_Archery_g08_c01.avi"],
}
VIDEOS = [
    f"{name}/v_{name}_{part}.avi"
    for name in ("Archery", "HandstandPushups")
    for part in ("g01_c01", "g08_c01")
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ucf"
    for video in VIDEOS:
        touch(folder / "UCF-101" / video)
    write_lists(folder / "ucfTrainTestlist")
    return folder


def write_lists(folder):
    write(folder / "classInd.txt", "1 Archery", "2 HandstandPushups")
    for fold in TRAIN:
        write(folder / f"trainlist0{fold}.txt", *(f"{line}\r" for line in TRAIN[fold]))
        write(folder / f"testlist0{fold}.txt", *TEST[fold])


def test_the_lists_of_a_fold(root):
    cfg = data_cfg(root, "DATA.FOLD", 1)
    train, test = (build_dataset("Ucf101", cfg, split).manifest for split in ("train", "test"))
    # The lists and the archive do not agree on the capital S.
    assert names(train) == [("v_Archery_g08_c01.avi", 0), ("v_HandstandPushups_g08_c01.avi", 1)]
    assert names(test) == [("v_HandstandPushups_g01_c01.avi", 1), ("v_Archery_g01_c01.avi", 0)]
    assert train.class_names == test.class_names == ["Archery", "HandstandPushups"]
    gallery = ucf101(cfg, "gallery")
    assert listed(gallery.manifest) == listed(train)
    assert has_split("UCF101", cfg, "test")
    assert not has_split("ucf101", cfg, "val")
    with pytest.raises(UserError, match=r"ucf101 has no val split \(it has: test, train\)"):
        ucf101(cfg, "val")
    assert type(gallery).__name__ == "VideoEvalDataset"


def test_another_fold(root):
    train = ucf101(data_cfg(root, "DATA.FOLD", 2), "train").manifest
    assert names(train)[0] == ("v_Archery_g01_c01.avi", 0)


def test_videos_without_the_folder_of_the_archive_and_with_another_suffix(tmp_path):
    for video in VIDEOS:
        touch((tmp_path / "videos" / video).with_suffix(".mp4"))
    write_lists(tmp_path / "lists")
    cfg = data_cfg(
        tmp_path / "videos", "DATA.FOLD", 1, "DATA.PATH_TO_SPLIT_DIR", tmp_path / "lists"
    )
    assert listed(ucf101(cfg, "test").manifest)[1] == (
        str(tmp_path / "videos" / "Archery" / "v_Archery_g01_c01.mp4"),
        0,
    )


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("classInd.txt", "3 Archery", r"classInd.txt:1: expected '1 CLASS', got '3 Archery'"),
        ("classInd.txt", "Archery", r"classInd.txt:1: expected '1 CLASS'"),
        ("trainlist01.txt", "Diving/v_x.avi 3", r"trainlist01.txt:1: .* a class of classInd.txt"),
        ("trainlist01.txt", "v_Archery_g08_c01.avi 1", r"trainlist01.txt:1: .* 'CLASS/video.avi'"),
        ("trainlist01.txt", "Archery/v_x.avi 2", r"trainlist01.txt:1: class Archery is number 1"),
        ("testlist01.txt", TRAIN[1][0], r"testlist01.txt:1: .*listed already, at .*list01.txt:1"),
        ("trainlist01.txt", "", r"trainlist01.txt: the list is empty"),
    ],
)
def test_wrong_lists(root, file, line, message):
    write(root / "ucfTrainTestlist" / file, line)
    with pytest.raises(UserError, match=message):
        ucf101(data_cfg(root, "DATA.FOLD", 1), "train")
