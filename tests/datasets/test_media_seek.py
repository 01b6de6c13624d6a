"""After a seek a frame is what decoding from the start gives, whatever codec, container and GOP.

The oracle is the order of frames alone: FFmpeg decodes the file from its start, and the n-th frame
that comes out is the n-th one shown. Times of the container are not asked.
"""

import zlib

import av
import numpy as np
import pytest
from helpers.media_files import Video, numbered_frame, write_media
from helpers.media_kinds import MPEG4
from reference.plain_decode import decode_video

from slowfast.datasets.decoding.reader import open_media
from slowfast.datasets.inspect.packets import walk_packets

FPS, FRAMES, WINDOWS, LENGTH = 25, 75, 20, 5


def _x264(**options):
    return {"preset": "veryfast", "sc_threshold": "0", "bf": "3", "g": "12"} | options


def _x265(params):
    return {"preset": "ultrafast", "x265-params": f"log-level=none:keyint=12:{params}"}


_PYRAMID = _x264(**{"x264-params": "b-pyramid=normal:bframes=5:b-adapt=0"})
_OPEN = _x264(**{"x264-params": "open-gop=1"})
_LONG = _x264(g="999")
_B, _LONG_B = MPEG4 | {"bf": "2", "g": "12"}, MPEG4 | {"bf": "2", "g": "45"}
_P = MPEG4 | {"bf": "0", "g": "12"}
_CLOSED_B = _B | {"flags": "+cgop", "sc_threshold": "1000000000"}
_VPX = {"g": "12", "cpu-used": "8", "deadline": "realtime"}

CASES = {
    f"{name}.{suffix}": Video(codec, pix_fmt, options, range(FRAMES), FPS)
    for name, suffixes, codec, pix_fmt, options in [
        ("h264", "mp4 mov mkv avi ts flv", "libx264", "yuv420p", _x264()),
        ("h264_pyramid", "mp4 avi ts", "libx264", "yuv420p", _PYRAMID),
        ("h264_open", "mp4 mkv avi ts", "libx264", "yuv420p", _OPEN),
        ("h264_one_keyframe", "mp4 avi", "libx264", "yuv420p", _LONG),
        ("h264_no_b", "mp4 avi", "libx264", "yuv420p", _x264(bf="0")),
        ("h264_intra", "avi", "libx264", "yuv420p", _x264(g="1")),
        ("hevc", "mp4 mkv ts", "libx265", "yuv420p", _x265("bframes=3")),
        ("hevc_closed", "mp4", "libx265", "yuv420p", _x265("bframes=3:no-open-gop=1")),
        ("mpeg4", "mp4 avi mkv", "mpeg4", "yuv420p", _P),
        ("mpeg4_b", "mp4 avi mkv mov", "mpeg4", "yuv420p", _B),
        ("mpeg2_b_closed", "avi", "mpeg2video", "yuv420p", _CLOSED_B),
        ("mpeg4_b_long", "avi", "mpeg4", "yuv420p", _LONG_B),
        ("mpeg2_b", "mpg ts mkv avi", "mpeg2video", "yuv420p", _B),
        ("mpeg1_b", "mpg avi", "mpeg1video", "yuv420p", _B),
        ("vp8", "webm", "libvpx", "yuv420p", _VPX),
        ("vp9", "webm mp4", "libvpx-vp9", "yuv420p", _VPX),
        ("av1", "mp4 mkv", "libsvtav1", "yuv420p", {"preset": "12", "g": "12"}),
        ("mjpeg", "avi mov", "mjpeg", "yuvj420p", {}),
        ("raw", "avi", "rawvideo", "yuv420p", {}),
        ("qtrle", "mov", "qtrle", "rgb24", {"g": "12"}),
        ("qtrle_gray", "mov", "qtrle", "gray", {"g": "12"}),
        ("ffv1", "mkv avi", "ffv1", "yuv420p", {"g": "12"}),
        ("huffyuv", "avi", "huffyuv", "yuv422p", {}),
        ("png", "mov", "png", "rgb24", {}),
        ("prores", "mov", "prores_ks", "yuv422p10le", {}),
        ("wmv2", "wmv avi", "wmv2", "yuv420p", _P),
        ("msmpeg4", "avi", "msmpeg4", "yuv420p", _P),
        ("flv1", "flv", "flv", "yuv420p", _P),
        ("cinepak", "avi", "cinepak", "rgb24", {"g": "12"}),
        ("msvideo1", "avi", "msvideo1", "rgb555le", {}),
        ("zmbv", "avi", "zmbv", "bgr0", {"g": "12"}),
        ("svq1", "mov", "svq1", "yuv410p", {"g": "12"}),
        ("gif", "gif", "gif", "rgb8", {}),
    ]
    for suffix in suffixes.split()
}


