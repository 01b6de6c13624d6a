"""Opening a media file: what may be opened, which tracks count, and faults as one exception."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slowfast.utils.media_libraries import READ_ERRORS, av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

__all__ = [
    "DECODER_OPTIONS",
    "MAX_PIXELS",
    "Beat",
    "MediaError",
    "MediaFile",
    "MediaLocation",
    "Span",
    "demux",
    "is_plausible_rate",
    "open_container",
    "ticks_per_sec",
    "translate_av_errors",
]

Beat = Callable[[], None]
"""Called regularly, to report progress."""

_STILL_IMAGES = ("attached_pic", "timed_thumbnails", "still_image")
"""Dispositions of tracks that FFmpeg lists as video and that hold a cover or thumbnails."""

_MAX_SAMPLE_RATE_HZ = 1_000_000

MAX_PIXELS = 2**25
"""Of a frame; 7680 x 4320 has fewer. A damaged header may declare gigabytes."""

DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}
"""Options of every decoder, also of those with which FFmpeg looks into a file when it opens it."""

_IMAGE_BRANDS = frozenset(("avif", "mif1", "msf1", "heic", "heix", "heim", "heis"))
"""Of mp4 files that hold a still image."""

_PLAYLIST = "it is a playlist, which names other files"
_PLAYLIST_HEAD = 1024
_PLAYLIST_STARTS = (b"#EXTM3U", b"ffconcat ", b"[playlist]", b"v=0\n", b"v=0\r", b"#~RTSP")
_XML_PLAYLISTS = (
    b"<MPD",
    b"<SmoothStreamingMedia",
    b"<AssetMap",
    b"<CompositionPlaylist",
    b"<smil",
)
_PLAYLISTS = frozenset(("concat", "hls", "applehttp", "hls,applehttp", "dash", "imf", "sdp"))
"""FFmpeg's names of formats that open further files."""

_MOTION_JPEG_SUFFIXES = frozenset((".mjpeg", ".mjpg"))


class MediaError(Exception):
    """A media file is missing, damaged, or lacks the requested stream.

    Args:
        path: The file.
        reason: What is wrong with it, in one line.
        code: Key of ``error_codes.PROBLEMS``.
    """

    def __init__(self, path: str | Path, reason: str, code: str = "unreadable") -> None:
        super().__init__(path, reason, code)
        self.path = str(path)
        self.reason = " ".join(str(reason).split())
        self.code = code

    def __str__(self) -> str:
        line = " ".join(f"{self.path}: {self.reason}".splitlines())
        return line.encode("utf-8", "backslashreplace").decode()  # names may be any bytes


_FAULTS: tuple[type[Exception], ...] = (*READ_ERRORS, UnicodeError)

_CAUSES: tuple[tuple[type[Exception], str, str], ...] = (
    (FileNotFoundError, "missing", "it is missing, or a link to nothing"),
    (PermissionError, "forbidden", "it may not be read: permission denied"),
    *(
        (getattr(av, name), "not_media", "it is not a media file, or damaged beyond reading")
        for name in ("InvalidDataError", "EOFError")
        if av
    ),
)
"""What FFmpeg and the file system raise, its code, and what it means in plain words."""


@contextmanager
def translate_av_errors(path: str | Path) -> Iterator[None]:
    """Turn what FFmpeg and the file system raise about a file into MediaError.

    Yields:
        Nothing; the body runs inside.

    Raises:
        MediaError: Instead of FFmpeg's errors, OSError and UnicodeError.
    """
    try:
        yield
    except _FAULTS as error:
        for kind, code, reason in _CAUSES:
            if isinstance(error, kind):
                raise MediaError(path, reason, code) from error
        raise MediaError(path, getattr(error, "strerror", None) or str(error)) from error


class MediaLocation(NamedTuple):
    """A file, or a slice of one (a member of a tar).

    Attributes:
        path: The file.
        offset: First byte of the slice.
        size: Bytes of the slice; None: up to the end.
    """

    path: Path
    offset: int = 0
    size: int | None = None

    @property
    def url(self) -> str:
        """What FFmpeg opens. The explicit protocol keeps a name such as ``http:x`` a file."""
        if not self.offset and self.size is None:
            return f"file:{self.path}"
        end = 0 if self.size is None else self.offset + self.size  # 0: to the end of the file
        return f"subfile,,start,{self.offset},end,{end},,:{self.path}"

    def check(self) -> None:
        """Refuse what is not a file with content; a named pipe would block for ever.

        Raises:
            MediaError: If the path is missing, a folder, special or too small.
            OSError: If the path cannot be looked up.
        """
        status = self.path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(self.path, "it is a folder", "not_a_file")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(self.path, "it is not a regular file", "not_a_file")
        if status.st_size <= self.offset:
            code = "unreadable" if status.st_size else "empty"
            raise MediaError(self.path, f"it is {status.st_size} bytes long, nothing to read", code)


def open_container(location: MediaLocation) -> InputContainer:
    """Open a file for reading. Only local files: a play list inside cannot reach the network.

    Raises:
        MediaError: If it cannot be opened.
    """
    with translate_av_errors(location.path):
        location.check()
        _refuse_playlist(location)
        container = _open(location)
        if container.format.name in _PLAYLISTS:
            container.close()
            raise MediaError(location.path, _PLAYLIST, "playlist")
        is_motion_jpeg = location.path.suffix.lower() in _MOTION_JPEG_SUFFIXES
        if is_motion_jpeg and container.format.name == "jpeg_pipe":  # FFmpeg sees one image
            container.close()
            container = _open(location, "mjpeg")
        return container


