"""Kinetics' official csv files, with videos called as downloaders do."""

import io
import tarfile

import pytest
from helpers.data_files import WHOLE, data_cfg, names, touch, windows, write
from helpers.media_files import Audio, write_media

from slowfast.config import UserError
from slowfast.datasets.build import has_split
from slowfast.datasets.catalog.video_folder import manifest_from_cfg, video_folder

PCM = Audio("pcm_s16le", 8000, "mono", {})
HEADER = "label,youtube_id,time_start,time_end,split"
TRAIN = ["jumping,--aaaaaaaaa,10,20,train", '"air drumming, loud",_bbbbbbbbb-,0,10,train']
VAL = ["jumping,ccccccccccc,30,40,validate"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "k400"
    write(folder / "train.csv", HEADER, *TRAIN)
    write(folder / "validate.csv", HEADER, *VAL)
    return folder


@pytest.mark.parametrize(
    "files",
    [
        ("--aaaaaaaaa_000010_000020.mp4", "_bbbbbbbbb-_000000_000010.mp4"),
        ("train/jumping/--aaaaaaaaa_000010_000020.mp4", "train/x/_bbbbbbbbb-_000000_000010.mkv"),
        ("videos/--aaaaaaaaa_10_20.mp4", "videos/_bbbbbbbbb-_0.webm"),
    ],
)
def test_trimmed_files_by_any_name(root, files, caplog):
    caplog.set_level("INFO")
    for name in (*files, "validate/jumping/ccccccccccc_000030_000040.mp4"):
        touch(root / name)
    cfg = data_cfg(root)
    train, val = manifest_from_cfg(cfg, "train"), manifest_from_cfg(cfg, "val")
    assert train.class_names == val.class_names == ["air drumming, loud", "jumping"]
    assert names(train) == [(files[0].split("/")[-1], 1), (files[1].split("/")[-1], 0)]
    assert windows(train) == [WHOLE, WHOLE]
    assert names(val) == [("ccccccccccc_000030_000040.mp4", 1)]
    assert names(manifest_from_cfg(cfg, "test")) == names(val)
    assert names(video_folder(cfg, "gallery").manifest) == names(train)
    assert has_split("kinetics", cfg, "val")
    assert not has_split("kinetics", cfg, "test")
    assert "train split: 2 files of 2 classes" in caplog.text
    assert "splits: train (train.csv), val (validate.csv)" in caplog.text


@pytest.mark.parametrize(("seconds", "window"), [(10, WHOLE), (21, (10.0, 20.0))])
def test_files_called_by_their_id_are_looked_into(root, seconds, window):
    (root / "videos").mkdir()
    write_media(root / "videos" / "--aaaaaaaaa.mp4", PCM._replace(seconds=seconds), container="wav")
    write_media(root / "videos" / "_bbbbbbbbb-.mp4", PCM._replace(seconds=10), container="wav")
    manifest = manifest_from_cfg(data_cfg(root), "train")
    assert names(manifest) == [("--aaaaaaaaa.mp4", 1), ("_bbbbbbbbb-.mp4", 0)]
    assert windows(manifest)[0] == window


def test_classes_in_an_order_of_ones_own(root):
    touch(root / "--aaaaaaaaa_000010_000020.mp4")
    touch(root / "_bbbbbbbbb-_000000_000010.mp4")
    write(root / "classes.txt", "jumping", "air drumming, loud")
    assert [label for _, label in names(manifest_from_cfg(data_cfg(root), "train"))] == [0, 1]
    write(root / "classes.txt", "jumping")
    with pytest.raises(
        UserError, match=r"train.csv:3: 'air drumming, loud' is not a class of classes"
    ):
        manifest_from_cfg(data_cfg(root), "train")


def test_one_csv_of_all_splits_next_to_the_videos(root):
    write(root.parent / "lists" / "k400.csv", HEADER, *TRAIN, *VAL)
    for name in ("train.csv", "validate.csv"):
        (root / name).unlink()
    for name in ("--aaaaaaaaa_000010_000020", "_bbbbbbbbb-_000000_000010", "ccccccccccc_000030"):
        touch(root / f"{name}.mp4")
    cfg = data_cfg(root, "DATA.PATH_TO_SPLIT_DIR", root.parent / "lists")
    assert names(manifest_from_cfg(cfg, "val")) == [("ccccccccccc_000030.mp4", 1)]
    assert len(manifest_from_cfg(cfg, "train")) == 2


def test_a_test_list_without_labels_and_times_of_a_clock(root):
    write(
        root / "test.csv", "youtube_id,time_start,time_end,split", "ddddddddddd,0:01:05,1:15,test"
    )
    touch(root / "ddddddddddd_000065_000075.mp4")
    assert names(manifest_from_cfg(data_cfg(root), "test")) == [
        ("ddddddddddd_000065_000075.mp4", -1)
    ]
    write(root / "test.csv", "label,youtube_id", "jumping,eeeeeeeeeee")
    touch(root / "eeeeeeeeeee.mp4")
    assert names(manifest_from_cfg(data_cfg(root), "test")) == [("eeeeeeeeeee.mp4", 1)]


def test_missing_files_and_wrong_rows(root):
    touch(root / "--aaaaaaaaa_000010_000020.mp4")
    with pytest.raises(UserError, match=r"MAX_BAD_FRACTION: 1 of the 2 files of the train .*50.0%"):
        manifest_from_cfg(data_cfg(root), "train")
    cfg = data_cfg(root, "DATA.MAX_BAD_FRACTION", 0.5)
    assert len(manifest_from_cfg(cfg, "train")) == 1
    for row in ("jumping,aaaaaaaaaaa,20,10,train", "jumping,,0,10,train"):
        write(root / "train.csv", HEADER, row)
        with pytest.raises(UserError, match=r"train.csv:2: expected an id and 0 <= start < end"):
            manifest_from_cfg(cfg, "train")
    write(root / "train.csv", "path,label", "/v/a.mp4,1")
    with pytest.raises(UserError, match=r"by their YouTube id and .*train.csv by their path"):
        manifest_from_cfg(cfg, "train")


def test_a_job_that_only_classifies_takes_all_files_of_a_plain_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    for number in range(40):
        touch(tmp_path / "clips" / f"{number}.mp4")

    def tested(*words):
        return len(manifest_from_cfg(data_cfg(tmp_path / "clips", *words), "test"))

    assert tested("TRAIN.ENABLE", False) == 40
    assert 0 < tested() < 15
    assert 0 < tested("TRAIN.ENABLE", False, "TEST.PROTOCOLS", ["class_retrieval"]) < 15


def test_labeled_tars_without_splits_stay_split(tmp_path, monkeypatch):
    """A classifier may have been trained on the other files."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "0.tar", "w") as tar:
        for number in range(40):
            for name, content in ((f"{number}.mp4", b"v"), (f"{number}.cls", b"1")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    cfg = data_cfg(tmp_path / "tars", "TRAIN.ENABLE", False)
    train, test = (manifest_from_cfg(cfg, split) for split in ("train", "test"))
    assert len(train) + len(test) == 40
    assert 0 < len(test) < 15
