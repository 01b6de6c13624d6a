"""Files are found by the end of their path."""

import pytest
from helpers.data_files import touch

from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES


@pytest.fixture
def root(tmp_path):
    for name in ("UCF-101/Archery/v_a.avi", "UCF-101/Bowling/v_a.avi", "top.mp4", "notes.txt"):
        touch(tmp_path / name)
    return tmp_path


def test_by_folder_and_name_wherever_they_lie(root):
    index = MediaIndex(root)
    assert index.find("Archery/v_a.avi") == str(root / "UCF-101/Archery/v_a.avi")
    assert index.find("UCF-101/Bowling/v_a.avi") == str(root / "UCF-101/Bowling/v_a.avi")
    assert index.find("top.mp4") == str(root / "top.mp4")
    for name in ("Diving/v_a.avi", "Archery/v_b.avi", "notes.txt", "101/Archery/v_a.avi"):
        assert index.find(name) is None


def test_folders_of_frames_are_found_behind_files(root):
    for name in ("frames/Archery/v_b/img_{}.jpg", "frames/v.1/{}.png", "A/Archery/v_a/{}.jpg"):
        for number in range(2):
            touch(root / name.format(number))
    index = MediaIndex(root)
    assert index.find("Archery/v_b.avi") == str(root / "frames/Archery/v_b")
    assert index.find("Bowling/v_b.avi") is None
    assert index.find("v.1.webm") == index.find_stem("v.1") == str(root / "frames/v.1")
    assert index.find("Archery/v_a.mp4") == str(root / "UCF-101/Archery/v_a.avi")
    assert MediaIndex(root, MEDIA_SUFFIXES).find("v_b.wav") is None


def test_another_suffix_will_do_but_the_very_one_is_preferred(root):
    index = MediaIndex(root)
    assert index.find("Archery/v_a.mp4") == str(root / "UCF-101/Archery/v_a.avi")
    touch(root / "UCF-101/Archery/v_a.mp4")
    touch(root / "UCF-101/Archery/v_a.3gp")
    for suffix in ("avi", "mp4"):
        expected = str(root / f"UCF-101/Archery/v_a.{suffix}")
        assert MediaIndex(root).find(f"Archery/v_a.{suffix}") == expected


def test_audio_next_to_video_is_not_taken_for_it(root):
    touch(root / "clip.wav")
    assert MediaIndex(root).find("clip.mp4") is None
    assert MediaIndex(root, MEDIA_SUFFIXES).find("clip.mp4") == str(root / "clip.wav")


def test_case(root):
    assert MediaIndex(root).find("archery/V_A.avi") is None
    found = MediaIndex(root, fold_case=True).find("archery/V_A.AVI")
    assert found == str(root / "UCF-101/Archery/v_a.avi")


def test_by_stem(root):
    touch(root / "x" / "id_30.000_40.000.mkv")
    assert MediaIndex(root).find_stem("id_30.000_40.000") == str(root / "x/id_30.000_40.000.mkv")
    assert MediaIndex(root).find_stem("id") is None
