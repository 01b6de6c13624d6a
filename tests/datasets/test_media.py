import os
import pickle
import tarfile
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media_files import X264, Audio, Video, read_numbers, write_media

from slowfast.datasets.decoding import frame_decoder, packets
from slowfast.datasets.decoding.reader import MediaError, MediaReader, open_media, probe_media

RATE = 24000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """60 frames at 30 fps with B-frames and a keyframe every 20, and audio."""
    return write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", Video(), Audio())


MPEG4 = Video("mpeg4", options={"b": "400k", "bf": "2", "g": "15"})


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Files in which seeking is hard, by name (see also test_media_seek.py)."""
    folder = tmp_path_factory.mktemp("streams")
    files = {
        "open_gop.mp4": Video(options=X264 | {"x264-params": "open-gop=1"}),
        "pyramid.mkv": Video(options=X264 | {"bf": "7", "x264-params": "b-pyramid=normal"}),
        "vfr.mp4": Video(ticks=np.cumsum(np.random.default_rng(1).integers(1, 9, 40)).tolist()),
        "mpeg4.avi": MPEG4,
        "mpeg4.mkv": MPEG4,
        "mpeg2.ts": Video("mpeg2video", options={"b": "800k", "bf": "2", "g": "15"}),
    }
    return {name: write_media(folder / name, video) for name, video in files.items()}


# Frames


def test_the_frame_on_display_is_read(clip):
    with open_media(clip) as reader:
        frames = reader.read_video((np.arange(60) + 0.5) / 30)
        assert frames.shape == (60, 64, 96, 3)
        assert frames.dtype == np.uint8
        assert read_numbers(frames) == list(range(60))
        assert read_numbers(reader.read_video([0.34, 0.36, 0.366, 0.367])) == [10, 10, 10, 11]


def test_instants_on_a_change_of_frame_belong_to_the_new_frame(streams):
    with open_media(streams["pyramid.mkv"]) as reader:  # counts in milliseconds
        assert read_numbers(reader.read_video(np.arange(60) / 30)) == list(range(60))


def test_frames_repeat_outside_of_the_video_and_where_instants_are_close(clip):
    with open_media(clip) as reader:
        assert read_numbers(reader.read_video([-3.0, -1.0, 0.01, 0.02, 1.99, 2.5, 9.0])) == [
            *[0] * 4,
            *[59] * 3,
        ]
        assert read_numbers(reader.read_video([7.0])) == [59]


@pytest.mark.parametrize(
    "name", ["open_gop.mp4", "pyramid.mkv", "vfr.mp4", "mpeg4.avi", "mpeg4.mkv", "mpeg2.ts"]
)
@pytest.mark.parametrize("stride", [1, 4])
def test_leaving_out_unreferenced_frames_changes_nothing(streams, name, stride, monkeypatch):
    queued = []
    queue = frame_decoder.FrameDecoder._queue
    monkeypatch.setattr(
        frame_decoder.FrameDecoder,
        "_queue",
        lambda self, frame: (queued.append(1), queue(self, frame)),
    )

    def windows():
        queued.clear()
        with open_media(streams[name]) as reader:
            _, end = reader.video_extent_sec
            starts = np.random.default_rng(2).random(10) * end
            return [reader.read_video(start + np.arange(5) * stride / 30) for start in starts]

    skipping, decoded = windows(), len(queued)
    monkeypatch.setattr(frame_decoder, "_SKIPS_UNREFERENCED", frozenset())
    for one, other in zip(skipping, windows(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert decoded < len(queued) or name == "mpeg4.avi"  # where frames are out of order


def test_unreferenced_frames_that_are_not_shown_are_not_decoded(clip, monkeypatch):
    queued = []
    decoder = frame_decoder.FrameDecoder
    queue = decoder._queue
    monkeypatch.setattr(
        decoder, "_queue", lambda self, frame: (queued.append(1), queue(self, frame))
    )
    with open_media(clip) as reader:
        reader.read_video([1.3])
    assert len(queued) < 16  # of the 20 from the keyframe to the instant, and a few behind it


def test_ascending_windows_go_on_decoding(clip, monkeypatch):
    sought = []
    seek = packets.PacketSource.seek
    monkeypatch.setattr(
        packets.PacketSource, "seek", lambda self, t: (sought.append(t), seek(self, t))[1]
    )
    with open_media(clip) as reader:
        for first in range(0, 18, 3):
            frames = reader.read_video((first + np.arange(3) + 0.5) / 30)
            assert read_numbers(frames) == [first, first + 1, first + 2]
        assert not sought  # from the start, in one group of pictures
        reader.read_video([1.9])
        assert len(sought) == 1  # a keyframe lies between
        reader.read_video([1.0])
        assert len(sought) == 2  # backwards


@pytest.mark.parametrize(("short_side", "size"), [(None, (64, 96)), (32, (32, 48)), (99, (64, 96))])
def test_the_short_side_is_scaled_down_and_never_up(clip, short_side, size):
    with open_media(clip) as reader:
        frames = reader.read_video([0.5, 0.6], short_side=short_side)
    assert frames.shape[1:3] == size
    assert read_numbers(frames) == [15, 18]


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_makes_the_frame_upright(tmp_path, rotation):
    path = write_media(tmp_path / "turned.mp4", Video(rotation=rotation, ticks=range(3)))
    with open_media(path) as reader:
        frames = reader.read_video([0.05], short_side=48)
        info = reader.info
    assert frames.shape[1:3] == ((72, 48) if rotation != 180 else (48, 72))
    assert (info.width, info.height) == ((64, 96) if rotation != 180 else (96, 64))
    assert info.rotation == rotation % 360
    assert read_numbers(np.rot90(frames, -rotation // 90, axes=(1, 2))) == [1]


def test_pixels_become_square(tmp_path):
    video = Video(size=(48, 64), aspect=Fraction(2), ticks=range(3))
    with open_media(write_media(tmp_path / "wide.mp4", video)) as reader:
        assert (reader.info.width, reader.info.height) == (96, 64)
        assert reader.info.pixel_aspect == 2
        assert reader.read_video([0.0]).shape[1:3] == (64, 96)
        assert reader.read_video([0.0], short_side=32).shape[1:3] == (32, 48)


MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 2: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("short_side", [None, 20])
def test_colors_follow_matrix_and_range(tmp_path, matrix, full, pix_fmt, short_side):
    colors = np.array([[200, 30, 40], [30, 190, 60], [40, 60, 200], [250, 250, 250], [5, 5, 5]])
    rgb = np.repeat(np.repeat(colors[None], 32, 0), 32, 1) / 255  # (32, 160, 3)
    red, blue = MATRICES[matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    scales = [(255, 0), (255, 128), (255, 128)] if full else [(219, 16), (224, 128), (224, 128)]
    coded = [np.rint(p * scale + zero) for p, (scale, zero) in zip(planes, scales, strict=True)]
    frame = av.VideoFrame.from_ndarray(np.stack(coded).astype(np.uint8), format="yuv444p")
    path = tmp_path / "colors.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 32, pix_fmt
        for target in (frame, stream.codec_context):
            target.colorspace, target.color_range = matrix, 2 if full else 1
        frame = frame.reformat(format=pix_fmt)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_media(path) as reader:
        image = reader.read_video([0.0], short_side=short_side)[0]
    middles = (np.arange(5) + 0.5) * image.shape[1] / 5
    got = image[image.shape[0] // 2, middles.astype(int)].astype(int)
    assert np.abs(got - colors).max() <= 3


def test_a_matrix_that_ffmpeg_cannot_convert_is_read_as_the_nearest(tmp_path):
    path = write_media(tmp_path / "odd.mkv", Video(ticks=range(3), colors=(8, 1)))  # YCgCo
    with open_media(path) as reader:
        assert read_numbers(reader.read_video([0.05], short_side=32)) == [1]


# Files


def test_facts_of_a_file(clip):
    info = probe_media(clip)
    assert info.has_video
    assert info.has_audio
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert (info.fps, info.sample_rate_hz, info.channels) == (30, 44100, 2)
    assert (info.video_codec, info.audio_codec) == ("h264", "aac")
    assert info.video_start_sec == info.audio_start_sec == info.zero_sec == 0
    assert info.video_end_sec == pytest.approx(2)
    assert info.duration_sec == pytest.approx(2, abs=0.03)


def test_a_slice_of_a_tar_is_read_in_place(tmp_path, clip):
    shard = tmp_path / "shard, 1.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(__file__, "0.txt")
        tar.add(clip, "1.mp4")
        tar.add(__file__, "1.txt")
    with tarfile.open(shard) as tar:
        member = tar.getmember("1.mp4")
    with open_media(shard, offset=member.offset_data, size=member.size) as reader:
        assert read_numbers(reader.read_video([1.51, 0.3 + 1.51])) == [45, 54]
        sliced = reader.read_audio(0.5, 1000, RATE)[0]
    with open_media(clip) as reader:
        np.testing.assert_array_equal(reader.read_audio(0.5, 1000, RATE)[0], sliced)


def test_missing_tracks(tmp_path):
    silent = write_media(tmp_path / "silent.mp4", Video(ticks=range(9)))
    with open_media(silent) as reader:
        audio, share = reader.read_audio(0.0, 100, RATE)
        assert share == 0
        assert not audio.any()
        assert not reader.info.has_audio
    with open_media(write_media(tmp_path / "audio.mp4", Audio(seconds=0.3))) as reader:
        assert not reader.info.has_video
        for read in (lambda: reader.read_video([0.0]), lambda: reader.video_extent_sec):
            with pytest.raises(MediaError, match="no video"):
                read()


def _folder(path):
    path.mkdir()


def _unreadable(path):
    path.write_bytes(b"secret")
    path.chmod(0)


def _bytes(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "it is missing, or a link to nothing"),
        (_folder, "folder"),
        (_bytes(b""), "0 bytes"),
        (_bytes(b"hello, I am a text\n" * 20), "it is not a media file"),
        (lambda path: path.symlink_to("nowhere"), "it is missing, or a link to nothing"),
        (lambda path: os.mkfifo(path), "regular file"),
        pytest.param(
            _unreadable,
            "permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything"),
        ),
    ],
)
def test_what_cannot_be_opened_is_a_media_error_of_one_line(tmp_path, make, reason):
    path = tmp_path / "x.mp4"
    make(path)
    with pytest.raises(MediaError, match=reason) as caught:
        open_media(path)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def test_a_media_error_crosses_processes_and_names_the_file_in_one_line():
    error = MediaError("a\nb\udcff.mp4", "it is\n  bad", "damaged")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, copy.code) == (error.path, "it is bad", "damaged")
    assert str(copy) == "a b\\udcff.mp4: it is bad"


def test_the_window_before_the_damage_is_read_and_the_one_behind_is_refused(tmp_path):
    whole = write_media(tmp_path / "a.mp4", Video(), Audio(), options={"movflags": "faststart"})
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with open_media(path) as reader:
        assert reader.video_extent_sec == (0, 2)
        assert read_numbers(reader.read_video([0.1, 0.2])) == [3, 6]
        with pytest.raises(MediaError, match=r"damaged: .* between 1\.80 and 1\.90 s"):
            reader.read_video([1.8, 1.9])
        assert read_numbers(reader.read_video([0.1, 0.2])) == [3, 6]


def test_a_damaged_frame_and_all_that_is_built_on_it_are_not_shown(tmp_path):
    """Behind the damage the last whole frame is held up to the next keyframe."""
    path = write_media(tmp_path / "a.mp4", Video(size=(192, 128)))
    with av.open(str(path)) as media:
        stream = media.streams.video[0]
        packets = [p for p in media.demux(stream) if p.pts and 0.8 < p.pts * p.time_base < 1.0]
        victim = max(packets, key=lambda packet: packet.pts - packet.dts)  # a P-frame
        position, size = victim.pos, victim.size
    data = bytearray(path.read_bytes())
    data[position + 5 : position + size] = b"\xff" * (size - 5)
    path.write_bytes(data)
    with open_media(path) as reader:
        numbers = read_numbers(reader.read_video((np.arange(15, 50) + 0.5) / 30))
        assert numbers[-10:] == list(range(40, 50))
        held = [n for n in numbers if n < 40]
        assert held == sorted(held)
        assert max(held) < 30
        with pytest.raises(MediaError, match=r": damaged: .* between 1\.20 and 1\.25 s"):
            reader.read_video([1.2, 1.25])


def test_instants_sizes_and_windows_must_make_sense(clip):
    with open_media(clip) as reader:
        for times in ([], [1.0, 0.5], [float("nan")], [[0.0, 1.0]]):
            with pytest.raises(ValueError, match="times_sec"):
                reader.read_video(times)
        with pytest.raises(ValueError, match="short_side"):
            reader.read_video([0.0], short_side=0)
        for arguments in ((0.0, 0, RATE), (0.0, 10, 0), (float("inf"), 10, RATE)):
            with pytest.raises(ValueError, match="num_samples"):
                reader.read_audio(*arguments)


def test_a_closed_reader_says_so(clip):
    reader = open_media(clip)
    assert isinstance(reader, MediaReader)
    reader.close()
    for read in (lambda: reader.read_video([0.0]), lambda: reader.read_audio(0.0, 9, RATE)):
        with pytest.raises(ValueError, match="closed"):
            read()


@pytest.mark.parametrize(("skip", "largest_mean"), [("noref", 1.0), ("all", 4.0)])
def test_without_the_loop_filter_frames_differ_little(tmp_path, skip, largest_mean):
    video = Video(options={"preset": "veryfast", "crf": "32", "bf": "3", "g": "30"})
    path = write_media(tmp_path / "clip.mp4", video)
    times = (np.arange(20) + 10.5) / 30
    with open_media(path) as exact, open_media(path, skip_loop_filter=skip) as fast:
        expected, found = exact.read_video(times), fast.read_video(times)
    with open_media(path) as again:  # the options of one reader are not those of the next
        assert np.array_equal(again.read_video(times), expected)
    assert 0 < np.abs(found.astype(int) - expected).mean() < largest_mean
