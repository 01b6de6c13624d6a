"""The media checker: facts, problems and levels, on files of which everything is known."""

import dataclasses
import json

import numpy as np
import pytest
from helpers.media_files import X264, Audio, Video, write_media
from helpers.media_kinds import KINDS, make_kind

from slowfast.datasets.decoding.error_codes import problem
from slowfast.datasets.decoding.frame_decoder import FrameDecoder
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.inspect.checker import SHOWN_SIDE, inspect_media
from slowfast.datasets.inspect.report import MediaReport

SIZE = (128, 96)
VIDEO = Video(size=SIZE)
LONG = 45  # frames


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write_media(tmp_path_factory.mktemp("clean") / "clean.mp4", VIDEO, Audio())


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Of three groups of pictures of 20 frames each, the second is destroyed."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.mp4"
    write_media(path, VIDEO, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat")
    third = (len(data) - begin) // 3
    for position in range(begin + third + 600, begin + 2 * third - 600, 40):
        data[position] ^= 0xFF
    path.write_bytes(data)
    return path


def made(tmp_path, *tracks, name="x.mp4", **options):
    return inspect_media(write_media(tmp_path / name, *tracks, **options))


def reason(report, code):
    return next(found.reason for found in report.problems if found.code == code)


# What is in a file


def test_facts_of_a_clean_file(clean):
    report = inspect_media(clean)
    assert report.problems == ()
    assert report.is_usable
    assert report.has_audio
    assert report.size_bytes == clean.stat().st_size
    assert report.modified_ns == clean.stat().st_mtime_ns
    video, audio = report.video, report.audio
    assert (video.codec, video.width, video.height, video.fps) == ("h264", 128, 96, 30.0)
    assert (video.start_sec, video.end_sec, video.num_frames) == (0.0, 2.0, 60)
    assert (video.keyframe_frames, video.rotation, video.num_tracks) == (20, 0, 1)
    assert video.keyframe_sec == pytest.approx(20 / 30, abs=1e-3)
    assert video.longest_gap_sec == pytest.approx(1 / 30, abs=1e-3)
    assert (video.is_variable, video.readable_share) == (False, 1.0)
    assert (audio.codec, audio.sample_rate_hz, audio.channels) == ("aac", 44100, 2)
    assert (audio.silent_share, audio.quiet_share) == (0.0, 0.0)
    assert audio.peak == pytest.approx(0.3, abs=0.05)
    assert audio.heard_sec == pytest.approx(2.0, abs=0.05)
    assert report.duration_sec == 2.0
    assert report.audio_offset_sec == pytest.approx(0.0, abs=1e-3)


def test_headers_alone_decode_almost_nothing_and_know_less(clean, monkeypatch):
    decoded = []
    queue = FrameDecoder._queue
    monkeypatch.setattr(
        FrameDecoder, "_queue", lambda self, frame: decoded.append(frame) or queue(self, frame)
    )
    report = inspect_media(clean, level="headers")
    assert len(decoded) <= 1
    assert (report.video.width, report.video.end_sec) == (128, 2.0)
    assert report.video.num_frames is None
    assert report.audio.silent_share is None
    assert report.file_hash == report.video_hash == report.audio_fingerprint == ""
    assert report.problems == ()


def test_all_of_it_is_counted_frame_by_frame(clean):
    report = inspect_media(clean, level="full")
    assert (report.video.num_frames, report.video.damaged_frames) == (60, 0)
    sample = inspect_media(clean)
    assert report.file_hash == sample.file_hash != ""
    assert report.video_hash == sample.video_hash != ""
    assert report.audio_fingerprint == sample.audio_fingerprint != ""


def test_an_unknown_level_is_refused(clean):
    with pytest.raises(ValueError, match="expected one of headers, sample, full"):
        inspect_media(clean, level="quick")


def test_a_report_is_a_line_of_json(clean, damaged, tmp_path):
    odd = tmp_path / "line\nbreak \udcff.mp4"
    reports = [inspect_media(path, level="full") for path in (clean, damaged, tmp_path / "none")]
    reports.append(dataclasses.replace(reports[0], path=str(odd)))
    for report in reports:
        line = report.to_json()
        assert "\n" not in line
        assert line.isascii()
        assert MediaReport.from_json(line) == report


def test_a_line_of_an_earlier_version_is_read(clean):
    mute = dataclasses.replace(inspect_media(clean), problems=(problem("no_audio"),))
    line = mute.to_json()
    for new, old in (("video", "picture"), ("audio", "sound"), ("no_audio", "no_sound")):
        assert f'"{new}"' in line
        line = line.replace(f'"{new}"', f'"{old}"')
    assert MediaReport.from_json(line) == mute


@pytest.mark.parametrize("change", ["cut", "format", "field", "list"])
def test_a_line_that_is_no_report_is_refused(clean, change):
    line = inspect_media(clean).to_json()
    content = json.loads(line)
    bad = {
        "cut": line[:-20],
        "format": json.dumps({**content, "format": 99}),
        "field": json.dumps({**content, "unknown": 1}),
        "list": "[]",
    }[change]
    with pytest.raises(ValueError):  # noqa: PT011
        MediaReport.from_json(bad)


# What is wrong with it


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].expect == "error"])
def test_a_file_that_cannot_be_opened_is_a_report(tmp_path, name, level):
    report = inspect_media(make_kind(name, tmp_path / "made"), level=level)
    assert not report.is_usable
    assert report.problems[0].severity == "error"
    assert report.video is None
    assert report.audio is None


