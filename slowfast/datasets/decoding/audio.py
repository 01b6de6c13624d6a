"""Audio of an audio track in a given window, as one channel at the requested sample rate.

A window is decoded with enough audio before it that it equals the same section of the full
track decoded and resampled from its start: bit for bit where codec and container keep exact time,
see ``AudioTrack``.

Legend: N samples that come out, n samples that go in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.file import MediaError, Span, is_plausible_rate
from slowfast.datasets.decoding.formats import COUNTED_AUDIO
from slowfast.datasets.decoding.mono import FloatArray, downmix, resample
from slowfast.datasets.decoding.packets import PacketSource
from slowfast.utils.media_libraries import READ_ERRORS

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet

__all__ = ["AudioTrack"]

_PRE_ROLL_SEC = 0.25
"""Decoded before a window and dropped: overlapping blocks, bit reservoirs, predictors settle."""

_RANDOM_DECODERS = frozenset({"aac", "aac_latm", "ac3", "eac3", "mp1", "mp2", "mp3"})
"""Decoders that fill in noise or dither from a generator that a seek does not reset. Each window
gets a new one, so that what is read does not depend on what was read before."""

_STATEFUL_DECODERS = frozenset({"comfortnoise", "dfpwm", "g722", "g726", "g726le"})
"""Decoders that need all that came before, as every ADPCM does of some of its kinds."""

_FILTER_SAMPLES = 48
"""Reach of the resampler's filter to either side, in samples of the lower rate."""


_EXACT_TICK = 1.5
"""If container ticks are longer, in samples, the first sample of a frame is ambiguous."""

_PAST_END_SEC = 1.0
"""Containers may end tracks too early by that much; further behind, nothing is looked for."""


_COUNTED_SEC = 60.0
"""So long from the start of an Ogg file Vorbis is decoded from there, to count samples: FFmpeg's
times of its packets may be wrong by a block (up to 10 ms)."""

_VORBIS_GRID = 64
"""Vorbis frames have several lengths; all are multiples of this at the usual block sizes."""


class _Piece(NamedTuple):
    """A decoded frame of n samples.

    Attributes:
        start: Where its timestamp puts it, in samples after the track's origin; not yet rounded.
        frame: The frame.
    """

    start: float
    frame: AudioFrame

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.start + self.frame.samples

    @property
    def kind(self) -> tuple[str, str]:
        """Sample format and channels."""
        return self.frame.format.name, self.frame.layout.name


