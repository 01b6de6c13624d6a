"""Re-encoded copies: small, whole, marked, and above all in step."""

import errno
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media_events import (
    AUDIO,
    EVENT_FRAME,
    VFR_TICKS,
    VIDEO,
    cut,
    find_click,
    find_flash,
    late_audio,
    late_file,
    late_video,
    plain,
    vfr,
)
from helpers.media_files import Audio, Video, read_numbers, write_media
from helpers.media_kinds import make_kind

from slowfast.datasets.decoding.reader import MediaError, open_media, probe_media
from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.prepare import encode as prepare_encode
from slowfast.datasets.prepare.encode import encode_media
from slowfast.datasets.prepare.settings import EncodeSettings

QUICK = EncodeSettings(short_side=48, gop=12, preset="ultrafast")


def no_beat():
    pass


def copy_of(path, settings=QUICK):
    target = path.with_name(f"copy of {path.name}.mp4")
    encode_media(path, target, settings, no_beat)
    return target


def test_copies_leave_out_what_is_slow_to_decode(tmp_path):
    copy = copy_of(plain(tmp_path / "plain.mp4"), QUICK._replace(preset="veryfast"))
    settings = copy.read_bytes().partition(b"x264 - core")[2][:1000]  # x264 writes them down
    assert b"cabac=0" in settings
    assert b"deblock=0" in settings


# In step


def odd_rate(path):
    video = VIDEO._replace(fps=Fraction(30000, 1001), ticks=range(60))
    return write_media(path, video, AUDIO._replace(click_sec=EVENT_FRAME * 1001 / 30000))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("plain.mp4", plain),
        ("late audio.mp4", late_audio),
        ("late video.mp4", late_video),
        ("late video.mkv", late_video),
        ("late file.mkv", late_file),
        ("vfr.mp4", vfr),
        ("vfr.mkv", vfr),
        ("cut.mp4", cut),
        ("29.97.mp4", odd_rate),
        ("plain.ts", lambda path: write_media(path, VIDEO, AUDIO, container="mpegts")),
    ],
)
def test_flash_and_click_stay_together(tmp_path, name, make):
    source = make(tmp_path / name)
    copy = copy_of(source)
    flash, click = find_flash(copy), find_click(copy)
    assert abs(flash - click) < 0.010
    assert abs(flash - find_flash(source)) < 1 / 30
    assert abs(click - find_click(source)) < 0.010


@pytest.mark.parametrize("make", [plain, late_audio, late_video, vfr])
def test_tracks_start_and_end_when_they_did(tmp_path, make):
    source = make(tmp_path / "x.mp4")
    before, after = probe_media(source), probe_media(copy_of(source))
    frame, block = 1 / 30 + 1e-3, 1024 / 24000 + 5e-3
    assert abs(after.video_start_sec - before.video_start_sec) < 1e-3
    assert abs(after.video_end_sec - before.video_end_sec) < frame
    assert abs(after.audio_start_sec - before.audio_start_sec) < block
    assert abs(after.audio_end_sec - before.audio_end_sec) < block


def test_every_frame_keeps_its_instant_and_shows_what_it_showed(tmp_path):
    source = vfr(tmp_path / "vfr.mp4")
    with open_media(copy_of(source)) as reader:
        times, frames = zip(*reader.iter_video(short_side=48), strict=True)
    np.testing.assert_allclose(times, np.array(VFR_TICKS) / 30, atol=1e-4)
    assert [n for n in read_numbers(frames) if n != VFR_TICKS.index(EVENT_FRAME)] == [
        n for n in range(len(VFR_TICKS)) if n != VFR_TICKS.index(EVENT_FRAME)
    ]


# What a copy is like


