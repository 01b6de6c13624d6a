import os

import numpy as np
import pytest

from slowfast.config import ConfigValueError
from slowfast.datasets import missing_files
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.bad_media import BadMediaLog
from slowfast.datasets.missing_files import count_missing, find_missing


def make_manifest(folder, there, gone):
    paths = []
    for number in range(there + gone):
        path = folder / f"clip_{number}.mp4"
        if number < there:
            path.touch()
        paths.append(VideoRecord(str(path)))
    return Manifest.from_rows(paths, [])


def make_log(folder, manifest, limit):
    return BadMediaLog(folder, split="train", num_files=len(manifest), max_fraction=limit)


def test_missing_files_are_counted_and_recorded(tmp_path, caplog):
    manifest = make_manifest(tmp_path, 97, 3)
    log = make_log(tmp_path, manifest, 0.05)
    count_missing(manifest, log, 0.05)
    assert "3 of 100 files that were looked up are missing, e.g. " in caplog.text
    assert len(log) == 3
    assert (tmp_path / "bad_media.csv").read_text(encoding="utf-8").count("it is missing") == 3


def test_too_many_missing_files_stop_before_training(tmp_path):
    manifest = make_manifest(tmp_path, 5, 5)
    with pytest.raises(ConfigValueError, match=r"DATA\.MAX_BAD_FRACTION: 5 of 10 files.*50\.0%"):
        count_missing(manifest, make_log(tmp_path, manifest, 0.05), 0.05)


def test_of_a_long_list_a_sample_is_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr(missing_files, "_ALL", 50)
    monkeypatch.setattr(missing_files, "_SAMPLE", 40)
    manifest = make_manifest(tmp_path, 10, 90)
    with pytest.raises(ConfigValueError, match=r"of 40 files that were looked up are missing"):
        count_missing(manifest, make_log(tmp_path, manifest, 0.2), 0.2)
    log = make_log(tmp_path, manifest, 0.9)  # 36 of 40 do not show that more than 90% are
    count_missing(manifest, log, 0.9)
    assert 0 < len(log) <= 40


def test_a_lookup_that_hangs_does_not_hang_training(tmp_path, monkeypatch):
    manifest = make_manifest(tmp_path, 200, 1)
    block = missing_files.threading.Event()
    real = os.stat

    def stat(path):
        if str(path).endswith("clip_3.mp4"):
            block.wait(20)
        return real(path)

    monkeypatch.setattr(missing_files.os, "stat", stat)
    num_seen, missing = find_missing(manifest, np.arange(201), limit_sec=1.0)
    block.set()
    assert num_seen == 201 - 64
    assert missing == [200]


def test_videos_of_a_frame_list_are_not_missing(tmp_path):
    (tmp_path / "list.csv").touch()
    rows = [VideoRecord(str(tmp_path / "list.csv" / "video")), VideoRecord(str(tmp_path / "no"))]
    assert find_missing(Manifest.from_rows(rows, []), range(2)) == (2, [1])
