"""DATA.SAMPLING: PySlowFast's frames against its own numbers and a plain oracle, and segments."""

import json
import math

import cv2
import numpy as np
import pytest
from helpers.data_files import data_cfg
from helpers.media_files import Video, numbered_frame, read_numbers, write_media
from reference import pyslowfast_sampling as ref

from slowfast.config.sections import get_cfg
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.catalog.ssv2 import ssv2
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.datasets.decoding.reader import open_media
from slowfast.datasets.video_dataset import build_video_dataset
from slowfast.datasets.views.clip_sampling import (
    PySlowFastClips,
    Segments,
    TimeBins,
    VideoSpan,
    build_clip_sampling,
    check_sampling,
)
from slowfast.datasets.views.crop import RandomResizedCrop
from slowfast.datasets.views.sample_views import SampleViews, ViewSpec
from slowfast.datasets.views.transform import TrainTransform

# (views, view, offset) -> first frame of 8x8 in 300 frames at 30 fps, as PySlowFast's functions
# gave it; the next ones follow at a distance of 9.
GOLDEN = {
    (1, 0, False): 0,
    (1, 0, True): 118,
    (10, 0, False): 0,
    (10, 0, True): 0,
    (10, 5, False): 118,
    (10, 5, True): 130,
    (10, 9, False): 212,
    (10, 9, True): 234,
    (3, 0, False): 0,
    (3, 0, True): 0,
    (3, 2, False): 157,
    (3, 2, True): 236,
}


def frames_of(sampling, span, start_sec, rng=None):
    times = sampling.frame_times(span, start_sec, rng)
    return np.floor((times - span.start_sec) * span.fps).astype(int).tolist()


@pytest.mark.parametrize(("key", "first"), GOLDEN.items())
def test_the_frames_of_pyslowfast(key, first):
    views, view, offset = key
    span = VideoSpan(0.0, 10.0, 30.0)
    sampling = PySlowFastClips(8, 8, 30.0, use_offset=offset)
    start = sampling.test_starts(span, views)[view]
    assert frames_of(sampling, span, start) == [first + 9 * i for i in range(8)]


@pytest.mark.parametrize("clip", [(8, 8), (4, 16), (16, 4), (32, 3), (1, 1), (8, 1)])
@pytest.mark.parametrize("fps", [30.0, 25.0, 30000 / 1001, 12.0, 60.0])
def test_any_clip_of_any_video_against_the_oracle(clip, fps):
    for length, start_sec in ((1, 0.0), (30, 1.5), (101, 0.0), (300, 0.04), (901, 0.0)):
        span = VideoSpan(start_sec, start_sec + length / fps, fps)
        assert span.num_frames == length
        size = ref.clip_size(*clip, 30.0, fps)
        for offset in (False, True):
            sampling = PySlowFastClips(*clip, 30.0, use_offset=offset)
            for views in (1, 2, 5, 10):
                for view, start in enumerate(sampling.test_starts(span, views)):
                    first = ref.test_start(length, size, view, views, offset=offset)
                    assert (start - start_sec) * fps == pytest.approx(first, abs=1e-6)
                    check(frames_of(sampling, span, start), first, size, length)


def check(frames, first, size, length):
    """Single precision may fall on either side of an integer."""
    for frame, position in zip(
        frames, ref.clip_positions(first, size, len(frames), length), strict=True
    ):
        assert math.floor(position - 1e-4) <= frame <= math.floor(position + 1e-4)


def test_random_starts_cover_all_positions():
    sampling = PySlowFastClips(8, 8, 30.0)
    assert sampling.duration_sec == pytest.approx(64 / 30)
    span = VideoSpan(0.0, 10.0, 30.0)
    assert frames_of(sampling, span, 236 / 30) == [236 + 9 * i for i in range(8)]
    transform = TrainTransform(RandomResizedCrop(scale=(1, 1)), size=8)
    views = SampleViews([ViewSpec(transform=transform)])
    starts = (
        views.clip_starts((0.0, 10.0), sampling.duration_sec, (0, 0, i))[0] for i in range(4000)
    )
    assert {frames_of(sampling, span, start)[0] for start in starts} == set(range(236))


