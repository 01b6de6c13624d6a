"""What make_grid_words.py does with a sentence of the GRID corpus: finds the face, cuts clips.

Legend: T frames, H W height and width, S side of a square of pixels.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.config import UserError
from slowfast.datasets.decoding.reader import MediaError, MediaReader, open_media
from slowfast.utils.io import atomic_path, write_csv
from slowfast.utils.media_libraries import READ_ERRORS, av, cv2

SPLITS = ("train", "test")
FPS, FRAMES, SIDE = 25, 20, 112
SAMPLE_RATE_HZ = 24_000
AUDIO_SLACK_SEC = 0.2
"""The audio of a sentence may end so much before its video; it is silent there."""
VIDEO_OPTIONS = {"crf": "20", "g": str(FRAMES), "x264-params": "mbtree=0"}
"""Without x264's macroblock tree, with which the same frames do not always give the same file."""
AUDIO_BIT_RATE = 64_000
CASCADE = "haarcascade_frontalface_default.xml"
LEAST_FACE = 0.25
"""Share of the height of the frame that a face has at least."""

_HEADER = ("sentence", "split", "left", "top", "side", "clips")

Box = tuple[int, int, int]
"""Left, top and side of a square, in pixels of the video."""
Beat = Callable[[], None]


class Sentence(NamedTuple):
    """The files of one sentence and the times of its words.

    Attributes:
        name: Such as bbaf2n.
        video: Video, with audio or without.
        audio: Audio in a file of its own, or None; used if the video has none.
        words: Word -> its start and end, in frames.
    """

    name: str
    video: Path
    audio: Path | None
    words: dict[str, tuple[float, float]]


class Face(NamedTuple):
    """A face in a frame, in pixels: the middle of a square, its top and its side."""

    x: float
    top: float
    side: float


class Look(NamedTuple):
    """What is seen in a sentence.

    Attributes:
        num_frames: Its length.
        size: Width and height of the frames.
        face: None if none is found, or none was looked for.
    """

    num_frames: int
    size: tuple[int, int]
    face: Face | None


class Row(NamedTuple):
    """The clips of one sentence: a line of clips.csv.

    Attributes:
        sentence: Its name.
        split: train or test.
        box: What the clips show.
        clips: Class -> number of the first frame.
    """

    sentence: str
    split: str
    box: Box
    clips: dict[str, int]

    def file(self, name: str) -> Path:
        """Return the file of a class's clip, relative to the folder of the set."""
        return Path(self.split, name, f"{self.sentence}.mp4")


def read_record(path: Path, classes: Collection[str]) -> list[Row]:
    """Read a record of clips, as this command writes it.

    Args:
        path: The csv file.
        classes: What to keep of it.

    Returns:
        Sentences with clips of these classes.

    Raises:
        UserError: If the file cannot be understood.
    """
    rows = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if number == 1 and line == ",".join(_HEADER):
            continue
        try:
            name, split, left, top, side, clips = line.split(",")
            firsts = dict(clip.split(":") for clip in clips.split())
            wanted = {label: int(n) for label, n in firsts.items() if label in classes}
            box = int(left), int(top), int(side)
            if split not in SPLITS or min(*box, *wanted.values()) < 0:
                raise ValueError
        except ValueError:
            raise UserError(
                f"--like: {path}, line {number}: got {line[:80]!r}; expected {','.join(_HEADER)}, "
                "as in bbaf2n,train,106,156,100,color_red:14 digit_two:28"
            ) from None
        if wanted:
            rows.append(Row(name, split, box, wanted))
    return rows


