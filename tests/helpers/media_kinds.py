"""Every kind of odd and damaged file that a video dataset may hold, made on demand.

``KINDS`` maps a file name to how it is made and what has to come of it: "ok" (all of it can be
read), "partial" (a window is read whole, or refused with a MediaError) or "error" (opening is
refused). Left out: Theora, which PyAV's wheel cannot encode; unreadable files and folders with a
media name, which need no table.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from helpers.media_files import (
    FPS,
    NUM_FRAMES,
    X264,
    Audio,
    Video,
    numbered_frame,
    remux,
    write_media,
)

MPEG4 = {"g": "20", "b": "800k"}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "20", "b": "500k"}
MP3 = Audio("libmp3lame", options={})
OPUS = Audio("libopus", 48000, options={})
PCM = Audio("pcm_s16le", options={})
PAL = Video(ticks=range(NUM_FRAMES // 2), fps=15, pix_fmt="yuv422p")


class Kind(NamedTuple):
    """How to make a file, and what is to be found in it.

    ``video`` is the track whose frames are expected, from its ``first_number`` on.
    """

    make: Callable[[Path], object]
    expect: str = "ok"
    video: Video | None = Video()
    has_audio: bool = True
    shown_size: tuple[int, int] | None = None
    first_number: int = 0


def _file(video: Video | None, *rest: Video | Audio, **options: object) -> Kind:
    tracks = rest if video is None else (video, *rest)
    has_audio = any(isinstance(track, Audio) for track in tracks)
    return Kind(lambda path: write_media(path, *tracks, **options), "ok", video, has_audio)


def _audio(audio: Audio, **options: object) -> Kind:
    return _file(None, audio, **options)


def _damaged(change: Callable[[bytes], bytes], expect: str) -> Kind:
    def make(path: Path) -> None:
        write_media(path, Video(), Audio(), options={"movflags": "faststart"})
        path.write_bytes(change(path.read_bytes()))

    return Kind(make, expect)


def _bytes(content: bytes) -> Kind:
    return Kind(lambda path: path.write_bytes(content), "error", None)


def _cut(path: Path) -> None:
    whole = write_media(path.with_name("whole.mp4"), Video(), Audio())
    remux(whole, path, from_sec=0.9, shift_sec=-0.9)


def _link(path: Path, target: str) -> None:
    if target == "ok":
        write_media(path.with_name("target.mp4"), Video(), Audio())
        target = "target.mp4"
    path.symlink_to(target)


def _change_of_size(path: Path) -> None:
    parts = []
    for name, size in (("first.ts", (96, 64)), ("second.ts", (48, 32))):
        part = write_media(path.with_name(name), Video(size=size), Audio(), container="mpegts")
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))


def _flip(data: bytes, count: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for position in rng.integers(data.index(b"mdat") + 1200, len(data), count):
        changed[position] ^= 0xFF
    return bytes(changed)


def _without_moov(path: Path) -> None:
    write_media(path, Video(), Audio())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


_NORMAL = _file(Video(), Audio())
_STILL = cv2.imencode(".png", numbered_frame(0))[1].tobytes()
_RANDOM = np.random.default_rng(0).integers(0, 256, 20000, dtype=np.uint8).tobytes()
_HEADER = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41\x00\x00\x00\x08free"
_SILENCE = np.zeros((2, 88200), np.float32)
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20"}
_INTERLACED = X264 | {"flags": "+ildct+ilme", "x264-params": "tff=1"}
_RATE_2997 = Fraction(30000, 1001)

KINDS: dict[str, Kind] = {
    "UPPER.MP4": _NORMAL,
    "anamorphic_sar2.mp4": _file(Video(size=(48, 64), aspect=Fraction(2)), Audio())._replace(
        shown_size=(96, 64)
    ),
    "audio.flac": _audio(Audio("flac", options={})),
    "audio.mp3": _audio(MP3),
    "audio.ogg": _audio(Audio("vorbis", options={})),
    "audio_10ms.wav": _audio(PCM._replace(seconds=0.01)),
    "audio_24k_mono.wav": _audio(PCM._replace(rate=24000, layout="mono")),
    "audio_5p1.mp4": _file(Video(), Audio(layout="5.1")),
    "audio_8k.mp4": _file(Video(), Audio(rate=8000, layout="mono")),
    "audio_96k.mp4": _file(Video(), Audio(rate=96000)),
    "audio_ac3.mp4": _file(Video(), Audio("ac3", options={})),
    "audio_all_silent.mp4": _file(Video(), Audio(samples=_SILENCE)),
    "audio_empty.wav": Kind(
        lambda path: write_media(path, PCM._replace(seconds=0.0)), "error", None
    ),
    "audio_f32_48k.wav": _audio(Audio("pcm_f32le", 48000, options={})),
    "audio_flac.mkv": _file(Video(), Audio("flac", options={})),
    "audio_longer_than_video.mp4": _file(Video(ticks=range(23)), Audio()),
    "audio_mono.mp4": _file(Video(), Audio(layout="mono")),
    "audio_only.m4a": _audio(Audio()),
    "audio_only_named.mp4": _audio(Audio()),
    "audio_pcm.mkv": _file(Video(), PCM),
    "audio_s24.wav": _audio(Audio("pcm_s24le", options={})),
    "audio_shorter_1p5s.mp4": _file(Video(), Audio(seconds=0.75)),
    "audio_starts_late_1s.mp4": _file(Video(), Audio(start_sec=1.0, seconds=1.0)),
    "audio_u8_8k.wav": _audio(Audio("pcm_u8", 8000, "mono", {})),
    "audio_with_cover_only.m4a": _audio(Audio(), cover=True, container="mp4"),
    "av1_opus.mp4": _file(Video("libsvtav1", options={"preset": "12", "g": "20"}), OPUS),
    "broken_symlink.mp4": Kind(lambda path: _link(path, "nowhere.mp4"), "error"),
    "corrupt_light.mp4": _damaged(lambda data: _flip(data, 4, 1), "partial"),
    "corrupt_payload.mp4": _damaged(lambda data: _flip(data, len(data) // 20, 2), "partial"),
    "cover_art.mp4": _file(Video(), Audio(), cover=True),
    "edit_list_cut.mp4": Kind(_cut, first_number=27),
    "flv1_mp3.flv": _file(Video("flv", options=MPEG4), MP3._replace(rate=22050)),
    "fps3.mp4": _file(Video(ticks=range(6), fps=3), Audio()),
    "fps60.mp4": _file(Video(ticks=range(120), fps=60), Audio()),
    "fps_29_97.mp4": _file(Video(fps=_RATE_2997), Audio()),
    "fragmented.mp4": _file(
        Video(), Audio(), options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "full_range.mp4": _file(Video(pix_fmt="yuvj420p", colors=(6, 2)), Audio()),
    "gif_2s.gif": _file(Video("gif", "rgb8", {}, range(20), 10)),
    "gop_all_intra.mp4": _file(Video(options=X264 | {"g": "1"}), Audio()),
    "gop_single_keyframe.mp4": _file(Video(options=X264 | {"g": "999"}), Audio()),
    "gray.mp4": _file(Video(pix_fmt="gray"), Audio()),
    "h264_10bit.mp4": _file(Video(pix_fmt="yuv420p10le"), Audio()),
    "h264_aac.ts": _file(Video(), Audio(), container="mpegts"),
    "header_only.mp4": _bytes(_HEADER),
    "hevc_10bit.mp4": _file(Video("libx265", "yuv420p10le", _HEVC), Audio()),
    "interlaced.mp4": _file(PAL._replace(options=_INTERLACED), Audio()),
    "mjpeg_pcm.avi": _file(Video("mjpeg", "yuvj420p", {}), PCM),
    "mpeg2_mp2.mpg": _file(
        Video("mpeg2video", options=MPEG4 | {"bf": "2"}), Audio("mp2", options={})
    ),
    "mpeg4_bframes_mp3.avi": _file(Video("mpeg4", options=MPEG4 | {"bf": "2"}), MP3),
    "mpeg4_mp3.avi": _file(Video("mpeg4", options=MPEG4), MP3),
    "no_audio.mp4": _file(Video()),
    "no_extension": _file(Video(), Audio(), container="mp4"),
    "odd_97x65_vp9.webm": _file(Video("libvpx-vp9", options=VPX, size=(97, 65)), OPUS),
    "odd_97x65_yuv444.mp4": _file(Video(pix_fmt="yuv444p", size=(97, 65)), Audio()),
    "ok_reference.mp4": _NORMAL,
    "one_frame.mp4": _file(Video(ticks=[0])),
    "one_frame_2s_audio.mp4": _file(Video(ticks=[0]), Audio()),
    "open_gop.mp4": _file(Video(options=X264 | {"x264-params": "open-gop=1"}), Audio()),
    "png_image_named.mp4": Kind(lambda path: path.write_bytes(_STILL), "error"),
    "portrait_64x96.mp4": _file(Video(size=(64, 96)), Audio()),
    "prores_422_1s.mov": _file(Video("prores_ks", "yuv422p10le", {}, range(FPS)), PCM),
    "quote'and,comma.mp4": _NORMAL,
    "random_bytes.mp4": _bytes(_RANDOM),
    "raw_video.avi": _file(Video("rawvideo", options={}, ticks=range(9))),
    "resolution_change_midstream.ts": Kind(_change_of_size, "partial"),
    "rotate90_meta.mp4": _file(Video(rotation=90), Audio())._replace(shown_size=(64, 96)),
    "short_0p2s.mp4": _file(Video(ticks=range(6)), Audio(seconds=0.2)),
    "space in name.mp4": _NORMAL,
    "symlink_ok.mp4": Kind(lambda path: _link(path, "ok")),
    "text_named.mp4": _bytes(b"this is a text file with a wrong name\n"),
    "tiny_48x32.mp4": _file(Video(size=(48, 32)), Audio()),
    "truncated_faststart_half.mp4": _damaged(lambda data: data[: len(data) * 55 // 100], "partial"),
    "truncated_no_moov.mp4": Kind(_without_moov, "error"),
    "ts_offset_10s.mkv": _file(Video(ticks=range(10 * FPS, 12 * FPS)), Audio(start_sec=10.0)),
    "two_audio_tracks.mp4": _file(Video(), Audio(), Audio(samples=_SILENCE)),
    "two_video_tracks.mp4": _file(Video(), Video(ticks=range(5)), Audio()),
    "vfr.mp4": _file(Video(ticks=[0, 1, 2, 5, 6, 20, 21, 22, 24, 25, 26, 40, 44, 45, 58]), Audio()),
    "video_starts_late_1s.mp4": _file(Video(ticks=range(30, 60)), Audio()),
    "vp8_vorbis.webm": _file(Video("libvpx", options=VPX), Audio("vorbis", options={})),
    "vp9_opus.webm": _file(Video("libvpx-vp9", options=VPX), OPUS),
    "wide_384x48.mp4": _file(Video(size=(384, 48)), Audio()),
    "with_subtitles.mkv": _file(Video(), Audio(), subtitle=True),
    "wmv2_wma.wmv": _file(Video("wmv2", options=MPEG4), Audio("wmav2", options={})),
    "zero_bytes.mp4": _bytes(b""),
    "ünïcödé_日本語_🎵.mp4": _NORMAL,
}
"""By file name."""


def make_kind(name: str, folder: Path) -> Path:
    """Make the file of that name in a folder of its own."""
    path = folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    KINDS[name].make(path)
    return path