def test_audio_that_is_longer_than_the_clip_stays_inside():
    span = VideoSpan(0.0, 10.0, 30.0)
    starts = PySlowFastClips(8, 8, 30.0, use_offset=True).test_starts(span, 3, audio_sec=4.0)
    np.testing.assert_allclose(starts, [0.0, 3.0, 6.0])


def test_validation_has_the_middle():
    span = VideoSpan(0.0, 10.0, 30.0)
    assert PySlowFastClips(8, 8, 30.0).test_starts(span, 1, centered=True) * 30 == 118


@pytest.mark.parametrize("length", [1, 7, 48, 120, 119])
@pytest.mark.parametrize("num_frames", [8, 16, 32])
def test_segments_against_the_oracle(length, num_frames):
    span, sampling = VideoSpan(2.0, 2.0 + length / 12, 12.0), Segments(num_frames)
    bounds = ref.segment_bounds(length, num_frames)
    assert frames_of(sampling, span, 99.0) == [(a + b) // 2 for a, b in bounds]
    assert sampling.test_starts(span, 2).tolist() == [2.0, 2.0]
    seen = [set() for _ in bounds]
    rng = np.random.default_rng(0)
    for _ in range(600):
        for frames, frame in zip(seen, frames_of(sampling, span, 0.0, rng), strict=True):
            frames.add(frame)
    assert seen == [set(range(a, b + 1)) for a, b in bounds]


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    """100 numbered frames at 25 fps, with B-frames."""
    return write_media(tmp_path_factory.mktemp("bar") / "v.mp4", Video(ticks=range(100), fps=25))


def dataset_of(path, split, *words, **window):
    base = "NUM_GPUS 0 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 8 DATA.TRAIN_CROP_SIZE 48"
    cfg = data_cfg(path.parent, *base.split(), *words).clone()
    row = VideoRecord(str(path), 0)._replace(**window)
    return build_video_dataset(cfg, Manifest.from_rows([row], ["a"]), split)


def decoded(dataset, key, monkeypatch):
    """Numbers of the frames that a sample decodes, one list per clip."""
    lists = []
    read = ClipSettings.read_frames

    def spy(self, *arguments):
        frames = read(self, *arguments)
        lists.append(read_numbers(frames))
        return frames

    monkeypatch.setattr(ClipSettings, "read_frames", spy)
    sample = dataset[key]
    monkeypatch.undo()
    return lists, sample


@pytest.mark.parametrize("window", [{}, {"start_sec": 1.0, "end_sec": 3.2}])
def test_a_dataset_decodes_these_frames(bar, window, monkeypatch):
    views = ("TEST.NUM_ENSEMBLE_VIEWS", 3, "TEST.NUM_SPATIAL_CROPS", 1)
    length, begin = (55, 25) if window else (100, 0)
    size = ref.clip_size(4, 8, 30.0, 25.0)
    for offset in (False, True):
        words = ("DATA.SAMPLING", "pyslowfast", "DATA.USE_OFFSET_SAMPLING", offset)
        dataset = dataset_of(bar, "test", *words, *views, **window)
        lists = [
            clip
            for index in range(len(dataset))
            for clip in decoded(dataset, (0, index), monkeypatch)[0]
        ]
        for view, frames in enumerate(lists):
            first = ref.test_start(length, size, view, 3, offset=offset)
            check([frame - begin for frame in frames], first, size, length)
    train = dataset_of(bar, "train", "DATA.SAMPLING", "pyslowfast", **window)
    starts = []
    for epoch in range(8):
        (frames,), sample = decoded(train, (epoch, 0), monkeypatch)
        starts.append((float(sample["clip_start_sec"][0]) * 25) - begin)
        check([frame - begin for frame in frames], starts[-1], size, length)
    assert 0 <= min(starts) < max(starts) <= length - size + 1e-3


@pytest.mark.parametrize("suffix", ["mkv", "avi", "webm"])
def test_all_frames_in_other_containers(tmp_path, suffix):
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    video = Video(codec=codec, ticks=range(60), fps=30, options={})
    path = write_media(tmp_path / f"v.{suffix}", video)
    with open_media(path) as reader:
        span = VideoSpan(*reader.video_extent_sec, reader.video_fps)
        assert span.num_frames == 60
        sampling = PySlowFastClips(60, 1, 30.0)
        assert read_numbers(reader.read_video(sampling.frame_times(span, 0.0))) == list(range(60))


def test_variable_frame_rate_means_equal_intervals(tmp_path):
    ticks = [*range(0, 40), *range(40, 120, 2)]  # 80 frames in 4 s: 20 per second on average
    path = write_media(tmp_path / "v.mp4", Video(ticks=ticks, fps=30))
    with open_media(path) as reader:
        span = VideoSpan(*reader.video_extent_sec, reader.video_fps)
        times = PySlowFastClips(span.num_frames, 1, span.fps).frame_times(span, 0.0)
        shown = read_numbers(reader.read_video(times))
    starts = np.array(ticks) / 30
    middles = (np.arange(span.num_frames) + 0.5) / span.fps
    assert abs(span.num_frames - 80) <= 1
    assert shown == (np.searchsorted(starts, middles, "right") - 1).tolist()
    assert len(set(shown)) < len(ticks)  # frames of the faster half are left out


def ssv2_cfg(root, *words):
    labels = root / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "labels.json").write_text(json.dumps({"Doing a": "0"}))
    for name, video in (("train", "1"), ("validation", "2")):
        (labels / f"{name}.json").write_text(json.dumps([{"id": video, "template": "Doing [a]"}]))
    base = "NUM_GPUS 0 DATA.NUM_FRAMES 8 DATA.TRAIN_CROP_SIZE 48 TEST.NUM_ENSEMBLE_VIEWS 2"
    return data_cfg(root, *base.split(), *words)


