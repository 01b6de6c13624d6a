"""Files that declare far more than they hold: work and memory follow the data."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media

from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.audio_dataset import AudioSettings, AudioTrainDataset
from slowfast.datasets.decoding.reader import MediaError, open_media, probe_media
from slowfast.datasets.inspect.checker import _problems_of_audio, inspect_media
from slowfast.datasets.inspect.media_stats import audio_stats

HOURS_8 = 8 * 3600.0
MPEG4 = Video(codec="mpeg4", options={}, ticks=range(30))


class Counter:
    """Counts packets that were read."""

    packets = 0

    def __call__(self):
        self.packets += 1


def inspect(path, level="full"):
    """Check a file; returns the report, packets that were read, and MB that Python allocated."""
    beat = Counter()
    tracemalloc.start()
    try:
        report = inspect_media(path, level=level, beat=beat)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return report, beat.packets, peak / 1e6


def peak_mb():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def test_audio_hours_after_the_video(tmp_path):
    """It took 5 GB: the time between was filled with zeros."""
    audio = Audio("aac", seconds=2.0, start_sec=HOURS_8)
    path = write_media(tmp_path / "late.mkv", MPEG4, audio)
    report, packets, size_mb = inspect(path)
    assert report.is_usable
    assert report.audio_offset_sec == pytest.approx(HOURS_8, abs=1)
    assert size_mb < 40
    assert packets < 1500


def test_a_header_that_declares_hours(tmp_path):
    """Each half minute that is declared was looked for, with a sign of life for the watchdog."""
    path = write_media(tmp_path / "a.wav", Audio("pcm_s16le", 16000, "mono", {}, 4.0))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0x30000000)  # 7 hours
    path.write_bytes(data)
    report, packets, size_mb = inspect(path)
    assert report.audio.end_sec == pytest.approx(4.0, abs=0.1)
    assert (packets < 500, size_mb < 40) == (True, True)
    dataset = AudioTrainDataset(
        Manifest.from_rows([VideoRecord(str(path))], []), AudioSettings(), seed=0
    )
    assert all(dataset[epoch, 0]["audio_valid"].all() for epoch in range(5))


def test_a_short_header_confirms_a_quiet_file(tmp_path):
    """Few bytes a second alone do not make a duration wrong."""
    still = Video(codec="mpeg4", options={"g": "600"}, ticks=range(0, 600, 30), fps=30)
    path = write_media(
        tmp_path / "still.mp4", still._replace(still=np.zeros((64, 96, 3), np.uint8))
    )
    assert path.stat().st_size < 1000 * 20
    assert probe_media(path).video_end_sec > 18


@pytest.mark.parametrize("side", [4000, 0x7FFF])
def test_a_container_that_declares_huge_frames(tmp_path, side):
    path = write_media(tmp_path / "huge.mp4", Video(ticks=range(30)))
    data = bytearray(path.read_bytes())
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    data[at : at + 4] = struct.pack(">HH", side, side)
    path.write_bytes(data)
    with open_media(path) as reader:
        frames = reader.read_video([0.1, 0.5])
        assert frames.shape[1] == reader.info.height == 64
        assert frames.shape[2] == reader.info.width <= 144  # the pixels may count as wide


def test_frames_of_a_gigapixel_are_not_allocated(tmp_path):
    path = write_media(tmp_path / "m.avi", Video("mjpeg", "yuvj420p", {}, range(5)))
    data = path.read_bytes()
    start = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 64, 96)
    assert start in data
    path.write_bytes(data.replace(start, start[:5] + struct.pack(">HH", 60000, 60000)))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    report = inspect_media(path, level="full")
    with pytest.raises(MediaError), open_media(path) as reader:
        reader.read_video([0.1])
    assert not report.is_usable
    assert peak_mb() - before < 100


def test_audio_is_read_once_in_order(tmp_path):
    """The full check of long audio decodes it in one pass: the same samples as windows have."""
    path = write_media(tmp_path / "a.flac", Audio("flac", 16000, "stereo", {}, 70.0))
    with open_media(path) as reader:
        rates, waves = zip(*reader.iter_audio(), strict=True)
        window, share = reader.read_audio(0.0, 70 * 16000, 16000)
        facts = inspect_media(path, level="full").audio
    assert (set(rates), share) == ({16000}, 1.0)
    assert np.array_equal(np.concatenate(waves), window)
    assert (facts.heard_sec, facts.readable_share, facts.failed_share) == (70.0, 1.0, 0.0)
    assert facts.peak == pytest.approx(abs(window).max(), abs=1e-5)
    assert facts.rms == pytest.approx(np.sqrt(np.mean(window**2)), rel=1e-3)


def test_audio_that_lasts_no_time_is_not_called_undecodable(tmp_path):
    """Training reads the video of such a file, with audio that is not valid."""
    path = write_media(tmp_path / "v.mp4", MPEG4, Audio(seconds=1.0))
    report = inspect_media(path)
    with open_media(path) as reader:
        info = reader.info._replace(audio_start_sec=1.0, audio_end_sec=1.0)
        reader.__dict__["info"] = info
        facts, _ = audio_stats(reader, report.audio, everywhere=True)
    assert facts.failed_share == 0.0
    found = list(_problems_of_audio(facts))
    assert [(p.code, p.reason) for p in found] == [("silent", "its audio lasts no time")]
