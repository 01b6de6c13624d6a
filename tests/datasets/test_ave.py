"""AVE's official lists."""

import pytest
from helpers.data_files import data_cfg, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.ave import ave

HEADER = "Category&VideoID&Quality&StartTime&EndTime"
LISTS = {
    "train": ["Church bell&RUhOCu3LNXM&good&0&10", "Church bell&RUhOCu3LNXM&good&2&5"],
    "val": ["Accordion&-abcdefghij&good&1&4"],
    "test": ["Truck&zzzzzzzzzzz&good&0&9"],
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "AVE_Dataset"
    for split, lines in LISTS.items():
        write(folder / f"{split}Set.txt", *([HEADER] if split == "val" else []), *lines)
    for video in ("RUhOCu3LNXM", "-abcdefghij", "zzzzzzzzzzz"):
        touch(folder / "AVE" / f"{video}.mp4")
    return folder


def test_splits(root):
    cfg = data_cfg(root)
    train, val, test = (build_dataset("AVE", cfg, split).manifest for split in LISTS)
    assert train.class_names == ["Accordion", "Church bell", "Truck"]
    assert names(train) == [("RUhOCu3LNXM.mp4", 1)]
    assert names(val) == [("-abcdefghij.mp4", 0)]
    assert names(test) == [("zzzzzzzzzzz.mp4", 2)]
    assert has_split("ave", cfg, "val")


def test_a_video_of_two_splits_is_named(root, caplog):
    write(root / "testSet.txt", "Truck&RUhOCu3LNXM&good&0&9")
    ave(data_cfg(root), "train")
    assert "1 videos of" in caplog.text
    assert "are also in testSet.txt, e.g. RUhOCu3LNXM" in caplog.text


def test_wrong_lines(root):
    write(root / "trainSet.txt", "Church bell&RUhOCu3LNXM")
    with pytest.raises(UserError, match=r"trainSet.txt:1: expected 'Category&VideoID&Quality"):
        ave(data_cfg(root), "train")
