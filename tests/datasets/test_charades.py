"""Frame lists: videos as images that a csv names, with classes at every frame."""

import cv2
import numpy as np
import pytest
from helpers.data_files import data_cfg, write
from helpers.media_files import numbered_frame, read_numbers

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError
from slowfast.datasets.annotations.frame_lists import index_frame_list
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.frame_list import FrameList
from slowfast.datasets.decoding.reader import MediaError

pytestmark = pytest.mark.usefixtures("_cache")

HEADER = "original_vido_id video_id frame_id path labels"
LENGTHS = {"A1": 40, "B2": 25, "C3": 8}


def labels_at(video, frame):
    """Class 0 in the first ten frames of A1, class 2 in its last ten; B2 has 1 and 3; C3 none."""
    if video == "A1":
        return [0] * (frame < 10) + [2] * (frame >= 30)
    return [1, 3] if video == "B2" else []


def lines_of(*videos):
    for number, video in enumerate(videos):
        for frame in range(LENGTHS[video]):
            text = ",".join(str(n) for n in labels_at(video, frame))
            yield f'{video} {number} {frame} {video}/{video}-{frame + 1:06d}.jpg "{text}"'


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("charades") / "images"
    for video, length in LENGTHS.items():
        (folder / video).mkdir(parents=True)
        for frame in range(length):
            name = folder / video / f"{video}-{frame + 1:06d}.jpg"
            cv2.imwrite(str(name), numbered_frame(frame)[..., ::-1])
    return folder


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "data" / "train.csv", HEADER, *lines_of("A1", "B2"))
    write(tmp_path / "data" / "val.csv", HEADER, *lines_of("B2", "C3"))
    return tmp_path / "data"


def charades_cfg(root, images, *words):
    fixed = "DATA.MULTI_LABEL True MODEL.NUM_CLASSES 4 AUDIO.ENABLE False DATA.NUM_FRAMES 4 "
    fixed += "DATA.SAMPLING_RATE 2 TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 1 "
    fixed += "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 64 DATA.TRAIN_JITTER_SCALES [64,64]"
    return data_cfg(root, "DATA.PATH_PREFIX", str(images), *fixed.split(), *words)


def test_a_row_is_a_video_with_the_classes_of_all_its_frames(root):
    manifest = index_frame_list(root / "train.csv", [])
    assert [manifest.row(i).name for i in range(2)] == [
        str(root / "train.csv" / name) for name in ("A1", "B2")
    ]
    assert [manifest.row(i).labels for i in range(2)] == [(0, 2), (1, 3)]
    again = index_frame_list(root / "train.csv", [])  # from the cache
    assert again.row(1) == manifest.row(1)
    before = manifest.digest()
    text = (root / "train.csv").read_text(encoding="utf-8")
    (root / "train.csv").write_text(text.replace("A1-000003", "A1-000004"), encoding="utf-8")
    assert index_frame_list(root / "train.csv", []).digest() != before


def test_frames_and_classes_of_a_clip(root, images):
    row = index_frame_list(root / "train.csv", []).row(0)
    with open_row(row, 30.0, str(images)) as reader:
        assert reader.video_extent_sec == (0.0, 40 / 30)
        frames = reader.read_video(np.array([0, 7, 7.9, 39, 50]) / 30)
        assert read_numbers(frames) == [0, 7, 7, 39, 39]
        with pytest.raises(MediaError, match="no audio"):
            _ = reader.audio_extent_sec


def test_a_training_clip_has_the_classes_of_its_frames(root, images):
    dataset = build_dataset("charades", charades_cfg(root, images), "train")
    seen = set()
    for epoch in range(40):
        sample = dataset[epoch, 0]
        start = sample["clip_start_sec"][0] * 30
        first, last = int(start + 1), int(start + 7)  # centers of the first and the last bin
        expected = sorted({n for f in range(first, last + 1) for n in labels_at("A1", f)})
        assert np.flatnonzero(sample["label"]).tolist() == expected
        seen.add(tuple(expected))
    assert seen == {(0,), (), (2,)}
    assert sample["video"].shape == (1, 4, 32, 32, 3)


