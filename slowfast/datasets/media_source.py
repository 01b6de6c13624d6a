"""A media file and the packets of one of its tracks: opening, seeking, reading past damage.

Everything that FFmpeg or the file system can say about a file ends here as one MediaError.
Times are integers in a track's own time base ("ticks"), as the container states them.
"""

from __future__ import annotations

import math
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

__all__ = [
    "MediaError",
    "MediaFile",
    "MediaLocation",
    "PacketSource",
    "Span",
    "file_faults",
    "open_container",
    "ticks_per_sec",
]

_BACK_OFF_SEC = (0.0, 1.0, 4.0, 16.0)
"""How far before the target to aim, in turn, when a seek comes out behind it."""

_MAX_READ_ERRORS = 16
"""Failed reads in a row after which a file counts as at its end."""

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Tracks that FFmpeg lists as video and that hold a cover or thumbnails."""

_MAX_TICK = 2**62


class MediaError(Exception):
    """A file cannot give what was asked of it, through its own fault.

    Args:
        path: The file.
        reason: What is wrong with it, in one line.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = str(path)
        self.reason = " ".join(str(reason).split())

    def __str__(self) -> str:
        return " ".join(f"{self.path}: {self.reason}".split("\n"))


@contextmanager
def file_faults(path: str | Path) -> Iterator[None]:
    """Turn what FFmpeg and the file system raise about a file into MediaError.

    Args:
        path: The file, for the message.

    Yields:
        Nothing; the body runs inside.

    Raises:
        MediaError: Instead of FFmpeg's errors, OSError and UnicodeError.
    """
    try:
        yield
    except (av.FFmpegError, OSError, UnicodeError) as error:
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
            raise MediaError(self.path, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(self.path, "it is not a regular file")
        if status.st_size <= self.offset:
            raise MediaError(self.path, f"it is {status.st_size} bytes long, nothing to read")


def open_container(location: MediaLocation) -> InputContainer:
    """Open a file for reading. Only local files: a play list inside cannot reach the network.

    Args:
        location: The file.

    Returns:
        PyAV's container.

    Raises:
        MediaError: If it cannot be opened.
    """
    with file_faults(location.path):
        location.check()
        return av.open(
            location.url,
            metadata_errors="replace",
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
        """First instant, in seconds on the container's clock."""
        return self.start / self.per_sec

    @property
    def end_sec(self) -> float:
        """Last instant, in seconds on the container's clock."""
        return self.end / self.per_sec


def ticks_per_sec(stream: Stream) -> float:
    """Return how many ticks of a track's time base make one second."""
    return 1.0 / float(stream.time_base or 1)


def _pick_track(container: InputContainer, kind: str) -> int | None:
    """Choose the track of a kind: the first that is marked default, else the first.

    Covers, thumbnails and tracks without a decoder, a size or a rate do not count.

    Returns:
        Its index, or None.
    """
    tracks = [s for s in container.streams if s.type == kind and _is_usable(s)]
    by_default = [s for s in tracks if s.disposition & Disposition.default]
    return next((s.index for s in by_default + tracks), None)


def _is_usable(stream: Any) -> bool:
    context = stream.codec_context
    if context is None or not stream.time_base or stream.disposition & _PICTURES:
        return False
    if stream.type == "video":
        return context.width > 0 and context.height > 0
    return context.sample_rate > 0


class MediaFile:
    """An open file with its chosen tracks. One of them is read at a time.

    Args:
        location: The file.

    Attributes:
        container: PyAV's container; a new object after ``reopen``.
        video_index: Index of the video track, or None.
        audio_index: Index of the audio track, or None.
        pristine: Whether nothing was read since it was opened.
        jumps: Counts seeks, reopenings and changes of track: where it has changed, the position
            of whoever read before is lost.

    Raises:
        MediaError: If the file cannot be opened.
    """

    def __init__(self, location: MediaLocation) -> None:
        self.location = location
        self.container = open_container(location)
        if self.container.format.name.endswith("_pipe") or self.container.format.name == "image2":
            raise MediaError(location.path, "it is a still image, neither video nor sound")
        self.video_index = _pick_track(self.container, "video")
        self.audio_index = _pick_track(self.container, "audio")
        self.pristine = True
        self.jumps = 0
        self._selected: int | None = None

    def select(self, index: int) -> None:
        """Read that track from now on; demuxers that can skip the others' bytes do."""
        if index == self._selected:
            return
        self._selected = index
        self.jumps += 1
        for stream in self.container.streams:
            stream.discard = Discard.default if stream.index == index else Discard.all

    def reopen(self, index: int) -> None:
        """Go to the very beginning, which not every format can seek to, for that track."""
        self.container.close()
        self.container = open_container(self.location)
        self.pristine = True
        self._selected = None
        self.select(index)

    def close(self) -> None:
        """Close the file."""
        self.container.close()


class PacketSource:
    """The packets of one track, from wherever it was last sent to: the first of all ``begin``.

    Args:
        file: The open file; may be shared with the source of the other track.
        index: The track.

    Attributes:
        errors: Reads that failed since the last jump.
        finished: Whether the end was reached.
    """

    errors: int
    finished: bool
    _packets: Iterator[Packet]
    _waiting: deque[Packet]

    def __init__(self, file: MediaFile, index: int) -> None:
        self.file, self.index = file, index
        self._jump = -1
        self.errors = 0

    @property
    def stream(self) -> Any:
        """The track: a VideoStream or an AudioStream."""
        return self.file.container.streams[self.index]

    @property
    def context(self) -> Any:
        """The track's decoder, on one thread: a loader has one worker per core already."""
        context = self.stream.codec_context
        if not context.is_open:
            context.thread_count, context.thread_type = 1, ThreadType.NONE
        return context

    @property
    def is_current(self) -> bool:
        """Whether nobody else has moved the file since this source last read from it."""
        return self._jump == self.file.jumps

    def begin(self) -> None:
        """Read this track from where the file stands: the beginning, or behind a seek."""
        self.file.select(self.index)
        self._packets = self.file.container.demux(self.stream)
        self._waiting = deque()
        self._errors_in_row = self.errors = 0
        self.finished = False
        self._jump = self.file.jumps

    def rewind(self) -> None:
        """Go back to the first packet."""
        self.file.reopen(self.index)
        self.begin()

    def seek(self, ticks: int) -> bool:
        """Go to a keyframe at or before an instant, as far as the format can.

        Args:
            ticks: The instant.

        Returns:
            Whether the demuxer moved. Where it came out has to be checked.
        """
        self.file.select(self.index)
        self.file.jumps += 1
        goal = max(-_MAX_TICK, min(ticks, _MAX_TICK))
        try:
            self.file.container.seek(goal, stream=self.stream)
        except (av.FFmpegError, OSError):
            return False
        self.begin()
        return True

    def seek_attempts(self, ticks: int, floor: int) -> Iterator[None]:
        """Go before an instant in ever longer steps; stop asking when one came out right.

        Args:
            ticks: The instant.
            floor: Nothing is to be sought before it.

        Yields:
            After each seek. Exhausted when only the beginning of the file is left.
        """
        for back_sec in _BACK_OFF_SEC:
            goal = ticks - math.ceil(back_sec * ticks_per_sec(self.stream))
            if goal < floor or not self.seek(goal):
                return
            yield

    def push_back(self, packets: list[Packet]) -> None:
        """Let packets come again, in that order, before the others."""
        self._waiting.extendleft(reversed(packets))

    def next_packet(self) -> Packet | None:
        """Return the next packet; None at the end, when the decoder has to be flushed."""
        if self._waiting:
            return self._waiting.popleft()
        while not self.finished:
            self.file.pristine = False
            try:
                packet = next(self._packets)
            except StopIteration:
                self.finished = True
            except (av.FFmpegError, OSError):
                self._after_read_error()
            else:
                self._errors_in_row = 0
                if packet.size:  # to a decoder an empty packet means the end
                    return packet
        return None

    def is_near(self, position: int, target: int) -> bool:
        """Whether reading on from a position beats seeking to a later target.

        Args:
            position: The last frame that was decoded.
            target: Where reading has to start.

        Returns:
            False when a keyframe is known to lie between, or might, the target being far off.
        """
        entries = self.stream.index_entries
        found = entries.search_timestamp(target) if len(entries) else -1
        if found >= 0 and entries[found].timestamp > position:
            return False
        is_whole = 0 < self.stream.frames <= len(entries)
        return is_whole or target - position <= ticks_per_sec(self.stream)

    def is_cut_short(self) -> bool:
        """Whether the container lists samples that lie behind the file's end."""
        entries = self.stream.index_entries
        if not len(entries):
            return False
        last = entries[len(entries) - 1]
        return last.pos + last.size > self.file.container.size

    def _after_read_error(self) -> None:
        self.errors += 1
        self._errors_in_row += 1
        # A generator that has raised is over; a new one goes on where the demuxer stands.
        self._packets = self.file.container.demux(self.stream)
        if self._errors_in_row >= _MAX_READ_ERRORS:
            self.finished = True
