"""Formats, by FFmpeg's names, that do not store presentation times, and how they are handled.

Raw streams are a codec's own bytes without a container.
"""

from __future__ import annotations

__all__ = ["COUNTED_AUDIO", "DECODE_TIMES_ONLY", "WALKED", "WITHOUT_TIMES"]

WITHOUT_TIMES = frozenset({"cavsvideo", "evc", "h264", "hevc", "vc1", "vvc"})
"""Raw video of whose packets FFmpeg gives no times: refused."""

_MADE_UP_TIMES = frozenset(
    ("mpegvideo", "m4v", "h261", "h263", "mjpeg", "obu", "dirac", "dnxhd")
)  # raw video of whose packets FFmpeg makes up times, in the order of decoding

DECODE_TIMES_ONLY = _MADE_UP_TIMES | {"avi"}
"""Frames are put in order while they are decoded (``display_order``). Other files that need it are
known by their frames, which come out of the decoder with times that go back."""

WALKED = _MADE_UP_TIMES | {"mpeg"}
"""FFmpeg gives packets wrong times after every seek: what precedes is read instead."""

COUNTED_AUDIO = frozenset({"ac3", "dts", "dtshd", "eac3", "mlp", "msbc", "sbc", "truehd"})
"""Raw audio. FFmpeg makes up times from rounded lengths of packets, which drift: samples are
counted from the start instead."""