def test_a_missing_file_and_a_folder_are_reports(tmp_path):
    assert inspect_media(tmp_path / "none.mp4").codes == {"missing"}
    assert inspect_media(tmp_path).codes == {"not_a_file"}
    assert inspect_media(tmp_path / "none.mp4").size_bytes == 0


def test_a_frame_is_shown_at_every_level(clean, tmp_path):
    for level in LEVELS:
        shown = []
        inspect_media(clean, level=level, show=shown.append)
        [frame] = shown
        assert frame.ndim == 3
        assert min(frame.shape[:2]) <= SHOWN_SIDE
    (tmp_path / "bad.mp4").write_bytes(b"no media")
    inspect_media(tmp_path / "bad.mp4", show=shown.append)
    inspect_media(write_media(tmp_path / "a.wav", Audio("pcm_s16le", 8000)), show=shown.append)
    assert len(shown) == 1


def test_the_level_of_audio(tmp_path):
    half = Audio("pcm_s16le", 8000, "mono", {}, samples=np.full((1, 8000), 0.5, np.float32))
    assert inspect_media(write_media(tmp_path / "a.wav", half)).audio.rms == pytest.approx(
        0.5, abs=1e-3
    )
    none = half._replace(samples=np.zeros((1, 8000), np.float32))
    assert inspect_media(write_media(tmp_path / "b.wav", none)).audio.rms == 0


def test_silence(tmp_path):
    zeros = np.zeros((2, 44100), np.float32)
    report = made(tmp_path, VIDEO, Audio(samples=zeros))
    assert report.audio.silent_share == 1.0
    assert "silent" in report.codes
    assert not report.has_audio


def test_silence_in_part(tmp_path):
    tone = 0.2 * np.sin(np.arange(44100) * 0.05)
    tone[:30000] = 0
    report = made(tmp_path, Audio("pcm_s16le", samples=tone[None].astype(np.float32), layout="mono",
                                  options={}), name="x.wav")  # fmt: skip
    assert report.audio.silent_share == pytest.approx(30000 / 44100, abs=0.03)
    assert reason(report, "mostly_silent") == "silent for 68% of the time"
    assert report.has_audio


def test_what_is_faint_is_not_silent(tmp_path):
    faint = 0.0005 * np.sin(np.arange(44100) * 0.05)[None].astype(np.float32)
    report = made(
        tmp_path, Audio("pcm_s16le", samples=faint, layout="mono", options={}), name="x.wav"
    )
    assert report.audio.silent_share < 0.1
    assert report.audio.quiet_share == 1.0
    assert "peak -66 dB" in reason(report, "faint")


def test_tracks_that_start_and_end_apart(tmp_path):
    late = made(tmp_path, VIDEO, Audio(start_sec=0.5, seconds=0.7))
    assert late.audio_offset_sec == pytest.approx(0.5, abs=0.03)
    assert "later than its video" in reason(late, "offset")
    assert "0.80 s earlier" in reason(late, "ends_apart")
    assert "audio during 0.7" in reason(late, "audio_covers_little")
    video_late = made(tmp_path, VIDEO._replace(ticks=range(15, 60)), Audio())
    assert video_late.audio_offset_sec == pytest.approx(-0.5, abs=0.03)
    assert "0.50 s earlier than its video" in reason(video_late, "offset")