def test_size_keyframes_and_audio_are_as_asked(tmp_path):
    source = write_media(tmp_path / "x.mkv", Video(size=(160, 120)), Audio(layout="5.1"))
    report = inspect_media(copy_of(source, QUICK._replace(audio_rate_hz=16000)))
    video, audio = report.video, report.audio
    assert (video.codec, video.width, video.height) == ("h264", 64, 48)
    assert video.num_frames == 60
    assert video.keyframe_frames <= 12
    assert (audio.codec, audio.sample_rate_hz, audio.channels) == ("aac", 16000, 1)


def test_nothing_is_scaled_up_and_odd_sizes_lose_a_row(tmp_path):
    source = write_media(tmp_path / "x.mkv", Video(size=(65, 49), pix_fmt="yuv444p"))
    info = probe_media(copy_of(source, QUICK._replace(short_side=160)))
    assert (info.width, info.height) == (64, 48)


def test_frames_come_upright_with_square_pixels_and_true_colors(tmp_path):
    color = np.full((96, 64, 3), (200, 60, 30), np.uint8)
    video = Video(size=(64, 96), still=color, ticks=range(5), aspect=Fraction(2), rotation=90)
    source = write_media(tmp_path / "x.mp4", video._replace(colors=(1, 1)))
    info = probe_media(copy_of(source, QUICK._replace(short_side=96)))
    assert (info.rotation, info.pixel_aspect) == (0, 1.0)
    assert (info.width, info.height) == (96, 128)
    with open_media(source) as before, open_media(copy_of(source)) as after:
        frames = [reader.read_video([0.1])[0].mean(axis=(0, 1)) for reader in (before, after)]
    np.testing.assert_allclose(*frames, atol=4)


def test_audio_alone_and_video_alone(tmp_path):
    audio = copy_of(write_media(tmp_path / "x.wav", Audio("pcm_s16le", options={})))
    info = probe_media(audio)
    assert (info.has_video, info.has_audio) == (False, True)
    assert info.audio_end_sec == pytest.approx(2.0, abs=0.05)
    muted = probe_media(copy_of(write_media(tmp_path / "y.mp4", Video())))
    assert (muted.has_video, muted.has_audio) == (True, False)
    assert muted.video_end_sec == pytest.approx(2.0, abs=1e-3)


def test_one_frame_and_a_slide_show_keep_their_length(tmp_path):
    one = probe_media(copy_of(write_media(tmp_path / "one.mp4", Video(ticks=[0]))))
    assert one.video_end_sec == pytest.approx(1 / 30, abs=2e-3)
    ticks = [0, 60, 120]
    slides = write_media(tmp_path / "slides.mkv", Video(ticks=ticks), Audio(seconds=5.0))
    with open_media(copy_of(slides)) as reader:
        times = [start for start, _ in reader.iter_video(short_side=48)]
    np.testing.assert_allclose(np.diff(times), 2.0, atol=2e-3)


# Damage


def test_whole_frames_of_a_damaged_file_are_kept(tmp_path):
    source = make_kind("corrupt_light.mp4", tmp_path / "made")
    target = tmp_path / "copy.mp4"
    copy = encode_media(source, target, QUICK, no_beat)
    full = inspect_media(target, level="full")
    assert full.video.num_frames == copy.num_frames
    assert full.video.damaged_frames == 0
    assert copy.num_frames >= 45
    assert 58 <= copy.num_frames + copy.num_damaged <= 61


def test_a_file_that_is_cut_short_ends_where_it_is_cut(tmp_path):
    source = make_kind("truncated_faststart_half.mp4", tmp_path / "made")
    target = tmp_path / "copy.mp4"
    copy = encode_media(source, target, QUICK, no_beat)
    info = probe_media(target)
    assert info.video_end_sec < 1.4
    assert info.audio_end_sec < 1.4
    assert copy.lost_audio_sec == pytest.approx(2.0 - info.audio_end_sec, abs=0.1)


