"""The files that a user names for ``embed`` and ``predict``."""

import os

from helpers.data_files import touch

from slowfast.inference.listing import list_files


def listed(folder, **options):
    manifest = list_files(folder, **options)
    rows = [manifest.row(row) for row in range(len(manifest))]
    return [(os.path.relpath(row.path, folder), row.label) for row in rows], manifest.class_names


def test_files_next_to_the_folders_of_splits(tmp_path):
    for name in ("test/run/1.mp4", "test/jump/2.mp4", "3.mp4", "4.wav", ".5.mp4", "extra/6.mp4"):
        touch(tmp_path / name)
    videos = [("test/jump/2.mp4", 0), ("test/run/1.mp4", 1), ("3.mp4", -1)]
    assert listed(tmp_path) == (videos, ["jump", "run"])
    assert listed(tmp_path, audio_only=True)[0] == [*videos, ("4.wav", -1)]


def test_the_only_split_does_not_hide_videos(tmp_path):
    for name in ("test/1.mp4", "2.mp4"):
        touch(tmp_path / name)
    assert listed(tmp_path)[0] == [("test/1.mp4", -1), ("2.mp4", -1)]