def test_a_varying_frame_rate(tmp_path):
    ticks = [0, 1, 2, 5, 6, 20, 21, 22, 24, 25, 26, 40, 44, 45, 58]
    report = made(tmp_path, VIDEO._replace(ticks=ticks))
    assert report.video.is_variable
    assert report.video.longest_gap_sec == pytest.approx(14 / 30, abs=1e-3)
    assert "up to 0.47 s from frame to frame" in reason(report, "variable_rate")


def test_times_rounded_to_milliseconds_are_not_a_varying_rate(tmp_path):
    assert not made(tmp_path, VIDEO, name="x.mkv").video.is_variable
    odd = made(tmp_path, VIDEO._replace(fps=24, ticks=range(24)), name="y.mkv")
    assert not odd.video.is_variable


def test_rare_keyframes(tmp_path):
    ticks = range(6 * 5 + 2)
    video = VIDEO._replace(fps=5, ticks=ticks, options=X264 | {"g": "999"})
    report = made(tmp_path, video)
    assert report.video.keyframe_frames == 32
    assert "6.4 s (32 frames)" in reason(report, "sparse_keyframes")
    assert "low_rate" in report.codes


def test_other_oddities(tmp_path):
    blank = VIDEO._replace(still=np.full((96, 128, 3), 30, np.uint8), ticks=range(20))
    report = made(tmp_path, blank)
    assert report.codes == {"blank", "no_audio", "short"}
    assert "0.67 s" in reason(report, "short")
    several = made(tmp_path, Video(size=(64, 48)), Audio(), Audio())
    assert several.codes == {"small", "several_tracks"}
    assert several.audio.num_tracks == 2
    assert made(tmp_path, Audio(), name="x.m4a").codes == {"no_video"}
    avi = made(tmp_path, VIDEO._replace(codec="mpeg4", options={"bf": "2", "b": "800k"}),
               name="x.avi")  # fmt: skip
    assert "no_timestamps" in avi.codes


# Damage


def test_damage_in_the_middle_is_found_at_both_levels(damaged):
    sample = inspect_media(damaged)
    assert "of 5 places" in reason(sample, "damaged")
    assert sample.is_usable
    assert 0.25 <= sample.video.readable_share < 1
    full = inspect_media(damaged, level="full")
    facts = full.video
    assert 5 <= facts.damaged_frames <= 30
    assert facts.num_frames + facts.damaged_frames == pytest.approx(60, abs=2)
    begin, end = facts.damaged_sec[0][0], facts.damaged_sec[-1][1]
    assert 0.3 < begin < 1.0 < end < 1.7
    assert f"{facts.damaged_frames} damaged frames" in reason(full, "damaged")


def test_what_is_damaged_throughout_is_unusable(tmp_path):
    path = make_kind("corrupt_payload.mp4", tmp_path / "made")
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 100
    rng = np.random.default_rng(0)
    for position in rng.integers(begin, len(data), len(data) // 8):
        data[position] ^= 0xFF
    path.write_bytes(data)
    report = inspect_media(path)
    assert not report.is_usable
    assert "undecodable" in report.codes


def test_a_file_that_is_cut_short(tmp_path):
    report = inspect_media(make_kind("truncated_faststart_half.mp4", tmp_path / "made"))
    assert report.is_usable
    assert {"truncated", "damaged"} <= report.codes
    assert "should last to 2.00 s" in reason(report, "truncated")


def test_time_that_restarts_inside(tmp_path):
    report = inspect_media(make_kind("resolution_change_midstream.ts", tmp_path / "made"))
    assert "restarts" in report.codes


def test_the_gravest_problem_comes_first(tmp_path):
    silent = Audio(samples=np.zeros((2, 4410), np.float32))
    report = made(tmp_path, Video(size=(64, 48), ticks=range(3)), silent)
    severities = [found.severity for found in report.problems]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert {"warning", "note"} <= set(severities)