def test_a_gap_in_the_audio_stays_a_gap(tmp_path):
    tail = Audio("pcm_s16le", options={}, start_sec=0.0, click_sec=0.2, seconds=0.5)
    whole = write_media(tmp_path / "a.mkv", Video(), tail._replace(seconds=2.0, click_sec=1.6))
    gapped = tmp_path / "gap.mkv"
    with av.open(str(whole)) as media, av.open(str(gapped), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in media.streams}
        for packet in media.demux():
            time = None if packet.pts is None else float(packet.pts * packet.time_base)
            is_audio = packet.stream.type == "audio"
            if time is None or (is_audio and 0.5 < time < 1.2):
                continue
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    copy = copy_of(gapped)
    assert find_click(copy) == pytest.approx(1.6, abs=0.010)
    with open_media(copy) as reader:
        assert not reader.read_audio(0.65, 24000 // 2, 24000)[0].any()


def test_audio_that_cannot_be_decoded_at_all_is_an_error(tmp_path, monkeypatch):
    source = plain(tmp_path / "x.mp4")

    def fail(self, *_):
        raise MediaError(self.path, "damaged: it has no complete audio")

    monkeypatch.setattr(prepare_encode.MediaReader, "read_audio", fail)
    with pytest.raises(MediaError, match="no complete audio"):
        encode_media(source, tmp_path / "copy.mp4", QUICK, no_beat)
    monkeypatch.setattr(
        prepare_encode.MediaReader, "read_audio", lambda _, start, n, rate: (np.zeros(n), 0.0)
    )
    copy = encode_media(source, tmp_path / "copy.mp4", QUICK, no_beat)
    assert copy.audio_end_sec is None
    assert not probe_media(tmp_path / "copy.mp4").has_audio


@pytest.mark.parametrize("name", ["zero_bytes.mp4", "png_image_named.mp4", "random_bytes.mp4"])
def test_a_bad_file_is_one_error_and_leaves_nothing(tmp_path, name):
    source = make_kind(name, tmp_path / "made")
    with pytest.raises(MediaError):
        encode_media(source, tmp_path / "out" / "copy.mp4", QUICK, no_beat)
    assert list((tmp_path / "out").iterdir()) == []


# Whole or not at all


def test_a_disk_that_is_full_leaves_the_old_copy(tmp_path, monkeypatch):
    source = plain(tmp_path / "x.mp4")
    target = tmp_path / "out" / "x.mp4"
    encode_media(source, target, QUICK, no_beat)
    before = target.read_bytes()

    def full(frames, audio, file, *rest):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare_encode, "_write", full)
    with pytest.raises(OSError, match="No space"):
        encode_media(source, target, QUICK, no_beat)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["x.mp4"]


def test_a_copy_that_is_not_whole_does_not_count(tmp_path, monkeypatch):
    source = plain(tmp_path / "x.mp4")
    write = prepare_encode._write

    def cut(frames, audio, file, *rest):
        result = write(frames, audio, file, *rest)
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
        return result

    monkeypatch.setattr(prepare_encode, "_write", cut)
    with pytest.raises(OSError, match="the copy"):
        encode_media(source, tmp_path / "copy.mp4", QUICK, no_beat)
    assert not (tmp_path / "copy.mp4").exists()


@pytest.mark.parametrize(
    ("name", "tracks"),
    [
        ("joined.ts", (VIDEO, AUDIO)),
        ("joined.mpg", (Video("mpeg2video", options={"g": "12"}), Audio("mp2", options={}))),
        ("joined_audio.ts", (AUDIO,)),
    ],
)
def test_joined_recordings_are_refused_with_advice(tmp_path, name, tracks):
    """Nothing of them is lost silently: only the first recording could be read."""
    part = write_media(tmp_path / f"part_{name}", *tracks)
    path = tmp_path / name
    path.write_bytes(2 * part.read_bytes())
    with pytest.raises(MediaError, match=r"time starts again after [12]\.\d s.*ffmpeg -i"):
        copy_of(path)
    assert not list(tmp_path.glob("copy*"))
    copy_of(part)
