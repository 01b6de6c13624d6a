"""What is read: a window of consecutive frames, scaled, and the audio of the same time."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """A window of a file with a constant frame rate whose first frame is at 0 s.

    Attributes:
        first: Its first frame.
        num_frames: T.
        fps: Frames per second.
        width: Width of the frames that are wanted, in pixels.
        height: Their height.
        sample_rate_hz: Of the audio that is wanted, one channel.
    """

    first: int
    num_frames: int
    fps: int
    width: int
    height: int
    sample_rate_hz: int = 24000

    @property
    def start_sec(self) -> float:
        """When the first frame appears."""
        return self.first / self.fps

    @property
    def end_sec(self) -> float:
        """When the last frame disappears."""
        return (self.first + self.num_frames) / self.fps

    @property
    def num_samples(self) -> int:
        """Audio samples of the window."""
        return self.num_frames * self.sample_rate_hz // self.fps
