"""Files of YouTube segments by their usual names; whole videos are read in windows."""

import pytest
from helpers.data_files import touch
from helpers.media_files import Audio, write_media

from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.catalog.youtube import match_by_youtube_segment, segment_entry

PCM = Audio("pcm_s16le", 8000, "mono", {})
ENTRY = segment_entry("-x_Y1", 30.0, 40.0, label=3, where="list.csv:1")


def located(root, entry=ENTRY, sample=()):
    return match_by_youtube_segment(MediaIndex(root), sample)(entry)


def test_an_entry_is_called_by_video_and_start():
    assert ENTRY.name == "-x_Y1_000030.mp4"
    assert (ENTRY.start_sec, ENTRY.end_sec, ENTRY.label) == (30.0, 40.0, 3)


@pytest.mark.parametrize(
    "name",
    [
        *("-x_Y1_000030.mp4", "-x_Y1_000030_000040.mkv", "-x_Y1_30.webm", "-x_Y1_30_40.mp4"),
        *("-x_Y1_30000_40000.mp4", "-x_Y1_30.000_40.000.mp4", "sub/-x_Y1_30.0_40.0.mp4"),
    ],
)
def test_files_of_segments(tmp_path, name):
    touch(tmp_path / name)
    touch(tmp_path / "-x_Y1_000031.mp4")
    touch(tmp_path / "-X_y1_000030.avi")  # another video: ids are case-sensitive
    assert located(tmp_path) == VideoRecord(str(tmp_path / name), 3)


def test_nothing_there(tmp_path):
    touch(tmp_path / "-x_Y1_000031.mp4")
    assert located(tmp_path) is None


def entries(*names, start=5.0):
    return [segment_entry(name, start, start + 10.0, label=0, where="list.csv:1") for name in names]


def make(root, **seconds):
    for name, length in seconds.items():
        write_media(root / f"{name}.mkv", PCM._replace(seconds=length))


@pytest.mark.parametrize("prefix", ["", "Y"])
def test_whole_videos_are_read_in_windows(tmp_path, prefix):
    make(tmp_path, **{f"{prefix}{name}": 15.0 for name in "ab"})
    rows = entries("a", "b")
    path = str(tmp_path / f"{prefix}b.mkv")
    assert located(tmp_path, rows[1], rows) == VideoRecord(path, 0, 5.0, 15.0)


def test_trimmed_files_are_read_whole(tmp_path):
    make(tmp_path, a=10.0, b=10.0)
    rows = entries("a", "b")
    assert located(tmp_path, rows[1], rows) == VideoRecord(str(tmp_path / "b.mkv"), 0)


def test_the_majority_decides_and_files_that_tell_nothing_are_left_out(tmp_path):
    make(tmp_path, a=10.0, b=10.0, c=20.0, d=20.0, e=20.0)
    touch(tmp_path / "damaged.mkv")
    rows = entries("a", "damaged", "missing", "b")
    from_the_start = entries("c", "d", "e", start=0.0)  # a segment may well end before its video
    assert located(tmp_path, rows[0], [*from_the_start, *rows]) == VideoRecord(
        str(tmp_path / "a.mkv"), 0
    )
    assert located(tmp_path, rows[0], [*rows, *entries("c", "d")]).has_window


def test_only_a_few_are_looked_into(tmp_path):
    make(tmp_path, **{f"v{number}": 10.0 for number in range(9)})
    asked = iter(entries(*(f"v{number}" for number in range(9))))
    locate = match_by_youtube_segment(MediaIndex(tmp_path), asked)
    assert [locate(entry).has_window for entry in entries("v7", "v8")] == [False, False]
    assert len(list(asked)) == 4
