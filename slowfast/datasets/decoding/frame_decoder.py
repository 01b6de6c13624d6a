"""From packets of a video track to complete frames in order of display, past damage."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from slowfast.datasets.decoding.display_order import DisplayOrder
from slowfast.datasets.decoding.formats import DECODE_TIMES_ONLY
from slowfast.datasets.decoding.packets import PacketSource
from slowfast.datasets.decoding.window import Window
from slowfast.utils.media_libraries import READ_ERRORS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

__all__ = ["FrameDecoder", "Shown", "TimesGoBackError"]

_SKIPS_UNREFERENCED = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders whose ``skip_frame = NONREF`` drops only frames that nothing depends on. Not HEVC: there
a "non-reference" frame may still be used by higher temporal layers."""

_MAX_REORDERED = 32
"""Decoders hold back fewer frames than that."""

_NEVER = -(2**62)


class TimesGoBackError(Exception):
    """The container's times are not those at which frames appear."""


class Shown(NamedTuple):
    """A decoded frame and the tick from which on it is shown."""

    pts: int
    frame: VideoFrame


class FrameDecoder:
    """Decodes the packets of a track, from wherever its source is, into complete frames.

    Args:
        source: The packets.
        start: When the track starts, in ticks.
        period: Ticks from one frame to the next.

    Attributes:
        num_damaged: Frames that were dropped so far, being damaged or built upon damaged ones.
        order: Presentation times, if the container stores only decoding times.
        may_go_back: Whether the container's times, which are taken without ``order``, may not be
            those at which frames appear: there are B-frames.
        shown_later: Whether some packet was shown later than it was decoded.
        floor: Frames before that tick are dropped, up to the next ``forget``.
        flushed: Whether the decoder has given its last frame.
        damaged: Whether something was dropped since the last ``forget``.
    """

    floor: int
    flushed: bool
    damaged: bool
    _ahead: deque[Shown]  # decoded frames that nobody has taken
    _sent: deque[int]  # frames that the decoder was given last, in its order
    _taint: int | None  # the frame that was damaged, up to the next keyframe
    _whole: frozenset[int]  # frames that were decoded before it
    _last: int  # the last frame that was queued

    def __init__(self, source: PacketSource, start: int, period: float) -> None:
        context = source.stream.codec_context
        self._source, self._start, self._period = source, start, period
        self._can_skip = context.name in _SKIPS_UNREFERENCED
        self.num_damaged = 0
        self.order: DisplayOrder | None = None
        self.may_go_back = bool(context.has_b_frames)
        self.shown_later = False
        if self.may_go_back and source.file.container.format.name in DECODE_TIMES_ONLY:
            self.take_times_of_decoding()
        self.forget()

    def take_times_of_decoding(self) -> None:
        """Do not trust the container's times for those at which frames appear."""
        self.order = DisplayOrder(self._period)

    def forget(self) -> None:
        """Forget what was decoded: the source goes somewhere else."""
        self._ahead = deque()
        self._sent = deque(maxlen=_MAX_REORDERED)
        self.flushed = self.damaged = False
        self._taint = None
        self._whole = frozenset()
        self.floor = self._last = _NEVER

    def next(self, window: Window | None) -> Shown | None:
        """Return the next complete frame in order of display; None after the last.

        Args:
            window: Frames that are not shown in it may be left out; None: all are wanted.

        Raises:
            TimesGoBackError: If the container's times turn out not to be those of display.
        """
        while not self._ahead:
            packet = self._source.next_packet()
            if packet is None and self.flushed:
                return None
            self.flushed = packet is None
            self._decode(packet, window)
        return self._ahead.popleft()

    def push_back(self, shown: Shown) -> None:
        """Let a frame come again, before the others."""
        self._ahead.appendleft(shown)

    def position(self, default: int) -> int:
        """Return the tick of the last decoded frame that was not taken yet, or the default."""
        return self._ahead[-1].pts if self._ahead else default

    def _decode(self, packet: Packet | None, window: Window | None) -> None:
        """Decode a packet, or flush the decoder, and queue the complete frames."""
        context = self._source.context
        if self.order is not None and packet is not None:
            self.order.send(packet)
        elif packet is not None:
            self.shown_later |= packet.pts != packet.dts
        pts = None if packet is None else packet.pts
        if self._can_skip and self.order is None and packet is not None:
            is_needed = window is None or window.may_show(pts)
            context.skip_frame = "DEFAULT" if is_needed else "NONREF"
        if pts is not None:
            self._sent.append(pts)
        try:
            frames = context.decode(packet)
        except READ_ERRORS:
            self.num_damaged += 1
            self._note_damage(pts)
            return
        for frame in frames:
            self._queue(frame)

    def _queue(self, frame: VideoFrame) -> None:
        pts = frame.pts
        if pts is None:
            pts = self._start if self._last == _NEVER else self._last + round(self._period)
        shown_at = pts if self.order is None else self.order.date(frame)
        if frame.is_corrupt:
            self._note_damage(pts)
        elif self._taint is not None and frame.key_frame and pts > self._taint:
            self._taint = None
        is_whole = self._taint is None or pts in self._whole
        self.num_damaged += not is_whole
        if not is_whole or shown_at is None or shown_at < self.floor:
            return
        if shown_at > self._last:
            self._last = shown_at
            self._ahead.append(Shown(shown_at, frame))
        elif self.flushed and self.shown_later and self._is_within_reorder(shown_at):
            # FFmpeg derives times from the packets that follow, which the last packets lack.
            self._last += round(self._period)
            self._ahead.append(Shown(self._last, frame))
        elif self._goes_back(shown_at):
            raise TimesGoBackError

    def _goes_back(self, pts: int) -> bool:
        """Whether a frame before the last one shows that the container's times are not right."""
        if self.order is not None or not self.may_go_back or self.damaged:
            return False
        return self._is_within_reorder(pts)

    def _is_within_reorder(self, pts: int) -> bool:
        """Whether a frame is so little before the last one that reordering may be the reason."""
        return self._last - pts < _MAX_REORDERED * self._period

    def _note_damage(self, pts: int | None) -> None:
        """Drop a damaged frame and all that is decoded from now to the next keyframe.

        Those frames are built upon it, and decoders do not mark them. What was decoded before it is
        whole, although it may be shown, and come out of the decoder, later.
        """
        sent = list(self._sent)
        if self._taint is None:
            self._whole = frozenset(sent[: sent.index(pts)] if pts in sent else sent)
        self._taint = max([self._taint or _NEVER, pts if pts is not None else max(sent, default=0)])
        self.damaged = True