@pytest.mark.parametrize("sampling", ["auto", "pyslowfast"])
def test_ssv2_takes_a_frame_of_each_segment(tmp_path, sampling, monkeypatch):
    for name in "12":
        write_media(
            tmp_path / f"{name}.webm",
            Video(codec="libvpx", ticks=range(50), fps=12, options={}),
        )
    cfg = ssv2_cfg(tmp_path, "DATA.SAMPLING", sampling)
    bounds = ref.segment_bounds(50, 8)
    for split in ("val", "test"):
        lists, _ = decoded(ssv2(cfg, split), (0, 0), monkeypatch)
        assert lists == [[(a + b) // 2 for a, b in bounds]] * len(lists)
    train = ssv2(cfg, "train")
    (one,), _ = decoded(train, (0, 0), monkeypatch)
    (again,), _ = decoded(train, (0, 0), monkeypatch)
    (other,), _ = decoded(train, (1, 0), monkeypatch)
    assert one == again != other
    for frames in (one, other):
        assert all(a <= frame <= b for frame, (a, b) in zip(frames, bounds, strict=True))


def test_segments_of_a_folder_of_frames(tmp_path, monkeypatch):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(40):
        image = cv2.cvtColor(numbered_frame(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"img_{number + 1:05d}.png"), image)
    words = ("DATA.SAMPLING", "segments", "DATA.FRAME_FOLDER_FPS", 30.0)
    lists, _ = decoded(dataset_of(folder, "val", *words), (0, 0), monkeypatch)
    assert lists == [[(a + b) // 2 for a, b in ref.segment_bounds(40, 4)]]


def test_the_key_chooses():
    cfg = get_cfg()

    def build(name, default="time_bins"):
        cfg.DATA.SAMPLING = name
        assert check_sampling(cfg) == []
        return type(build_clip_sampling(cfg, default=default))

    names = ("auto", "time_bins", "pyslowfast", "segments")
    assert [build(name) for name in names] == [TimeBins, TimeBins, PySlowFastClips, Segments]
    assert [build(name, "segments") for name in names] == [Segments, TimeBins, Segments, Segments]
    cfg.DATA.SAMPLING = "pyslowfst"
    (problem,) = check_sampling(cfg)
    assert problem.key == "DATA.SAMPLING"
    assert "Did you mean 'pyslowfast'?" in problem.message
