"""A row as a reader: windows hide what lies outside of them, slices are read in place."""

import tarfile

import numpy as np
import pytest
from helpers.media_files import Audio, Video, read_numbers, write_media

from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.decoding.clip_reader import TrimmedReader, open_row
from slowfast.datasets.decoding.reader import MediaError, MediaReader, open_media

RATE = 16000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """60 numbered frames and two seconds of audio."""
    return str(write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", Video(), Audio()))


def test_a_row_without_a_window_is_the_plain_reader(clip):
    with open_row(VideoRecord(clip)) as reader:
        assert type(reader) is MediaReader


def test_the_extents_are_cut_to_the_window(clip):
    with open_row(VideoRecord(clip, start_sec=0.5, end_sec=1.25)) as reader:
        assert type(reader) is TrimmedReader
        assert reader.video_extent_sec == (0.5, 1.25)
        assert reader.audio_extent_sec == (0.5, 1.25)
    with open_row(VideoRecord(clip, start_sec=1.5)) as reader:
        assert reader.video_extent_sec == (1.5, pytest.approx(2.0))


def test_frames_outside_of_the_window_are_not_seen(clip):
    with open_row(VideoRecord(clip, start_sec=0.5, end_sec=1.0)) as reader:
        frames = reader.read_video(np.array([0.0, 0.51, 0.7, 0.99, 1.01, 5.0]))
    assert read_numbers(frames) == [15, 15, 21, 29, 29, 29]
    with open_row(VideoRecord(clip, start_sec=0.51, end_sec=0.5101)) as reader:  # of no frame
        assert read_numbers(reader.read_video(np.array([0.0, 1.0]))) == [15, 15]


def test_audio_outside_of_the_window_is_not_heard(clip):
    with open_media(clip) as whole:
        expected = whole.read_audio(0.25, RATE, RATE)[0]
    with open_row(VideoRecord(clip, start_sec=0.5, end_sec=1.0)) as reader:
        audio, share = reader.read_audio(0.25, RATE, RATE)
        assert share == 0.5
        assert not audio[: RATE // 4].any()
        assert not audio[3 * RATE // 4 :].any()
        np.testing.assert_array_equal(
            audio[RATE // 4 : 3 * RATE // 4], expected[RATE // 4 : 3 * RATE // 4]
        )
        for start in (1.5, -2.0):
            audio, share = reader.read_audio(start, RATE // 4, RATE)
            assert share == 0
            assert not audio.any()


def test_inside_of_the_window_nothing_is_changed(clip):
    with (
        open_media(clip) as whole,
        open_row(VideoRecord(clip, start_sec=0.1, end_sec=1.9)) as reader,
    ):
        ours, theirs = (r.read_audio(0.3, 4000, RATE) for r in (reader, whole))
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1] == 1
        times = np.linspace(0.3, 1.5, 7)
        np.testing.assert_array_equal(reader.read_video(times), whole.read_video(times))


def test_a_window_behind_the_file_says_so(clip):
    with open_row(VideoRecord(clip, start_sec=30.0, end_sec=40.0)) as reader:
        with pytest.raises(
            MediaError, match=r"window from 30 to 40 s contains no video; the video lasts .* 2.00"
        ):
            _ = reader.video_extent_sec
        with pytest.raises(MediaError, match=r"window from 30 to 40 s contains no audio"):
            _ = reader.audio_extent_sec


def test_a_member_of_a_tar(clip, tmp_path):
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(__file__, "0.txt")
        tar.add(clip, "0.mp4")
    with tarfile.open(shard) as tar:
        member = tar.getmember("0.mp4")
    row = VideoRecord(str(shard), 0, 0.5, 1.0, member.offset_data, member.size)
    with open_row(row) as reader:
        assert read_numbers(reader.read_video(np.array([0.7, 9.0]))) == [21, 29]
    with open_row(row._replace(size=-1)) as reader:
        assert read_numbers(reader.read_video(np.array([0.7]))) == [21]


def test_closing_closes_the_file(clip):
    with open_row(VideoRecord(clip, end_sec=1.0)) as reader:
        pass
    with pytest.raises(ValueError, match="closed"):
        reader.read_video(np.array([0.0]))
