"""ESC-50 and ESC-10: the official table, and class folders with a table of their own."""

import pytest
from helpers.data_files import data_cfg, listed, names, touch, write
from helpers.media_files import Audio, write_media

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.esc50 import esc10, esc50

HEADER = "filename,fold,target,category,esc10,src_file,take"
# The official numbers are not the order of the names.
CLIPS = [
    "1-100-A-0.wav,1,0,dog,True,100,A",
    "1-101-A-1.wav,1,1,rooster,True,101,A",
    "2-102-A-2.wav,2,2,cat,False,102,A",
    "3-103-A-10.wav,3,10,rain,True,103,A",
    "3-104-B-0.wav,3,0,dog,True,104,B",
]


@pytest.fixture(params=["", "ESC-50-master"])
def root(tmp_path, request):
    folder = tmp_path / "esc"
    write(folder / request.param / "meta" / "esc50.csv", HEADER, *CLIPS)
    for line in CLIPS:
        touch(folder / request.param / "audio" / line.split(",")[0])
    return folder


def test_the_fold_is_tested_and_the_others_train(root):
    cfg = data_cfg(root, "DATA.FOLD", 3)
    train, test = (build_dataset("ESC50", cfg, split).manifest for split in ("train", "test"))
    assert train.class_names == ["dog", "rooster", "cat", "rain"]
    assert names(train) == [("1-100-A-0.wav", 0), ("1-101-A-1.wav", 1), ("2-102-A-2.wav", 2)]
    assert names(test) == [("3-103-A-10.wav", 3), ("3-104-B-0.wav", 0)]
    assert listed(esc50(cfg, "gallery").manifest) == listed(train)
    assert not has_split("esc50", cfg, "val")
    with pytest.raises(UserError, match="esc50 has folds 1 to 3; got 4"):
        esc50(data_cfg(root, "DATA.FOLD", 4), "train")


def test_esc10_is_what_the_table_marks(root):
    cfg = data_cfg(root, "DATA.FOLD", 1)
    train, test = (esc10(cfg, split).manifest for split in ("train", "test"))
    assert train.class_names == ["dog", "rooster", "rain"]
    assert names(train) == [("3-103-A-10.wav", 2), ("3-104-B-0.wav", 0)]
    assert names(test) == [("1-100-A-0.wav", 0), ("1-101-A-1.wav", 1)]


@pytest.mark.parametrize("header", ["file,fold,label", "filename,fold,category"])
def test_class_folders_with_a_table(tmp_path, header):
    root = tmp_path / "own"
    lines = ["rain/a.ogg,1,rain", "dog/a.ogg,2,dog"]
    write(root / "meta.csv", header, *lines)
    for line in lines:
        path = root / line.split(",")[0]
        path.parent.mkdir()
        write_media(path, Audio("vorbis", options={}, seconds=0.5))
    cfg = data_cfg(root, "DATA.FOLD", 2, "AUDIO.CLIP_SEC", 0.25)
    train = esc10(cfg, "train")
    assert listed(train.manifest) == [(str(root / "rain" / "a.ogg"), 1)]
    assert train.manifest.class_names == ["dog", "rain"]
    assert listed(esc50(cfg, "test").manifest) == [(str(root / "dog" / "a.ogg"), 0)]
    sample = train[0, 0]
    assert sample["audio"].shape == (1, 6000)
    assert sample["audio_valid"].all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,fold,category", "a.wav,1,dog"], r"esc50.csv:1: expected a header with the columns"),
        ([HEADER, "a.wav,one,0,dog,True,1,A"], r"esc50.csv:2: expected 7 values .* a fold from 1"),
        ([HEADER, "a.wav,1,0,dog"], r"esc50.csv:2: expected 7 values as in the header"),
        ([HEADER, CLIPS[0], "a.wav,1,7,dog,True,1,A"], r"esc50.csv:3: class dog is number 7 here"),
        (
            [HEADER, *CLIPS, CLIPS[0].replace("wav,1", "wav,2")],
            r"1-100-A-0.wav is listed already",
        ),
        (
            [HEADER, CLIPS[0], "a.wav,1,0,cat,True,1,A"],
            r"two classes of the table have the same target",
        ),
    ],
)
def test_wrong_tables(root, lines, message):
    write(next(root.rglob("esc50.csv")), *lines)
    with pytest.raises(UserError, match=message):
        esc50(data_cfg(root, "DATA.FOLD", 1), "train")


def test_no_table_and_no_file_of_esc10(root):
    write(next(root.rglob("esc50.csv")), HEADER, CLIPS[2])
    with pytest.raises(UserError, match=r"esc50.csv: it lists no file of esc10"):
        esc10(data_cfg(root, "DATA.FOLD", 2), "train")
    next(root.rglob("esc50.csv")).unlink()
    with pytest.raises(UserError, match=r"PATH_TO_SPLIT_DIR: found no esc50.csv or meta.csv in"):
        esc50(data_cfg(root, "DATA.FOLD", 1), "train")
