"""``check --level full`` of a folder of every odd kind counts what FFmpeg counts.

The oracle is a plain decode from the start, through PyAV and none of our code.
"""

import json
import shutil

import av
import cv2
import numpy as np
import pytest
from helpers.media_files import X264, Audio, Video, write_many_channels, write_media
from helpers.media_kinds import MPEG4

from slowfast.cli.prepare_data import main

pytestmark = pytest.mark.av

FRAMES, SECONDS = 50, 2.0
B = MPEG4 | {"bf": "2", "g": "45"}
LONG = X264 | {"g": "999"}


def count_frames(path):
    with av.open(str(path)) as media:
        return sum(1 for _ in media.decode(video=0))


def count_seconds(path):
    with av.open(str(path)) as media:
        stream = media.streams.audio[0]
        return sum(frame.samples for frame in media.decode(stream)) / stream.sample_rate


def video(codec="libx264", pixels="yuv420p", options=LONG, frames=range(FRAMES)):
    return Video(codec, pixels, options, frames, 25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("kinds") / "videos"
    clips = root / "training" / "clips"
    clips.mkdir(parents=True)
    audio = Audio(seconds=SECONDS)
    for name, *tracks in [
        ("h264_b.avi", video(options=X264), Audio("libmp3lame", seconds=SECONDS, options={})),
        ("mpeg4_b.avi", video("mpeg4", options=B)),
        ("mpeg2_b.avi", video("mpeg2video", options=B)),
        ("mpeg2_b.mpg", video("mpeg2video", options=B)),
        ("h264.ts", video(), audio),
        ("h264.mkv", video(), audio),
        ("vp9.webm", video("libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"})),
        ("palette.mov", video("qtrle", "rgb24", {"g": "12"})),
        ("palette.gif", video("gif", "rgb8", {})),
        ("estimated.aac", audio),
        ("estimated.mp3", Audio("libmp3lame", seconds=SECONDS, options={})),
    ]:
        write_media(clips / name, *tracks)
    write_many_channels(clips / "planar.mp4", "aac", "7.1", SECONDS)
    write_many_channels(clips / "packed.wav", "pcm_s16le", "22.2", SECONDS)
    false_keyframes = write_media(clips / "false_keyframes.mp4", video("mpeg4", options=B))
    false_keyframes.write_bytes(false_keyframes.read_bytes().replace(b"stss", b"free"))
    write_media(clips / "twin.mp4", video(), audio)
    write_media(clips / "twin.wav", Audio("pcm_s16le", seconds=SECONDS, options={}))
    write_media(clips / "stream.h264", video())
    cv2.imwrite(str(clips / "still.jpg"), np.zeros((48, 64, 3), np.uint8))
    parts = [write_media(root.parent / f"{n}.ts", video(), audio) for n in range(2)]
    (clips / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    (root / "training" / ".ipynb_checkpoints").mkdir()
    shutil.copy(clips / "twin.mp4", root / "training" / ".ipynb_checkpoints" / "twin.mp4")
    return root


@pytest.fixture(scope="module")
def reports(folder):
    out = folder.parent / "out"
    words = ["check", str(folder), "--out", str(out), "--level", "full", "--jobs", "2"]
    assert main(words) == 0
    lines = (out / "report.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {report["path"].rsplit("/", 1)[-1]: report for report in found if "path" in report}


def test_everything_is_looked_at_once(folder, reports):
    there = {path.name for path in (folder / "training" / "clips").iterdir()}
    assert set(reports) == there - {"still.jpg"}


def test_frames_are_as_many_as_ffmpeg_decodes(folder, reports):
    counted = {
        name: (report["video"]["num_frames"], count_frames(folder / "training" / "clips" / name))
        for name, report in reports.items()
        if report["video"] and name not in ("stream.h264", "joined.ts")
    }
    assert len(counted) == 11
    assert {name: pair for name, pair in counted.items() if pair[0] != pair[1]} == {}
    assert all(expected == FRAMES for _, expected in counted.values())


def test_audio_is_as_long_as_ffmpeg_decodes(folder, reports):
    for name, report in reports.items():
        if report["audio"] and name != "joined.ts":
            length = report["audio"]["end_sec"] - report["audio"]["start_sec"]
            expected = count_seconds(folder / "training" / "clips" / name)
            assert length == pytest.approx(expected, abs=0.08), name


def test_what_cannot_be_read_whole_says_why(reports):
    def codes(name):
        return {problem["code"] for problem in reports[name]["problems"]}

    assert codes("stream.h264") == {"raw_stream"}
    assert "restarts" in codes("joined.ts")
    for name in reports.keys() - {"stream.h264", "joined.ts"}:
        grave = {p["code"] for p in reports[name]["problems"] if p["severity"] == "error"}
        assert grave == set(), name
