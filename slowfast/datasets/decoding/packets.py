"""The packets of one track of a media file: seeking, and reading past damage.

Times are integers in the track's own time base ("ticks"), as the container states them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slowfast.datasets.decoding.file import MediaFile, demux, ticks_per_sec
from slowfast.datasets.decoding.formats import WALKED
from slowfast.utils.media_libraries import READ_ERRORS, av

if TYPE_CHECKING:
    from av.packet import Packet

__all__ = ["PacketSource"]

_BACK_OFF_SEC = (0.0, 1.0, 4.0, 16.0)
"""How far before the target to aim, in turn, when a seek comes out behind it."""

_MAX_READ_ERRORS = 16
"""Failed reads in a row after which a file counts as at its end."""

_SEEKS_ONCE = frozenset({"ogg"})
"""Formats whose packets FFmpeg gives wrong times when it has read others before the seek."""

_OF_PCM = frozenset({"w64", "wav"})
"""Formats in which FFmpeg seeks by bytes, which gives the time only for PCM."""

_MAX_TICK = 2**62


class PacketSource:
    """The packets of one track, from wherever it was last sent to.

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
            context.thread_count, context.thread_type = 1, av.codec.context.ThreadType.NONE
            if self.stream.type == "video":
                context.options = self.file.video_options
        return context

    @property
    def is_current(self) -> bool:
        """Whether nobody else has moved the file since this source last read from it."""
        return self._jump == self.file.jumps

    def begin(self) -> None:
        """Read this track from where the file stands: the beginning, or behind a seek."""
        self.file.select(self.index)
        self._packets = demux(self.file.container, [self.stream])
        self._waiting = deque()
        self._errors_in_row = self.errors = 0
        self.finished = False
        self._jump = self.file.jumps

    def rewind(self) -> None:
        """Go back to the first packet."""
        if not self.file.pristine:  # not every format can seek to it
            self.file.reopen(self.index)
        self.begin()

    def seek(self, ticks: int) -> bool:
        """Go to a keyframe at or before an instant, as far as the format can."""
        name = self.file.container.format.name
        codec = self.stream.codec_context.name
        if name in WALKED or (name in _OF_PCM and not codec.startswith("pcm_")):
            self._walk(ticks)
            return True
        self.file.select(self.index)
        if name in _SEEKS_ONCE and not self.file.pristine:
            self.file.reopen(self.index)
        self.file.jumps += 1
        self.file.pristine = False  # also where seeking fails, as in ASF without keyframes
        goal = max(-_MAX_TICK, min(ticks, _MAX_TICK))
        try:
            self.file.container.seek(goal, stream=self.stream)
        except READ_ERRORS:
            return False
        self.begin()
        return True

    def seek_attempts(self, ticks: int, floor: int) -> Iterator[None]:
        """Go before an instant in ever longer steps; stop asking when one came out right.

        Yields:
            After each seek. Exhausted when only the beginning of the file is left.
        """
        for back_sec in _BACK_OFF_SEC:
            goal = ticks - math.ceil(back_sec * ticks_per_sec(self.stream))
            if goal < floor or not self.seek(goal):
                return
            yield

    def push_back(self, packet: Packet) -> None:
        """Let a packet come again, before the others."""
        self._waiting.appendleft(packet)

    def next_packet(self) -> Packet | None:
        """Return the next packet; None at the end, when the decoder has to be flushed."""
        if self._waiting:
            return self._waiting.popleft()
        while not self.finished:
            self.file.pristine = False
            if self.file.beat is not None:
                self.file.beat()
            try:
                packet = next(self._packets)
            except StopIteration:
                self.finished = True
            except READ_ERRORS:
                self._after_read_error()
            else:
                self._errors_in_row = 0
                return packet
        return None

    def is_near(self, position: int, target: int) -> bool:
        """Whether reading on from a position beats seeking to a later target.

        Returns:
            False when a keyframe is known to are between, or might, the target being far off.
        """
        entries = self.stream.index_entries
        found = entries.search_timestamp(target) if len(entries) else -1
        if found >= 0 and entries[found].timestamp > position:
            return False
        is_whole = 0 < self.stream.frames <= len(entries)
        return is_whole or target - position <= ticks_per_sec(self.stream)

    def is_cut_short(self) -> bool:
        """Whether the container lists samples after the end of the file."""
        entries = self.stream.index_entries
        if not len(entries):
            return False
        last = entries[len(entries) - 1]
        return last.pos + last.size > self.file.container.size

    def _walk(self, ticks: int) -> None:
        """Go to the keyframe before an instant by reading, not decoding, all that precedes."""
        self.rewind()
        since_keyframe: list[Packet] = []
        while (packet := self.next_packet()) is not None:
            is_early = packet.pts is not None and packet.pts <= ticks
            if packet.is_keyframe and is_early:
                since_keyframe.clear()
            since_keyframe.append(packet)
            if packet.dts is not None and packet.dts > ticks:
                break
        self._waiting.extend(since_keyframe)

    def _after_read_error(self) -> None:
        self.errors += 1
        self._errors_in_row += 1
        # A generator that has raised is finished; a new one continues at the demuxer's position.
        self._packets = demux(self.file.container, [self.stream])
        if self._errors_in_row >= _MAX_READ_ERRORS:
            self.finished = True
