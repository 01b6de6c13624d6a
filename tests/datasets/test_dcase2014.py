"""The acoustic scenes: official folders, lists of folds, class folders."""

import pytest
from helpers.data_files import data_cfg, listed, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.dcase2014 import dcase2014


@pytest.fixture(params=["", "scenes_stereo"])
def root(tmp_path, request):
    """The zips unpacked: one of them holds a folder of its own name."""
    folder = tmp_path / "dcase"
    for name in ("bus01", "bus02", "busystreet01", "park10"):
        touch(folder / "scenes_stereo" / request.param / f"{name}.wav")
    for name in ("bus01", "park03"):
        touch(folder / "scenes_stereo_testset" / f"{name}.wav")
    return folder


def setup(root, evaluate="evaluate"):
    folder = root / "evaluation_setup"
    for fold in (1, 2):
        write(folder / f"fold{fold}_train.txt", f"bus0{fold}.wav\tbus", "park10.wav\tpark")
        write(folder / f"fold{fold}_{evaluate}.txt", f"scenes_stereo/bus0{3 - fold}.wav\tbus")
    return folder


def test_the_official_folders(root):
    cfg = data_cfg(root)
    train, test = (build_dataset("DCASE2014", cfg, split).manifest for split in ("train", "test"))
    assert train.class_names == test.class_names == ["bus", "busystreet", "park"]
    assert names(train) == [
        ("bus01.wav", 0),
        ("bus02.wav", 0),
        ("busystreet01.wav", 1),
        ("park10.wav", 2),
    ]
    assert names(test) == [("bus01.wav", 0), ("park03.wav", 2)]
    assert listed(dcase2014(cfg, "gallery").manifest) == listed(train)
    assert has_split("dcase2014", cfg, "test")
    assert not has_split("dcase2014", cfg, "val")


@pytest.mark.parametrize("evaluate", ["evaluate", "test"])
def test_lists_of_folds(tmp_path, evaluate):
    root = tmp_path / "dcase"
    for name in ("bus01", "bus02", "park10"):
        touch(root / "scenes_stereo" / f"{name}.wav")
    setup(root, evaluate)
    cfg = data_cfg(root, "DATA.FOLD", 2)
    assert names(dcase2014(cfg, "train").manifest) == [("bus02.wav", 0), ("park10.wav", 1)]
    assert names(dcase2014(cfg, "test").manifest) == [("bus01.wav", 0)]
    with pytest.raises(UserError, match=r"dcase2014 has folds 1 to 2; got 3"):
        dcase2014(data_cfg(root, "DATA.FOLD", 3), "train")
    # Without a fold the official folders are meant; where there are none, a fold is missing.
    assert len(dcase2014(data_cfg(root), "train").manifest) == 3
    (root / "scenes_stereo").rename(root / "audio")
    with pytest.raises(UserError, match=r"dcase2014 has folds 1 to 2; got 0"):
        dcase2014(data_cfg(root), "train")


def test_class_folders(tmp_path):
    root = tmp_path / "own"
    for name in ("train/bus/1.wav", "train/park/2.wav", "val/park/3.wav"):
        touch(root / name)
    cfg = data_cfg(root)
    assert names(dcase2014(cfg, "train").manifest) == [("1.wav", 0), ("2.wav", 1)]
    assert names(dcase2014(cfg, "test").manifest) == [("3.wav", 1)]
    assert has_split("dcase2014", cfg, "val")
    with pytest.raises(UserError, match=r"got 1, but the dataset dcase2014 has no folds"):
        dcase2014(data_cfg(root, "DATA.FOLD", 1), "train")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("bus01.wav", r"fold1_train.txt:1: expected a file, a tab and its class, got 'bus01.wav'"),
        ("bus02.wav\tbus", r"fold1_evaluate.txt:1: bus02.wav is listed already, at \S*train.txt:1"),
        ("bus01.wav\tpark", r"fold1_evaluate.txt:1: the class 'bus' is not in the training list"),
    ],
)
def test_wrong_lists(tmp_path, train, message):
    root = tmp_path / "dcase"
    touch(root / "bus02.wav")
    write(setup(root) / "fold1_train.txt", train)
    write(root / "evaluation_setup" / "fold1_evaluate.txt", "bus02.wav\tbus")
    with pytest.raises(UserError, match=message):
        dcase2014(data_cfg(root, "DATA.FOLD", 1), "train")


def test_odd_names_and_missing_folders(root):
    touch(root / "scenes_stereo" / "notes.wav")
    with pytest.raises(UserError, match=r"notes.wav: expected the name of a class and a number"):
        dcase2014(data_cfg(root), "train")
    for file in (root / "scenes_stereo").rglob("*.wav"):
        file.unlink()
    with pytest.raises(UserError, match=r"scenes_stereo has no audio files. Expected: scenes_"):
        dcase2014(data_cfg(root), "train")
    with pytest.raises(UserError, match=r"PATH_TO_SPLIT_DIR: found no fold\*_train.txt"):
        dcase2014(data_cfg(root, "DATA.PATH_TO_SPLIT_DIR", root / "scenes_stereo"), "train")
