"""Folders of extracted frames as videos: times, audio next to them, what is listed, damage."""

import cv2
import numpy as np
import pytest
from helpers.data_files import data_cfg, listed, touch
from helpers.media_files import Audio, numbered_frame, read_numbers, write_media

from slowfast.datasets.annotations.files import (
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    is_frame_folder,
    media_files,
)
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.catalog.video_folder import video_folder
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.frames import FrameFolder
from slowfast.datasets.decoding.reader import MediaError

pytestmark = pytest.mark.usefixtures("_cache")


def write_frames(folder, numbers, pattern="img_{:05d}.jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / pattern.format(number)), numbered_frame(number)[..., ::-1])
    return folder


@pytest.mark.parametrize("pattern", ["img_{:05d}.jpg", "{}.png", "frame-{:03d}.JPEG"])
def test_frames_come_by_their_number(tmp_path, pattern):
    folder = write_frames(tmp_path / "v", range(1, 31), pattern)
    with FrameFolder(folder, 10.0) as reader:
        assert reader.video_extent_sec == (0.0, 3.0)
        frames = reader.read_video(np.array([-1.0, 0.0, 0.09, 0.1, 1.05, 2.9, 9.0]))
        assert read_numbers(frames) == [1, 1, 1, 2, 11, 30, 30]
        assert frames.dtype == np.uint8


def test_a_missing_number_holds_the_frame_before(tmp_path):
    folder = write_frames(tmp_path / "v", (1, 2, 6))
    with FrameFolder(folder, 1.0) as reader:
        assert read_numbers(reader.read_video(np.arange(6.0))) == [1, 2, 2, 2, 2, 6]


def test_colors_and_short_side(tmp_path):
    red = np.zeros((60, 80, 3), np.uint8)
    red[..., 2] = 255  # BGR
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), red)
    with FrameFolder(folder, 10.0) as reader:
        frames = reader.read_video(np.zeros(2), short_side=30)
        assert frames.shape == (2, 30, 40, 3)
        assert frames[0, 0, 0].tolist() == [255, 0, 0]
        assert reader.read_video(np.zeros(1), short_side=90).shape == (1, 60, 80, 3)


@pytest.mark.parametrize("place", ["v.wav", "v/audio.wav"])
def test_audio_next_to_the_frames(tmp_path, place):
    folder = write_frames(tmp_path / "v", range(20))
    with FrameFolder(folder, 10.0) as reader:
        audio, share = reader.read_audio(0.0, 8000, 8000)
        assert share == 0
        assert not audio.any()
        with pytest.raises(MediaError, match="no audio"):
            _ = reader.audio_extent_sec
    write_media(tmp_path / place, Audio("pcm_s16le", 8000, "mono", {}, seconds=2))
    with FrameFolder(folder, 10.0) as reader:
        assert reader.audio_extent_sec == pytest.approx((0, 2), abs=0.01)
        audio, share = reader.read_audio(0.5, 8000, 8000)
        assert share == 1
        assert np.abs(audio).max() > 0.1


def test_optical_flow_is_not_mixed_in(tmp_path):
    folder = write_frames(tmp_path / "v", range(1, 4))
    write_frames(folder, range(5, 9), "flow_x_{:05d}.jpg")
    with FrameFolder(folder, 1.0) as reader:
        assert read_numbers(reader.read_video(np.arange(4.0))) == [1, 2, 3, 3]
    write_frames(folder, range(5, 9), "other_{:05d}.jpg")
    with pytest.raises(MediaError, match=r"several series: img_00001.jpg, other_00005.jpg"):
        FrameFolder(folder, 1.0)


def test_damage_is_named(tmp_path):
    folder = write_frames(tmp_path / "v", range(1, 4))
    (folder / "img_00002.jpg").write_bytes(b"no image")
    with FrameFolder(folder, 1.0) as reader:
        assert read_numbers(reader.read_video(np.zeros(1))) == [1]
        with pytest.raises(MediaError, match=r"v: its frame img_00002.jpg cannot be decoded"):
            reader.read_video(np.ones(1))
    cv2.imwrite(str(folder / "img_00002.jpg"), np.zeros((9, 9, 3), np.uint8))
    with FrameFolder(folder, 1.0) as reader, pytest.raises(MediaError, match="several sizes"):
        reader.read_video(np.arange(2.0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="a folder without numbered images"):
        open_row(VideoRecord(str(tmp_path / "empty")))


def test_windows_of_folders(tmp_path):
    folder = write_frames(tmp_path / "v", range(30))
    with open_row(VideoRecord(str(folder), start_sec=1.0, end_sec=2.0), 10.0) as reader:
        assert reader.video_extent_sec == (1.0, 2.0)
        assert read_numbers(reader.read_video(np.array([0.0, 1.5, 5.0]))) == [10, 15, 19]


def test_what_a_folder_of_frames_is():
    assert is_frame_folder(["img_1.jpg", "img_2.jpg", "a.wav", "note.txt"])
    assert not is_frame_folder(["thumb_1.jpg", "thumb_2.jpg", "video.mp4"])
    assert not is_frame_folder(["img_1.jpg"])
    assert not is_frame_folder(["cover.jpg", "back.jpg"])
    assert not is_frame_folder(["insight.json", "thumbnail_1.jpg", "thumbnail_2.jpg"])


def test_folders_of_frames_are_listed_as_videos(tmp_path):
    root = tmp_path / "data"
    for name in ("train/jump/v1/img_{}.jpg", "train/run/v2/{}.png", "test/run/v3/img_{}.jpg"):
        for number in range(3):
            touch(root / name.format(number))
    touch(root / "train" / "jump" / "v1.wav")
    touch(root / "train" / "run" / "v4.mp4")
    touch(root / "train" / "run" / "poster_1.jpg")
    assert listed(load_manifest(root, "train")) == [
        (str(root / "train/jump/v1"), 0),
        (str(root / "train/run/v4.mp4"), 1),
        (str(root / "train/run/v2"), 1),
    ]
    assert len(list(media_files(root, VIDEO_SUFFIXES))) == 1
    assert listed(load_manifest(root, "train", suffixes=MEDIA_SUFFIXES))[0][0].endswith("v1.wav")


@pytest.mark.parametrize("keep", ["True", "False"])
def test_samples_of_folders_of_frames(tmp_path, keep):
    root = tmp_path / "data"
    write_frames(root / "train" / "jump" / "v1", range(40))
    write_media(root / "train" / "jump" / "v1.wav", Audio("pcm_s16le", 8000, "mono", {}, seconds=4))
    cfg = data_cfg(root, "DATA.FRAME_FOLDER_FPS", 10.0, "DATA_LOADER.CACHE_DECODED", keep)
    cfg.merge_from_list(["DATA.NUM_FRAMES", 4, "DATA.SAMPLING_RATE", 2])
    cfg.merge_from_list(["AUDIO.CLIP_SEC", 1.0, "DATA.TRAIN_CROP_SIZE", 32])
    sample = video_folder(cfg, "train")[0, 0]
    assert sample["video"].shape[1] == 4
    assert sample["audio_valid"].all()