def write_record(path: Path, rows: list[Row]) -> None:
    """Write a record of clips."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        clips = " ".join(f"{name}:{first}" for name, first in sorted(row.clips.items()))
        lines.append([row.sentence, row.split, *row.box, clips])
    write_csv(path, _HEADER, lines)


def look(task: tuple[Sentence, bool], beat: Beat) -> Look | str:
    """Decode a sentence.

    Args:
        task: The sentence, and whether to find its face.
        beat: Called regularly, to report progress.

    Returns:
        What is seen, or in one line why it cannot be used.
    """
    sentence, with_face = task
    try:
        with _open(sentence, beat) as (frames, _):
            height, width = frames[0].shape[:2]
            return Look(len(frames), (width, height), find_face(frames) if with_face else None)
    except MediaError as error:
        return error.reason


def cut(task: tuple[Sentence, Row, Path], beat: Beat) -> tuple[int, int] | str:
    """Write the clips of a sentence that are not there yet.

    Args:
        task: The sentence, its clips and the folder of the set.
        beat: Called regularly, to report progress.

    Returns:
        Numbers of clips written and kept, or in one line why the sentence cannot be used.
    """
    sentence, row, out = task
    source = f"GRID {row.sentence} of {sentence.video.stat().st_size} bytes, square {row.box}"
    tags = {name: f"{source}, frame {first}" for name, first in row.clips.items()}
    due = {c: n for c, n in row.clips.items() if _read_tag(out / row.file(c)) != tags[c]}
    if not due:
        return 0, len(row.clips)
    left, top, side = row.box
    try:
        with _open(sentence, beat) as (frames, read_audio):
            height, width = frames[0].shape[:2]
            if left + side > width or top + side > height:
                return f"frames of {width} by {height} pixels do not hold {row.box}"
            for name, first in due.items():
                if first + FRAMES > len(frames):
                    return f"{len(frames)} frames do not hold those from {first} on"
                video = [f[top : top + side, left : left + side] for f in frames[first:][:FRAMES]]
                with atomic_path(out / row.file(name)) as temporary:
                    write_clip(temporary, video, read_audio(first), tags[name])
                beat()
    except MediaError as error:
        return error.reason
    return len(due), len(row.clips) - len(due)


@contextmanager
def _open(
    sentence: Sentence, beat: Beat
) -> Iterator[tuple[list[NDArray[np.uint8]], Callable[[int], NDArray[np.float32]]]]:
    """Decode a video and open its audio.

    Yields:
        All frames, each uint8 (H, W, 3), RGB, and a function that reads the audio of FRAMES frames
        from one on, float32 (N,).

    Raises:
        MediaError: If frames are missing or damaged, or the audio is missing or too short.
    """
    with open_media(sentence.video, beat=beat) as reader:
        shown = list(reader.iter_video())
        times, frames = [sec for sec, _ in shown], [frame for _, frame in shown]
        odd = int((np.abs(np.diff(times) * FPS - 1) > 0.5).sum())
        if reader.num_damaged_frames or odd or len(frames) < FRAMES:
            what = f"{len(frames)} frames, {reader.num_damaged_frames} damaged, {odd} out of step"
            raise MediaError(sentence.video, f"{what}; expected {FRAMES} or more, at {FPS} Hz")
        if reader.info.has_audio or sentence.audio is None:
            yield frames, _audio_of(reader, times[0], len(frames))
        else:
            with open_media(sentence.audio, beat=beat) as audio:
                yield frames, _audio_of(audio, 0.0, len(frames))


def _audio_of(
    reader: MediaReader, zero_sec: float, num_frames: int
) -> Callable[[int], NDArray[np.float32]]:
    """Return a function that reads the audio of FRAMES frames from one on."""
    if not reader.info.has_audio:
        raise MediaError(reader.path, "no audio in it, and no .wav file of the same name")
    missing_sec = num_frames / FPS - (reader.audio_extent_sec[1] - zero_sec)
    if missing_sec > AUDIO_SLACK_SEC:
        raise MediaError(reader.path, f"its audio ends {missing_sec:.2f} s before its video")
    count = FRAMES * SAMPLE_RATE_HZ // FPS
    return lambda first: reader.read_audio(zero_sec + first / FPS, count, SAMPLE_RATE_HZ)[0]


@functools.cache
def face_detector() -> Any:
    """Load OpenCV's frontal face detector.

    Raises:
        UserError: If this OpenCV has none.
    """
    file = Path(cv2.data.haarcascades, CASCADE)
    if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
        raise UserError(
            f"--box, --like: got neither, and OpenCV {cv2.__version__} has no face detector. "
            "Give a square that fits the speaker, such as --box 106,156,100, or a record of squares"
            " (--like), or install OpenCV 4: pip install 'opencv-python-headless<5'"
        )
    cv2.setNumThreads(1)  # there is a process per core
    return cv2.CascadeClassifier(str(file))


def find_face(frames: list[NDArray[np.uint8]]) -> Face | None:
    """Find the face of a sentence: the median over its first, middle and last frame.

    Args:
        frames: Each uint8 (H, W, 3), RGB.

    Returns:
        Of each frame the largest face; None if no frame has one.
    """
    found = []
    least = round(LEAST_FACE * frames[0].shape[0])
    for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = face_detector().detectMultiScale(gray, 1.1, 5, minSize=(least, least))
        if len(boxes):
            left, top, side, _ = max(boxes, key=lambda box: box[2])
            found.append((left + side / 2, float(top), float(side)))
    return Face(*map(statistics.median, zip(*found, strict=True))) if found else None


def write_clip(
    path: Path, video: list[NDArray[np.uint8]], audio: NDArray[np.float32], tag: str
) -> None:
    """Write H.264 and AAC into an mp4 file.

    Args:
        path: The file to write.
        video: T squares, each uint8 (S, S, 3), RGB, at FPS; they are resized to SIDE.
        audio: float32 (N,) in [-1, 1], at SAMPLE_RATE_HZ.
        tag: Comment of the file.
    """
    with av.open(str(path), "w", format="mp4") as out:
        out.metadata["comment"] = tag
        stream = out.add_stream("libx264", rate=FPS, options=VIDEO_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.codec_context.thread_count = 1
        track = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        track.bit_rate = AUDIO_BIT_RATE
        samples = av.AudioFrame.from_ndarray(audio[np.newaxis], format="fltp", layout="mono")
        samples.sample_rate, samples.time_base = SAMPLE_RATE_HZ, Fraction(1, SAMPLE_RATE_HZ)
        samples.pts = 0
        out.mux(track.encode(samples))
        how = cv2.INTER_AREA if len(video[0]) > SIDE else cv2.INTER_CUBIC
        for pixels in video:
            resized = cv2.resize(pixels, (SIDE, SIDE), interpolation=how)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(resized, format="rgb24")))
        out.mux(stream.encode(None))
        out.mux(track.encode(None))


def _read_tag(file: Path) -> str:
    """Read the comment of a clip; "" if there is none."""
    try:
        with av.open(str(file), metadata_errors="replace") as clip:
            return str(clip.metadata.get("comment", ""))
    except READ_ERRORS:
        return ""