def _refuse_playlist(location: MediaLocation) -> None:
    """Refuse a file that names other files, before FFmpeg opens those."""
    with location.path.open("rb") as file:
        file.seek(location.offset)
        start = file.read(min(_PLAYLIST_HEAD, location.size or _PLAYLIST_HEAD))
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_xml = text.startswith(b"<") and any(name in text for name in _XML_PLAYLISTS)
    if text.startswith(_PLAYLIST_STARTS) or is_xml:
        raise MediaError(location.path, _PLAYLIST, "playlist")


def _open(location: MediaLocation, container_format: str | None = None) -> InputContainer:
    return av.open(
        location.url,
        format=container_format,
        metadata_errors="replace",
        options=DECODER_OPTIONS,
        container_options={"protocol_whitelist": "file,subfile"},
    )


class Span(NamedTuple):
    """From when to when a track lasts.

    Attributes:
        start: First instant, in ticks.
        end: Last instant, in ticks.
        per_sec: Ticks per second.
    """

    start: int
    end: int
    per_sec: float

    @property
    def start_sec(self) -> float:
        """First instant, in seconds of container time."""
        return self.start / self.per_sec

    @property
    def end_sec(self) -> float:
        """Last instant, in seconds of container time."""
        return self.end / self.per_sec


def demux(container: InputContainer, streams: list[Stream]) -> Iterator[Packet]:
    """Yield packets of tracks, the empty ones left out: to a decoder they mean the end.

    Yields:
        Packets in the order of the file.

    Raises:
        av.FFmpegError: If reading fails; a new call may continue.
    """
    try:
        for packet in container.demux(streams):
            if packet.size:
                yield packet
    except IndexError:
        return  # How PyAV ends when a damaged file shows a track that it had not when opened.


def ticks_per_sec(stream: Stream) -> float:
    """Return how many ticks of a track's time base make one second."""
    return 1.0 / float(stream.time_base or 1)


def _pick_track(container: InputContainer, kind: str) -> int | None:
    """Choose the track of a kind: the first that is marked default, else the first.

    Covers, thumbnails and tracks without a decoder, a size or a rate do not count.
    """
    tracks = _usable_tracks(container, kind)
    by_default = [s for s in tracks if s.disposition & av.stream.Disposition.default]
    return next((s.index for s in by_default + tracks), None)


def _usable_tracks(container: InputContainer, kind: str) -> list[Stream]:
    return [s for s in container.streams if s.type == kind and _is_usable(s)]


def _is_usable(stream: Any) -> bool:
    context = stream.codec_context
    if context is None or not stream.time_base:
        return False
    if any(stream.disposition & av.stream.Disposition[name] for name in _STILL_IMAGES):
        return False
    if stream.type == "video":
        return context.width > 0 and context.height > 0
    return is_plausible_rate(context.sample_rate)


def is_plausible_rate(sample_rate_hz: int) -> bool:
    """Whether the sample rate is plausible; a damaged header may lead to gigabytes of zeros."""
    return 0 < sample_rate_hz <= _MAX_SAMPLE_RATE_HZ


def _is_still_image(container: InputContainer) -> bool:
    name = container.format.name
    brand = container.metadata.get("major_brand", "").strip()
    return name == "image2" or name.endswith("_pipe") or brand in _IMAGE_BRANDS


class MediaFile:
    """An open file with its chosen tracks. One of them is read at a time.

    Args:
        location: The file.
        beat: Called for each packet that is read; None: no progress reports.

    Attributes:
        container: PyAV's container; a new object after ``reopen``.
        video_index: Index of the video track, or None.
        audio_index: Index of the audio track, or None.
        pristine: Whether nothing was read since it was opened.
        video_options: Options of the decoder of the video track, set when it is opened.
        jumps: Counts seeks, reopenings and changes of track: where it has changed, the position
            of whoever read before is lost.

    Raises:
        MediaError: If the file cannot be opened.
    """

    def __init__(self, location: MediaLocation, beat: Beat | None = None) -> None:
        self.location, self.beat = location, beat
        self.container = open_container(location)
        if _is_still_image(self.container):
            self.container.close()
            raise MediaError(
                location.path, "it is a still image, neither video nor audio", "still_image"
            )
        self.video_index = _pick_track(self.container, "video")
        self.audio_index = _pick_track(self.container, "audio")
        self.pristine = True
        self.jumps = 0
        self.video_options = DECODER_OPTIONS
        self._selected: int | None = None

    def count_tracks(self, kind: str) -> int:
        """Return how many tracks of a kind, "video" or "audio", could be read."""
        return len(_usable_tracks(self.container, kind))

    def select(self, index: int) -> None:
        """Read that track from now on; demuxers that can skip the others' bytes do."""
        if index == self._selected:
            return
        self._selected = index
        self.jumps += 1
        discard = av.stream.Discard
        for stream in self.container.streams:
            stream.discard = discard.default if stream.index == index else discard.all

    def reopen(self, index: int) -> None:
        """Open the file again, to read that track from its beginning."""
        old, self.container = self.container, open_container(self.location)
        old.close()
        self.pristine = True
        self._selected = None
        self.select(index)

    def close(self) -> None:
        """Close the file."""
        self.container.close()
