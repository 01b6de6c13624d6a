"""Write a short file of every video and audio codec in every container that FFmpeg can write.

    python tests/campaigns/make_kinds.py FOLDER
    python tests/campaigns/compare_seek.py FOLDER

About 2 minutes and 1500 files, of which FFmpeg itself can read the half.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.media_files import numbered_frame

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
        except av.FFmpegError:
            continue
        if codec.type == kind and not any(part in name for part in IN_HARDWARE):
            yield codec


def write_video(path: Path, codec: Any, options: dict[str, str]) -> None:
    """Write numbered frames."""
    known = [f.name for f in codec.video_formats or []]
    size = SIZES.get(codec.name, (96, 64))
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec.name, rate=FPS, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = next((f for f in PIXELS if f in known), (known or ["yuv420p"])[0])
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size), format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def write_audio(path: Path, codec: Any, layout: str) -> None:
    """Write a tone that rises."""
    rates = list(codec.audio_rates or [44100])
    rate = 44100 if 44100 in rates else max(rates)
    time = np.arange(round(rate * SECONDS)) / rate
    tone = 0.4 * np.sin(2 * np.pi * (200 * time + 150 * time**2)).astype(np.float32)
    channels = {"mono": 1, "stereo": 2}[layout]
    whole = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), format="fltp", layout=layout)
    whole.sample_rate = rate
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec.name, rate=rate, layout=layout)
        fifo, position = av.AudioFifo(), 0
        for part in av.AudioResampler(stream.format, layout, rate).resample(whole):
            part.pts = None
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while (frame := fifo.read(size) or fifo.read(size, partial=True)) is not None:
            frame.pts, frame.time_base, position = position, Fraction(1, rate), position + size
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def main() -> int:
    """Write all that can be written."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tasks: list[tuple[Path, Any, tuple[Any, ...]]] = []
    for codec in encoders("video"):
        for name, options in (("b", {"bf": "2", "g": "12"}), ("long", {"g": "300"})):
            paths = [folder / f"{codec.name}_{name}.{suffix}" for suffix in VIDEO]
            tasks += [(path, write_video, (codec, options)) for path in paths]
    for codec in encoders("audio"):
        for layout in ("mono", "stereo"):
            paths = [folder / f"{codec.name}_{layout}.{suffix}" for suffix in AUDIO]
            tasks += [(path, write_audio, (codec, layout)) for path in paths]
    for path, write, words in tasks:
        try:
            write(path, *words)
        except (av.FFmpegError, ValueError, TypeError, OSError, AssertionError):
            path.unlink(missing_ok=True)  # not a pair
    print(f"{len(list(folder.iterdir()))} of {len(tasks)} pairs can be written: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
