"""Times of frames whose container stores only when they are decoded.

AVI, VFW tracks in Matroska and files of faulty writers give the packets of a video times in the
order of the file. With frames that are decoded before frames shown earlier (B-frames), those are
not the times at which frames appear: the n-th frame shown appears at the n-th decoding time.

A frame's number in the order of display follows from that of a keyframe. Packet i (from 0) holds a
keyframe; of the packets behind it, m hold frames that are shown before it. Then it is frame i + m.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

__all__ = ["DisplayOrder"]


class DisplayOrder:
    """Numbers packets before they are decoded, and dates the frames that come out.

    Args:
        period: Ticks from one frame to the next, for packets without a time.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.restart(at_beginning=True)

    def restart(self, *, at_beginning: bool) -> None:
        """Forget everything: decoding starts at another packet, which holds a keyframe.

        Args:
            at_beginning: Whether it is the first of the track. Otherwise frames have no time up to
                the next keyframe: how many frames are shown between two keyframes is known only
                when all of them are decoded.
        """
        self._times: list[int] = []  # of the packets sent, in ticks
        self._out: list[int] = []  # packets of the frames that have come, since a keyframe was due
        self._number: int | None = None  # of the last frame, in the order of display
        self._keyframes_to_pass = 0 if at_beginning else 1

    def send(self, packet: Packet) -> None:
        """Number a packet: the frame that it holds will carry the number as its ``pts``."""
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            time = self._times[-1] + round(self._period) if self._times else 0
        packet.pts = len(self._times)
        self._times.append(time)

    def date(self, frame: VideoFrame) -> int | None:
        """Return when a frame appears, in ticks, or None where that cannot be known.

        Every frame has to be shown to it, in the order in which the decoder gives them.
        """
        packet = frame.pts
        if frame.key_frame and packet is not None:
            if self._keyframes_to_pass == 0:
                self._number = packet + sum(other > packet for other in self._out)
            self._keyframes_to_pass = max(0, self._keyframes_to_pass - 1)
            self._out = [other for other in self._out if other > packet]
        elif self._number is not None:
            self._number += 1
        if packet is not None:
            self._out.append(packet)
        if self._number is None:
            return None
        return self._times[min(self._number, len(self._times) - 1)]
