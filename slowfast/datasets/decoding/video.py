"""Frames of a video track at given instants, as RGB of the requested size.

Only what is needed is decoded: from the keyframe before the window, leaving out frames that no
other frame refers to and that are not shown; and only the frames that are shown are converted,
being scaled in the same step.

Legend: T frames, H W height and width.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.file import MediaError, Span
from slowfast.datasets.decoding.frame_convert import FrameConverter
from slowfast.datasets.decoding.frame_decoder import FrameDecoder, Shown, TimesGoBackError
from slowfast.datasets.decoding.packets import PacketSource
from slowfast.datasets.decoding.window import Window

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

__all__ = ["VideoTrack"]

_MIN_HOLD_FRAMES = 2
"""A frame counts as being there for at least so many frame periods in a damaged file."""

_MAX_GAP_SEC = 1.0
"""Containers may end a track too late by that much."""

_TOLERANCE_SEC = 5e-4
"""Half the rounding of containers that count in milliseconds."""

_FRAMES_TO_TELL = 64
"""Number of frames at the start that are checked for times that go back."""

_STATEFUL_PIXELS = frozenset({"pal8"})
"""Pixel formats of which a packet does not hold all: the palette came before it."""

_NEVER, _FOREVER = -(2**62), 2**62


class VideoTrack:
    """Reads frames of one video track.

    Args:
        source: The track's packets.
        span: From when to when the track lasts, by the container.

    Attributes:
        span: As given.
        fps: Average frame rate, in Hz; 0 if the container does not state it.
    """

    _current: Shown | None  # the last frame that was passed

    def __init__(self, source: PacketSource, span: Span) -> None:
        stream = source.stream
        self._source = source
        self.fps = float(stream.average_rate or stream.guessed_rate or 0.0)
        self._period = max(1.0, span.per_sec / self.fps) if self.fps else 1.0
        aspect = float(stream.sample_aspect_ratio or 1.0)
        self._converter = FrameConverter(stream.width, stream.height, aspect)
        self._decoder = FrameDecoder(source, span.start, self._period)
        self._first_sec: float | None = None
        self.span = span
        self._forget()

    @property
    def num_damaged(self) -> int:
        """Frames that were dropped so far, being damaged or built upon damaged ones."""
        return self._decoder.num_damaged

    def probe(self) -> float:
        """Decode the first frame, once, to know the rotation and the true start.

        Returns:
            When the first frame starts, in seconds of container time.
        """
        if self._first_sec is None:
            self._go_to_beginning()
            self._current = self._next(None)
            first = self.span.start if self._current is None else self._current.pts
            self._first_sec = first / self.span.per_sec
        return self._first_sec

    def facts(self) -> dict[str, Any]:
        """Return what MediaInfo says of the track, its times left out."""
        width, height = self._converter.size
        return {
            "width": width,
            "height": height,
            "rotation": 90 * (self._converter.quarter_turns or 0),
            "pixel_aspect": self._converter.pixel_aspect,
            "fps": self.fps,
            "video_codec": self._source.stream.codec_context.name,
        }

    def read(self, times_sec: NDArray[np.float64], short_side: int | None) -> NDArray[np.uint8]:
        """Return the frame on display at each instant.

        Args:
            times_sec: (T,), ascending, in seconds of container time; T >= 1.
            short_side: Frames are scaled to it, never up, in pixels; None: as they are.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            MediaError: If damage leaves no frame of the window.
        """
        while True:
            window = Window(self._limits(times_sec), self.span.end)
            try:
                frames = self._read(window, short_side)
                if self._trusts_times():
                    return frames
            except TimesGoBackError:
                self._decoder.take_times_of_decoding()
                self._forget()
            except BaseException:
                self._forget()
                raise

    def read_all(self, short_side: int | None) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield every complete frame of the track, once, in order of display.

        Args:
            short_side: As for ``read``.

        Yields:
            When the frame appears, in seconds of container time, and uint8 (H, W, 3), RGB.
        """
        if self._decoder.may_go_back and self._decoder.order is None:
            self._learn_order()
        number, latest = 0, _NEVER  # of the frames that were yielded
        while True:
            self._go_to_beginning()
            try:
                for place in itertools.count():
                    shown = self._next(None)
                    if shown is None:
                        return
                    if place < number:
                        continue
                    number, latest = number + 1, max(shown.pts, latest + 1)
                    rgb = self._converter.to_rgb(shown.frame, short_side)
                    yield latest / self.span.per_sec, rgb
            except TimesGoBackError:  # so late in the file; continue behind what was yielded
                self._decoder.take_times_of_decoding()
            finally:
                self._forget()

    def _trusts_times(self) -> bool:
        """Whether frames that were read had the right times; if not, the next reading will.

        Of a track with B-frames some packet is shown later than it is decoded. Where none was, some
        frames are decoded from the beginning, once, to see whether times go back.
        """
        decoder = self._decoder
        if not decoder.may_go_back or decoder.order is not None or decoder.shown_later:
            return True
        decoder.may_go_back = self._learn_order()
        return not decoder.may_go_back

    def _learn_order(self) -> bool:
        """Decode some frames from the beginning, to know whether times go back."""
        damaged = self._decoder.num_damaged
        self._go_to_beginning()
        try:
            for _ in range(_FRAMES_TO_TELL):
                if self._next(None) is None:
                    break
        except TimesGoBackError:
            self._decoder.take_times_of_decoding()
        self._forget()
        self._decoder.num_damaged = damaged
        return self._decoder.order is not None

    def _read(self, window: Window, short_side: int | None) -> NDArray[np.uint8]:
        out: NDArray[np.uint8] | None = None
        slots: list[int] = []
        shown_until = -math.inf
        for slot, shown in self._frames_of(window):
            image = self._converter.to_rgb(shown.frame, short_side)
            if out is None:
                out = np.empty((len(window.limits), *image.shape), np.uint8)
            out[slot] = image
            slots.append(slot)
            shown_until = shown.pts + self._hold(shown.frame)
        if out is None or self._lacks(window, shown_until):
            raise self._fault(window)
        _repeat(out, slots)
        return out

    def _lacks(self, window: Window, shown_until: float) -> bool:
        """Whether a window has no frame of its own, the one before it being held for no reason.

        The reason is that no other comes. It does not count in a damaged file, nor when the track
        should last much longer than the last frame that was found.
        """
        if shown_until > window.target:
            return False
        if self._decoder.damaged or self._source.errors or self._source.is_cut_short():
            return True
        return (
            self._decoder.flushed and window.target - shown_until > _MAX_GAP_SEC * self.span.per_sec
        )

    def _limits(self, times_sec: NDArray[np.float64]) -> list[int]:
        """Turn instants into ticks; those before the first frame become its own."""
        start, _, per_sec = self.span
        tolerance = min(0.5, _TOLERANCE_SEC * per_sec) + 1e-6
        limits = np.floor(times_sec * per_sec + tolerance)
        return [int(limit) for limit in np.clip(limits, start, _FOREVER)]

    def _hold(self, frame: VideoFrame) -> float:
        return max(frame.duration or 0, _MIN_HOLD_FRAMES * self._period)

    def _fault(self, window: Window) -> MediaError:
        start, end = ((t - self.span.start) / self.span.per_sec for t in window.bounds)
        return MediaError(
            self._source.file.location.path,
            f"damaged: it has no complete frame between {start:.2f} and {end:.2f} s of its video",
            "undecodable",
        )

    # Choosing frames

    def _frames_of(self, window: Window) -> Iterator[tuple[int, Shown]]:
        """Yield the frames shown in a window, each with the first instant it is shown at."""
        if not self._can_go_on(window.target):
            self._go_to(window)
        following = self._next(window)
        if self._current is None and following is not None and not self._decoder.damaged:
            yield 0, following  # nothing precedes the very first frame: it is shown before its time
        while following is not None and window.slot(following.pts) < len(window.limits):
            current, self._current = self._current, following
            if current is not None and window.slot(current.pts) != window.slot(following.pts):
                yield window.slot(current.pts), current
            following = self._next(window)
        if following is not None:
            self._decoder.push_back(following)
        if self._current is not None:
            yield window.slot(self._current.pts), self._current

    def _next(self, window: Window | None) -> Shown | None:
        """Return the next frame in order of display, None after the last."""
        shown = self._decoder.next(window)
        if shown is not None:
            self._converter.look_at(shown.frame)
        return shown

    # Going somewhere

    def _can_go_on(self, target: int) -> bool:
        """Whether decoding on from here gets to the target, and sooner than a seek would."""
        if self._source.file.pristine and self._source.is_near(self.span.start, target):
            self._go_to_beginning()
            return True
        if not self._source.is_current or self._current is None or self._current.pts > target:
            return False
        position = self._decoder.position(self._current.pts)
        return target <= position or self._decoder.flushed or self._source.is_near(position, target)

    def _go_to(self, window: Window) -> None:
        """Seek so that decoding on passes a clean frame at or before the window."""
        if self._source.context.pix_fmt in _STATEFUL_PIXELS:
            self._go_to_beginning()
            return
        for _ in self._source.seek_attempts(window.target, self.span.start):
            self._forget()
            window.clear()
            if self._lands_before(window):
                return
        self._go_to_beginning()
        window.clear()

    def _go_to_beginning(self) -> None:
        self._source.rewind()
        self._forget()
        if self._decoder.order is not None:
            self._decoder.order.restart(at_beginning=True)

    def _lands_before(self, window: Window) -> bool:
        """Decode the first frame after a seek and check it: complete, and early enough.

        Frames that come out of the decoder before the keyframe's own are dropped: in an open group
        of pictures (GOP) they refer to frames before the keyframe, which were not decoded.
        """
        target, order = window.target, self._decoder.order
        packet = self._next_keyframe(target)
        if packet is None:
            return False
        if order is not None:
            # Frames have times from the second keyframe on: start one keyframe earlier.
            if packet.dts is None or not self._source.seek(packet.dts - 1):
                return False
            later, packet = packet.dts, self._next_keyframe(packet.dts - 1)
            if packet is None or packet.dts is None or packet.dts >= later:
                return False
            order.restart(at_beginning=False)
        elif packet.pts is not None:
            if packet.pts > target:
                return False
            self._decoder.floor = packet.pts
        self._source.push_back(packet)
        self._current = self._next(window)
        if self._current is None or self._decoder.damaged or self._current.pts > target:
            return False
        # Containers call frames keyframes that are none; what is built on them would be wrong.
        return self._current.frame.key_frame

    def _next_keyframe(self, target: int) -> Packet | None:
        """Return the next packet that is said to hold a keyframe; None if it is behind target."""
        while True:
            packet = self._source.next_packet()
            if packet is None or (packet.dts is not None and packet.dts > target):
                return None
            if packet.is_keyframe:
                return packet

    def _forget(self) -> None:
        """Forget the position: the next window starts with a seek."""
        self._current = None
        self._decoder.forget()


def _repeat(out: NDArray[np.uint8], slots: list[int]) -> None:
    """Fill the instants between by the frame before them, those before the first by the first."""
    for index in range(len(out)):
        shown = slots[max(0, bisect_right(slots, index) - 1)]
        if shown != index:
            out[index] = out[shown]