QUICK = {"h264.ts", "h264_open.mp4", "h264_one_keyframe.mp4", "mpeg2_b.mpg", "mpeg4_b.avi"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.av]) for n in CASES]
)
def test_random_windows_equal_decoding_from_the_start(tmp_path, name):
    path = write_media(tmp_path / name, CASES[name])
    check_random_windows(path)


@pytest.mark.av
@pytest.mark.parametrize("codec", ["rawvideo", "msrle"])
def test_frames_with_a_palette(tmp_path, codec):
    """The palette comes with the first packet alone."""
    path = tmp_path / f"{codec}.avi"
    palette = np.stack([np.arange(256)[::-1], np.arange(256), np.full(256, 99), np.full(256, 255)])
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "pal8"
        for number in range(FRAMES):
            gray = numbered_frame(number)[..., 0]
            image = (np.ascontiguousarray(gray), palette.T.astype(np.uint8).copy())
            frame = av.VideoFrame.from_ndarray(image, format="pal8")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    check_random_windows(path)


@pytest.mark.av
def test_frames_that_are_called_keyframes_and_are_none(tmp_path):
    """Without its table of sync samples, mp4 calls every frame a keyframe."""
    for codec, options in (("mpeg4", _LONG_B | {"bf": "0"}), ("libx264", _x264(g="45"))):
        path = write_media(tmp_path / f"{codec}.mp4", Video(codec, "yuv420p", options, range(90)))
        path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
        check_random_windows(path, frames=90)


@pytest.mark.av
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_presentation_times_are_missing(tmp_path, codec):
    """Without its table of composition offsets, mp4 holds decoding times only, as AVI does."""
    video = Video(codec, "yuv420p", _B if codec == "mpeg4" else _PYRAMID, range(FRAMES), FPS)
    path = write_media(tmp_path / f"{codec}.mp4", video)
    content = path.read_bytes()
    assert b"ctts" in content
    path.write_bytes(content.replace(b"ctts", b"free").replace(b"edts", b"free"))
    check_random_windows(path)


@pytest.mark.av
def test_recordings_that_are_joined_with_times_that_go_back_a_little(tmp_path):
    """Behind the first 64 frames, which are those that tell whether the times can be believed."""
    first, second = Video("mpeg2video", "yuv420p", _B, range(80), FPS), range(60, 90)
    parts = [
        write_media(tmp_path / "1.mpg", first),
        write_media(tmp_path / "2.mpg", first._replace(ticks=second)),
    ]
    path = tmp_path / "joined.mpg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_media(path) as reader:
        times = [time for time, _ in reader.iter_video()]
        assert 80 <= len(times) <= 110
        assert (np.diff(times) > 0).all()
        assert reader.read_video(np.array(times[70:100:5])).shape[0] == len(times[70:100:5])


def check_random_windows(path, frames=FRAMES):
    _, expected, _ = decode_video(path)
    assert len(expected) == frames
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    with open_media(path) as reader:
        read = list(reader.iter_video())
        start, fps = reader.info.video_start_sec, reader.info.fps
        assert reader.num_damaged_frames == 0
    facts = walk_packets(path, 0.0, lambda: None)
    assert len(read) == facts.num_frames == frames
    times = [time for time, _ in read]
    np.testing.assert_allclose(times, start + np.arange(frames) / fps, atol=0.011)
    kept = open_media(path)
    for number in range(WINDOWS):
        first = int(rng.integers(0, frames - LENGTH))
        instants = start + (first + np.arange(LENGTH) + 0.4) / fps
        with open_media(path) as fresh:
            for reader in (fresh, kept) if number % 2 else (kept,):
                got = reader.read_video(instants)
                _assert_near(got, expected[first : first + LENGTH], f"{path.name} frame {first}")
    kept.close()


def _assert_near(got, expected, where):
    """Equal but for the rounding of another conversion to RGB."""
    error = np.abs(got.astype(int) - expected.astype(int)).mean(axis=(1, 2, 3))
    assert error.max() < 2, f"{where}: {error.round(1)}"
