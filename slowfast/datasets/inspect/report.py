"""The report of the media checker on a file, and its JSON form."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from slowfast.datasets.decoding.error_codes import MediaProblem

__all__ = ["AudioFacts", "MediaReport", "VideoFacts", "relative_name"]

_FORMAT = 1
_OLD_NAMES = {
    "picture": "video",
    "sound": "audio",
    "no_sound": "no_audio",
    "sound_covers_little": "audio_covers_little",
}
"""Keys and codes in files of earlier versions."""


def relative_name(path: str, folder: Path) -> str:
    """Return a path relative to the checked folder; the file's name if a single file is checked."""
    name = os.path.relpath(path, folder.absolute())
    return os.path.basename(path) if name == "." else name  # noqa: PTH119


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """The video track that is read.

    Times are in seconds of presentation time (``MediaInfo``). What a level does not find out is
    None.

    Attributes:
        codec: Name of the decoder.
        width: Of the upright frame with square pixels.
        height: Of the upright frame with square pixels.
        fps: Mean frame rate, in Hz; 0 if the container does not state it.
        rotation: Degrees, counter-clockwise, that frames are turned to be upright.
        pixel_aspect: Width of a coded pixel by its height.
        start_sec: When the first frame appears.
        end_sec: When the last one disappears, as stated by the container.
        num_tracks: Video tracks in the file, covers left out.
        num_frames: Frames in the file; with level "full" only complete ones.
        is_variable: Whether the time from frame to frame varies.
        longest_gap_sec: Longest time from one frame to the next.
        keyframe_sec: Longest time from one keyframe to the next.
        keyframe_frames: Most frames from one keyframe to the next.
        readable_share: Fraction of the sampled positions where frames could be decoded, in [0, 1].
        damaged_frames: Frames that are damaged, or built upon such. Level "full" only.
        damaged_sec: From when to when frames are missing for it, the first few. Level "full" only.
        contrast: Largest standard deviation of brightness within a sampled frame, of 255.
    """

    codec: str
    width: int
    height: int
    fps: float
    rotation: int
    pixel_aspect: float
    start_sec: float
    end_sec: float
    num_tracks: int
    num_frames: int | None = None
    is_variable: bool | None = None
    longest_gap_sec: float | None = None
    keyframe_sec: float | None = None
    keyframe_frames: int | None = None
    readable_share: float | None = None
    damaged_frames: int | None = None
    damaged_sec: tuple[tuple[float, float], ...] = ()
    contrast: float | None = None

    @property
    def length_sec(self) -> float:
        """From the first frame to the end of the last one."""
        return self.end_sec - self.start_sec


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """The audio track that is read; as VideoFacts. Levels are of the mix to one channel.

    Attributes:
        codec: Name of the decoder.
        sample_rate_hz: Samples per second.
        channels: Channels.
        start_sec: When it starts.
        end_sec: When it ends, as stated by the container.
        num_tracks: Audio tracks in the file.
        heard_sec: Decoded length, in seconds.
        silent_share: Fraction of it that is digital silence, in [0, 1].
        quiet_share: Fraction of it below -60 dB, in [0, 1]; includes digital silence.
        peak: Largest absolute sample; 1 is full scale.
        rms: Root mean square of the samples; None in reports of earlier versions.
        readable_share: Fraction of the sampled positions that could be decoded, in [0, 1].
        failed_share: Fraction of the sampled positions where reading fails, in training, too; the
            other positions without audio are read as invalid silence. None in earlier reports.
    """

    codec: str
    sample_rate_hz: int
    channels: int
    start_sec: float
    end_sec: float
    num_tracks: int
    heard_sec: float | None = None
    silent_share: float | None = None
    quiet_share: float | None = None
    peak: float | None = None
    rms: float | None = None
    readable_share: float | None = None
    failed_share: float | None = None

    @property
    def length_sec(self) -> float:
        """From its first to its last sample."""
        return self.end_sec - self.start_sec


@dataclasses.dataclass(frozen=True, kw_only=True)
class MediaReport:
    """The report on a file.

    Attributes:
        path: The file, as it was named.
        level: One of LEVELS.
        size_bytes: Size of the file; 0 where it cannot be looked up.
        modified_ns: When it was last changed; 0 where it cannot be looked up.
        problems: The problems, the most severe first.
        container: FFmpeg's name of the format, or "".
        video: The video track, or None.
        audio: The audio track, or None.
        file_hash: Of the file's bytes; "" at level "headers".
        video_hash: Fingerprint of the frames looked at, or "".
        audio_fingerprint: Fingerprint of the audio listened to, or "".
    """

    path: str
    level: str
    size_bytes: int = 0
    modified_ns: int = 0
    problems: tuple[MediaProblem, ...] = ()
    container: str = ""
    video: VideoFacts | None = None
    audio: AudioFacts | None = None
    file_hash: str = ""
    video_hash: str = ""
    audio_fingerprint: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether there is no error."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def codes(self) -> frozenset[str]:
        """Codes of the problems."""
        return frozenset(problem.code for problem in self.problems)

    @property
    def has_audio(self) -> bool:
        """Whether there is audio that is not silent, in the parts that were decoded."""
        return self.audio is not None and "silent" not in self.codes

    @property
    def duration_sec(self) -> float:
        """Length of the video; of the audio where there is no video."""
        track = self.video or self.audio
        return track.length_sec if track else 0.0

    @property
    def audio_offset_sec(self) -> float | None:
        """Offset of the audio relative to the video, in seconds; None without both."""
        if self.video is None or self.audio is None:
            return None
        return self.audio.start_sec - self.video.start_sec

    def name_in(self, folder: Path) -> str:
        """Return the path relative to the checked folder; see ``relative_name``."""
        return relative_name(self.path, folder)

    def to_json(self) -> str:
        """Return the report as one line of JSON, without the line's end."""
        content = {"format": _FORMAT, **dataclasses.asdict(self)}
        content["problems"] = [problem._asdict() for problem in self.problems]
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> MediaReport:
        """Read a line that ``to_json`` made.

        Raises:
            ValueError: If the line is cut short or of another version of the format.
        """
        content: dict[str, Any] = json.loads(line)
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise ValueError(f"a media report of format {_FORMAT} was expected, got {line[:60]!r}")
        content = {_OLD_NAMES.get(key, key): value for key, value in content.items()}
        try:
            problems = [MediaProblem(**entry) for entry in content["problems"]]
            content["problems"] = tuple(
                entry._replace(code=_OLD_NAMES.get(entry.code, entry.code)) for entry in problems
            )
            if content["video"] is not None:
                parts = content["video"]["damaged_sec"]
                content["video"]["damaged_sec"] = tuple((start, end) for start, end in parts)
                content["video"] = VideoFacts(**content["video"])
            if content["audio"] is not None:
                content["audio"] = AudioFacts(**content["audio"])
            return cls(**content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a media report: {line[:60]!r} ({error})") from error
