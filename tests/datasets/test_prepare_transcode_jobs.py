"""Re-encoding a folder: where copies go, what is skipped, and that originals stay untouched."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest
from helpers.media_files import Audio, Video, write_media
from helpers.worker_targets import run_here

from slowfast.config import UserError
from slowfast.datasets.prepare import transcode_jobs as prepare_copies
from slowfast.datasets.prepare.check import find_media
from slowfast.datasets.prepare.encode import expected_provenance_tag, read_provenance_tag
from slowfast.datasets.prepare.settings import EncodeSettings
from slowfast.datasets.prepare.transcode_jobs import (
    TranscodeJob,
    TranscodeOutcome,
    check_folders,
    encode_all,
    plan_copies,
)
from slowfast.datasets.prepare.workers import TaskResult

QUICK = EncodeSettings(short_side=48, preset="ultrafast")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_media(path, Video(ticks=range(10)), Audio(seconds=0.3))


@pytest.fixture
def here(monkeypatch):
    """Run tasks in this process."""
    monkeypatch.setattr(prepare_copies, "run_tasks", run_here)


def encode(plans, settings=QUICK):
    return list(encode_all(plans, settings, num_processes=1, timeout_sec=60.0))


def make_folder(root, clip, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clip, root / name)
    return root


def targets(folder, *names, out="out"):
    root = folder.parent / out
    plans = plan_copies(folder, [str(folder / name) for name in names], root)
    return [os.path.relpath(plan.target, root) for plan in plans]


# Where copies go


def test_folders_and_names_are_kept(tmp_path):
    names = ["a/b c.avi", "a/d.MP4", "e.webm", "f.wav", "g.h.mov"]
    expected = ["a/b c.mp4", "a/d.mp4", "e.mp4", "f.m4a", "g.h.mp4"]
    assert targets(tmp_path / "videos", *names) == expected


def test_files_that_differ_in_their_suffix_only_keep_it(tmp_path):
    names = ["a.avi", "a.mp4", "A.mkv", "b/a.avi"]
    expected = ["a.avi.mp4", "a.mp4.mp4", "A.mkv.mp4", "b/a.mp4"]
    assert targets(tmp_path / "videos", *names) == expected
    with pytest.raises(UserError, match=r"two originals would have one copy, a\.avi\.mp4"):
        targets(tmp_path / "videos", "a.avi", "a.mkv", "a.avi.mov")


@pytest.mark.parametrize("out", ["videos", "videos/small", ".", "link/small", "x/../videos"])
def test_copies_never_get_among_the_originals(tmp_path, out):
    (tmp_path / "videos").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("videos")
    with pytest.raises(UserError, match="originals are never touched"):
        check_folders(tmp_path / "videos", tmp_path / out)


def test_a_link_in_the_output_does_not_lead_to_the_originals(tmp_path):
    (tmp_path / "videos" / "a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "videos" / "a")
    with pytest.raises(UserError, match="is a link to the originals"):
        targets(tmp_path / "videos", "a/1.avi")


# What is done, skipped, refused


@pytest.mark.usefixtures("here")
def test_done_files_are_skipped_and_changed_ones_are_not(tmp_path, clip):
    folder = make_folder(tmp_path / "videos", clip, "1.mp4", "2.mp4")
    plans = plan_copies(folder, find_media(folder), tmp_path / "out")
    assert [o.status for o in encode(plans)] == ["encoded", "encoded"]
    stamps = [Path(plan.target).stat().st_mtime_ns for plan in plans]
    again = encode(plans)
    assert [o.status for o in again] == ["skipped", "skipped"]
    assert [Path(plan.target).stat().st_mtime_ns for plan in plans] == stamps
    assert again[0].target_bytes > 0
    os.utime(plans[1].source, (1, 1))
    assert [o.status for o in encode(plans)] == ["skipped", "encoded"]
    assert [o.status for o in encode(plans, QUICK._replace(crf=30))] == ["encoded", "encoded"]
    assert "crf=30" in read_provenance_tag(Path(plans[0].target))


@pytest.mark.usefixtures("here")
def test_files_of_others_are_not_overwritten(tmp_path, clip):
    folder = make_folder(tmp_path / "videos", clip, "1.mp4", "2.mp4", "3.mp4")
    plans = plan_copies(folder, find_media(folder), tmp_path / "out")
    make_folder(tmp_path / "out", clip, "1.mp4")
    (tmp_path / "out" / "2.mp4").write_bytes(b"notes")
    (tmp_path / "out" / "3.mp4").symlink_to(folder / "3.mp4")
    outcomes = encode(plans)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert "did not write" in outcomes[0].reason
    assert (tmp_path / "out" / "1.mp4").read_bytes() == clip.read_bytes()
    assert (folder / "3.mp4").read_bytes() == clip.read_bytes()


@pytest.mark.usefixtures("here")
def test_what_killed_runs_have_left_is_removed(tmp_path, clip):
    folder = make_folder(tmp_path / "videos", clip, "x[1].mp4")
    plans = plan_copies(folder, find_media(folder), tmp_path / "out")
    (tmp_path / "out").mkdir()
    left, written, other = (
        tmp_path / "out" / name for name in (".x[1].mp4.1.tmp", ".x[1].mp4.2.tmp", ".y.mp4.1.tmp")
    )
    for file in (left, written, other):
        file.write_bytes(b"half")
    with written.open("ab") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)  # as a process does that writes it
        assert encode(plans)[0].status == "encoded"
    assert [file.exists() for file in (left, written, other)] == [False, True, True]


@pytest.mark.usefixtures("here")
def test_losses_are_told(tmp_path, clip, monkeypatch):
    folder = make_folder(tmp_path / "videos", clip, "1.mp4")
    plans = plan_copies(folder, find_media(folder), tmp_path / "out")
    write = prepare_copies.encode_media

    def lossy(*arguments):
        return write(*arguments)._replace(num_damaged=3, lost_audio_sec=1.25)

    monkeypatch.setattr(prepare_copies, "encode_media", lossy)
    reason = encode(plans)[0].reason
    assert reason == "3 damaged frames left out; 1.2 s of its audio could not be decoded"


@pytest.mark.usefixtures("here")
def test_a_folder_that_cannot_be_written_stops_the_run_and_other_faults_do_not(
    tmp_path, clip, monkeypatch
):
    folder = make_folder(tmp_path / "videos", clip, "1.mp4", "2.mp4")
    plans = plan_copies(folder, find_media(folder), tmp_path / "out")
    code = errno.ENAMETOOLONG

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(prepare_copies, "encode_media", fail)
    assert [(o.status, o.reason) for o in encode(plans)] == [("failed", "File name too long")] * 2
    code = errno.ENOSPC
    with pytest.raises(
        UserError, match=r"--out: cannot write .*1.mp4: No space left.*the same command resumes"
    ):
        encode(plans)


def test_a_file_that_hangs_is_reported(tmp_path, monkeypatch):
    plan = TranscodeJob("/videos/1.mp4", "/out/1.mp4")
    monkeypatch.setattr(
        prepare_copies,
        "run_tasks",
        lambda *_, **__: iter(
            [TaskResult(plan, None, "hangs", "not decoded within --timeout (1 s)")]
        ),
    )
    assert encode([plan]) == [
        TranscodeOutcome(plan, "failed", "not decoded within --timeout (1 s)")
    ]


@pytest.mark.usefixtures("here")
def test_a_missing_original_is_reported(tmp_path):
    plan = TranscodeJob(str(tmp_path / "none.mp4"), str(tmp_path / "out" / "none.mp4"))
    assert encode([plan])[0].reason == "it is missing, or a link to nothing"
    with pytest.raises(Exception, match=r"none\.mp4"):
        expected_provenance_tag(tmp_path / "none.mp4", QUICK)