def test_a_tested_video_has_the_classes_of_all_frames(root, images):
    cfg = charades_cfg(root, images)
    assert has_split("charades", cfg, "val")
    for split in ("val", "test"):
        dataset = build_dataset("charades", cfg, split)
        labels = {dataset.path(i): dataset[0, i]["label"].tolist() for i in range(len(dataset))}
        assert labels == {
            str(root / "val.csv" / "B2"): [0, 1, 0, 1],
            str(root / "val.csv" / "C3"): [0, 0, 0, 0],
        }
    assert len(build_dataset("charades", cfg, "gallery").manifest) == 2


def test_decoded_files_are_not_cached_but_read(root, images):
    cfg = charades_cfg(root, images, "DATA_LOADER.CACHE_DECODED", True)
    sample = build_dataset("charades", cfg, "train")[0, 1]
    assert sample["label"].tolist() == [0, 1, 0, 1]


def test_the_classes_of_the_dataset(root, images):
    write(
        root / "Charades_v1_classes.txt", "c000 Holding a cup", "c001 Sitting", "c002 x", "c003 y"
    )
    manifest = build_dataset("charades", charades_cfg(root, images), "train").manifest
    assert manifest.class_names == ["Holding a cup", "Sitting", "x", "y"]
    write(root / "Charades_v1_classes.txt", "c000 Holding a cup", "Sitting")
    with pytest.raises(UserError, match=r"classes.txt:2: got 'Sitting'; expected 'c001 NAME'"):
        build_dataset("charades", charades_cfg(root, images), "train")


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        ([[0, 5]], (0,)),
        ([[9, 30]], (0, 2)),
        ([[10, 20, 29]], ()),
        ([[35, 999]], (2,)),
        ([[12, 14], [0, 2]], (0,)),
        ([[8, 12], [28, 30]], (0, 2)),
        ([], ()),
    ],
)
def test_classes_of_the_clips_that_were_read(root, images, clips, expected):
    row = index_frame_list(root / "train.csv", []).row(0)
    with open_row(row, 30.0, str(images)) as reader:
        for frames in clips:
            reader.read_video(np.array(frames) / 30)
        assert reader.labels_read() == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path label"], r"train.csv:1: got 'path label'; expected the header"),
        ([HEADER], r"the list has no frames"),
        ([HEADER, "A1 0 0 a.jpg"], r"train.csv:2: got 'A1 0 0 a.jpg'; expected the columns"),
        ([HEADER, 'A1 0 0 a.jpg "1"', 'A1 0 1 b.jpg "x"'], r"train.csv:3: got .* expected the col"),
        ([HEADER, 'A1 0 0 a.jpg "-1"'], r"train.csv:2: got the label -1"),
        (
            [HEADER, 'A1 0 0 a.jpg ""', 'B 1 0 b.jpg ""', 'A1 0 1 c.jpg ""'],
            r"frames of A1 are in several places.*Sort the list",
        ),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        index_frame_list(write(tmp_path / "train.csv", *lines), [])


def test_mistakes_of_a_configuration(root, images, tmp_path):
    with pytest.raises(UserError, match=r"DATA.PATH_PREFIX: got '.*none', but the first image"):
        build_dataset("charades", charades_cfg(root, tmp_path / "none"), "train")
    cfg = charades_cfg(root, images, "DATA.MULTI_LABEL", False)
    with pytest.raises(UserError, match=r"DATA.MULTI_LABEL: got False, but .* lists of classes"):
        build_dataset("charades", cfg, "train")
    with pytest.raises(UserError, match=r"NUM_CLASSES: got 3, but .* train split is 3; use 4"):
        build_dataset("charades", charades_cfg(root, images, "MODEL.NUM_CLASSES", 3), "train")
    (root / "val.csv").unlink()
    with pytest.raises(UserError, match=r"no such file: .*val.csv"):
        build_dataset("charades", charades_cfg(root, images), "test")


def test_a_list_that_changed_after_it_was_read(root, images):
    row = index_frame_list(root / "train.csv", []).row(1)
    write(root / "train.csv", HEADER)
    with pytest.raises(MediaError, match="the frame list has changed"):
        FrameList(row, str(images), 30.0)
    with pytest.raises(MediaError):
        FrameList(VideoRecord(str(root / "gone.csv" / "A1"), offset=0, size=9), "", 30.0)
