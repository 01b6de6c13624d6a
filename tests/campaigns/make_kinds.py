"""Write a short file of every video and audio codec in every container that FFmpeg can write.

    python tests/campaigns/make_kinds.py FOLDER
    python tests/campaigns/compare_seek.py FOLDER

About 2 minutes and 1500 files, of which FFmpeg itself can read the half.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.media_files import Audio, Video, write_media

VIDEO = (
    "mp4 mov mkv avi ts mpg webm flv wmv ogv mxf 3gp m4v vob rm ivf m2ts f4v m2v m1v mjpeg wtv "
    "divx qt ogm asf gif y4m dv"
).split()
AUDIO = (
    "mp4 mkv avi ts mpg webm flv wmv ogg wav mp3 aac flac opus m4a mka caf aiff ac3 eac3 dts amr "
    "w64 wv tta mp2 rm sbc"
).split()
IN_HARDWARE = ("nvenc", "vaapi", "qsv", "amf", "v4l2m2m", "vulkan", "videotoolbox", "_mf", "_at")
FRAMES, FPS, SECONDS = 40, 25, 4.3
PIXELS = ("yuv420p", "yuvj420p", "yuv422p", "yuv411p", "rgb24", "rgb8", "gray", "bgr0", "rgba")
SIZES = {"h261": (176, 144), "h263": (176, 144), "dvvideo": (720, 576)}


def encoders(kind: str) -> Iterator[Any]:
    """Yield FFmpeg's encoders of "video" or "audio"."""
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except (av.FFmpegError, ValueError):  # FFmpeg cannot write it
            continue
        if codec.type == kind and not any(part in name for part in IN_HARDWARE):
            yield codec


def video_of(codec: Any, options: dict[str, str]) -> Video:
    """Numbered frames."""
    known = [f.name for f in codec.video_formats or []]
    pixels = next((f for f in PIXELS if f in known), (known or ["yuv420p"])[0])
    return Video(codec.name, pixels, options, range(FRAMES), FPS, SIZES.get(codec.name, (96, 64)))


def audio_of(codec: Any, layout: str) -> Audio:
    """A tone that rises."""
    rates = list(codec.audio_rates or [44100])
    return Audio(codec.name, 44100 if 44100 in rates else max(rates), layout, {}, SECONDS)


def main() -> int:
    """Write all that can be written."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tasks: list[tuple[Path, Video | Audio]] = []
    for codec in encoders("video"):
        for name, options in (("b", {"bf": "2", "g": "12"}), ("long", {"g": "300"})):
            paths = [folder / f"{codec.name}_{name}.{suffix}" for suffix in VIDEO]
            tasks += [(path, video_of(codec, options)) for path in paths]
    for codec in encoders("audio"):
        for layout in ("mono", "stereo"):
            paths = [folder / f"{codec.name}_{layout}.{suffix}" for suffix in AUDIO]
            tasks += [(path, audio_of(codec, layout)) for path in paths]
    for path, track in tasks:
        try:
            write_media(path, track)
        except (av.FFmpegError, ValueError, TypeError, OSError, AssertionError):
            path.unlink(missing_ok=True)  # not a pair
    print(f"{len(list(folder.iterdir()))} of {len(tasks)} pairs can be written: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