class AudioTrack:
    """Reads the audio of one audio track.

    Containers that count in milliseconds (mkv, webm, flv, wmv) round the time of every frame; the
    frames of a window are joined seamlessly and their common place is estimated from all of them,
    then moved to the frame grid of the track's start. So windows join to the sample there, too.

    Args:
        source: The track's packets.
        span: From when to when the track lasts, by the container. Samples are counted from its
            start.

    Attributes:
        span: As given.
    """

    def __init__(self, source: PacketSource, span: Span) -> None:
        context = source.stream.codec_context
        self._source = source
        self.span = span
        self._length_sec = span.end_sec - span.start_sec
        self._rate = int(context.sample_rate)
        self._is_vorbis = context.name == "vorbis"
        self._is_ogg_vorbis = self._is_vorbis and source.file.container.format.name == "ogg"
        self._is_counted = False  # whether samples are counted from the track's first frame on
        self._is_random = context.name in _RANDOM_DECODERS
        self._is_raw = source.file.container.format.name in COUNTED_AUDIO
        is_stateful = context.name in _STATEFUL_DECODERS or context.name.startswith("adpcm_")
        self._from_start = is_stateful or self._is_raw
        self._used: object = None  # the container whose decoder has decoded already
        self._grid: int | None = None
        self._errors = 0

    def facts(self) -> dict[str, Any]:
        """Return what MediaInfo says of the track, its times left out."""
        context = self._source.stream.codec_context
        return {
            "audio_codec": context.name,
            "sample_rate_hz": context.sample_rate,
            "channels": context.channels,
        }

    def read(
        self, start_sec: float, num_samples: int, sample_rate_hz: int, *, zero_sec: float
    ) -> tuple[FloatArray, float]:
        """Return a window of the audio.

        Args:
            start_sec: Where it starts, in seconds of presentation time; rounded to a multiple of
                ``1 / sample_rate_hz``.
            num_samples: N.
            sample_rate_hz: Wanted rate.
            zero_sec: Zero of presentation time, in seconds of container time.

        Returns:
            float32 (N,) in [-1, 1], zero outside of the track, and the share of the window that
            was decoded, in [0, 1].

        Raises:
            MediaError: If damage leaves nothing of a window that the track should fill.
        """
        origin_sec = self.span.start_sec - zero_sec
        first = _round(start_sec * sample_rate_hz) - _round(origin_sec * sample_rate_hz)
        rate = self._rate
        window = self._read(first, num_samples, sample_rate_hz)
        if self._rate != rate:  # the container told a wrong one; decoding has shown the right one
            window = self._read(first, num_samples, sample_rate_hz)
        start_sec = first / sample_rate_hz
        is_due = start_sec < self._length_sec and start_sec + num_samples / sample_rate_hz > 0
        if not window[1] and is_due and self._errors + self._source.errors:
            raise MediaError(
                self._source.file.location.path,
                f"damaged: it has no complete audio from {start_sec:.2f} s of its track on",
                "undecodable",
            )
        return window

    def read_all(self) -> Iterator[tuple[int, FloatArray]]:
        """Decode the track once, in the order of the file, whatever length it declares.

        Yields:
            The sample rate of a frame, in Hz, and the frame's mono mix, float32 (n,).
        """
        if self._is_random and self._used is self._source.file.container:
            self._source.file.reopen(self._source.index)
        self._source.rewind()
        pieces: list[_Piece] = []
        packet: Packet | None
        while True:
            packet = self._source.next_packet()
            num_known = len(pieces)
            self._decode_into(pieces, packet)
            yield from ((self._rate, downmix([piece.frame])) for piece in pieces[num_known:])
            if packet is None:
                return
            del pieces[:-1]

    def _read(self, first: int, num_samples: int, out_rate: int) -> tuple[FloatArray, float]:
        """Decode and resample what is needed for outputs ``first`` up to ``first + N``."""
        rate, out = self._rate, np.zeros(num_samples, np.float32)
        low, high = (_round(n * rate / out_rate) for n in (first, first + num_samples))
        if high < 0 or low > (self._length_sec + _PAST_END_SEC) * rate:
            return out, 0.0
        step_in = rate // math.gcd(rate, out_rate)
        reach = math.ceil(_FILTER_SAMPLES * max(1.0, rate / out_rate))
        steps = (low - reach) // step_in  # whole steps keep the phase of the resampler's filter
        block = steps * step_in
        mix, is_decoded = self._decode(block, high + reach)
        wave = resample(mix, rate, out_rate)[first - steps * step_in * out_rate // rate :]
        wave = wave[:num_samples]
        out[: len(wave)] = np.clip(wave, -1.0, 1.0)
        return out, float(is_decoded[low - block : max(high, low + 1) - block].mean())

    def _decode(self, low: int, high: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Decode samples ``low`` up to ``high`` of the track, zeros where there are none."""
        if self._tick > _EXACT_TICK and self._grid is None:
            self._learn_grid()
        mix, is_decoded = np.zeros(high - low, np.float32), np.zeros(high - low, bool)
        for number, run in enumerate(self._runs(self._pieces(low, high))):
            start = self._run_start(run, is_first=number == 0)
            edges = np.cumsum([start, *(piece.frame.samples for piece in run)])
            kept = (edges[1:] > low) & (edges[:-1] < high)
            if not kept.any():
                continue
            samples = downmix([piece.frame for piece, keep in zip(run, kept, strict=True) if keep])
            start = int(edges[:-1][kept][0])
            begin, end = max(start, low), min(start + len(samples), high)
            mix[begin - low : end - low] = samples[begin - start : end - start]
            is_decoded[begin - low : end - low] = True
        return mix, is_decoded

    # Where decoded frames belong

    @property
    def _tick(self) -> float:
        """One tick of the container's time, in samples."""
        return self._rate / self.span.per_sec

    def _runs(self, pieces: list[_Piece]) -> list[list[_Piece]]:
        """Split frames where the time between them shows a gap or a jump."""
        tolerance = 1.5 * (self._tick + 1.0)
        if self._is_vorbis:  # where short blocks follow long ones FFmpeg miscounts, for one frame
            tolerance += max((piece.frame.samples for piece in pieces), default=0)
        runs: list[list[_Piece]] = []
        expected, kind = -math.inf, ("", "")
        for piece in pieces:
            if abs(piece.start - expected) > tolerance or piece.kind != kind:
                runs.append([])
                expected, kind = piece.start, piece.kind
            runs[-1].append(piece)
            expected += piece.frame.samples
        return runs

    def _run_start(self, run: list[_Piece], is_first: bool) -> int:
        """Return where a run of seamless frames starts, in samples after the track's origin."""
        if is_first and self._is_counted:
            return 0  # on the first page, FFmpeg also counts the first packet, which has no audio
        lengths = [piece.frame.samples for piece in run]
        starts = np.array([piece.start for piece in run]) - np.cumsum([0, *lengths[:-1]])
        usual = starts[abs(starts - np.sort(starts)[len(starts) // 2]) <= self._tick + 1.0]
        start = float(usual.min() + usual.max()) / 2  # rounding errs to both sides alike
        if self._grid is not None and len(run) > 1:
            step = _VORBIS_GRID if self._is_vorbis else math.gcd(*(lengths[1:-1] or lengths))
            second = start + lengths[0]  # the very first frame of a track may be a short one
            on_grid = self._grid + _round((second - self._grid) / step) * step
            if abs(on_grid - second) <= min(0.6 * self._tick + 1.0, step / 2):
                return on_grid - lengths[0]
        return _round(start)

    def _learn_grid(self) -> None:
        """Find where the frames of the track start, from the first of them."""
        self._source.rewind()
        pieces: list[_Piece] = []
        self._grid = 0
        while not pieces:
            packet = self._source.next_packet()
            self._decode_into(pieces, packet)
            if packet is None:
                return
        self._grid = _round(pieces[0].start) + pieces[0].frame.samples

    # Decoding

    def _pieces(self, low: int, high: int) -> list[_Piece]:
        """Decode the frames around samples ``low`` to ``high``."""
        goal = self.span.start + math.floor((low / self._rate - _PRE_ROLL_SEC) * self.span.per_sec)
        self._go_to(goal)
        pieces: list[_Piece] = []
        while not pieces or pieces[-1].start < high + 2 * self._tick:
            packet = self._source.next_packet()
            is_needed = self._is_counted or self._from_start
            if packet is not None and not is_needed and _ends_before(packet, goal):
                continue
            self._decode_into(pieces, packet)
            if packet is None:
                break
            if self._from_start:  # only the last one of those before the window is needed
                early = sum(piece.end < low for piece in pieces)
                del pieces[: max(0, early - 1)]
        return pieces

    def _go_to(self, goal: int) -> None:
        """Move so that the next packet starts at or before an instant, in ticks."""
        self._errors = 0
        file = self._source.file
        if self._is_random and self._used is file.container:
            file.reopen(self._source.index)
        is_at_start = self._from_start or not self._needs_seek(goal) or not self._seek(goal)
        if is_at_start:
            self._source.rewind()
        self._is_counted = is_at_start and self._is_ogg_vorbis

    def _needs_seek(self, goal: int) -> bool:
        """Whether an instant is not so near to the start that decoding from there is as well."""
        near_sec = 1.0 if self._source.file.pristine and not self._is_random else 0.0
        if self._is_ogg_vorbis:
            near_sec = _COUNTED_SEC
        return goal > self.span.start + near_sec * self.span.per_sec

    def _seek(self, goal: int) -> bool:
        for _ in self._source.seek_attempts(goal, self.span.start):
            packet = self._source.next_packet()
            if packet is not None and packet.pts is not None and packet.pts <= goal:
                self._source.push_back(packet)
                return True
        return False

    def _decode_into(self, pieces: list[_Piece], packet: Packet | None) -> None:
        """Decode a packet, or flush the decoder; what is damaged is left out and counted."""
        self._used = self._source.file.container
        try:
            frames = self._source.context.decode(packet)
        except READ_ERRORS:
            self._errors += 1
            return
        for frame in frames:
            if not pieces and is_plausible_rate(frame.sample_rate):
                self._rate = frame.sample_rate
            if frame.is_corrupt or frame.sample_rate != self._rate:
                self._errors += 1
                continue
            start = self._place(frame, pieces)
            if start is not None and frame.samples:
                pieces.append(_Piece(start, frame))

    def _place(self, frame: AudioFrame, before: list[_Piece]) -> float | None:
        """Return where a frame starts, in samples; without a timestamp, behind the one before."""
        if self._is_raw:
            return before[-1].end if before else 0.0
        if frame.pts is not None:
            return (frame.pts - self.span.start) / self.span.per_sec * self._rate
        return before[-1].end if before else None


def _ends_before(packet: Packet, ticks: int) -> bool:
    """Whether a packet is known to end before an instant; some containers store no durations."""
    if packet.pts is None or not packet.duration:
        return False
    return packet.pts + packet.duration < ticks


def _round(value: float) -> int:
    return math.floor(value + 0.5)
