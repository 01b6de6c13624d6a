"""The sounds of the built-in demo set: one voice for each kind of event, and noise.

Legend: N samples of a clip, n samples of an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo_plan import CLIP_SEC, ClipPlan, Event

__all__ = ["SAMPLE_RATE_HZ", "render_sound"]

SAMPLE_RATE_HZ = 24000
_FADE_SEC = 0.01
_LOWEST_HZ, _HIGHEST_HZ = 250.0, 900.0

Array = NDArray[np.float64]


class _Clock(NamedTuple):
    """What a voice reads: all (n,) but the period.

    Attributes:
        since: Seconds since the event began.
        beat: Seconds since the last beat.
        period: Seconds from beat to beat.
        pitch: The event's pitch in Hz.
        noise: White noise of standard deviation 1.
    """

    since: Array
    beat: Array
    period: float
    pitch: float
    noise: Array


def render_sound(plan: ClipPlan) -> NDArray[np.float32]:
    """Render the sound of a clip.

    Args:
        plan: What happens in the clip.

    Returns:
        float32 (N,) in [-1, 1] at ``SAMPLE_RATE_HZ``.
    """
    rng = np.random.default_rng((plan.scene.seed, 1))
    sound = plan.scene.noise * _hiss(round(CLIP_SEC * SAMPLE_RATE_HZ), rng)
    for event in plan.heard:
        voice = plan.scene.loudness * _event_sound(event)
        start = round(event.start_sec * SAMPLE_RATE_HZ)
        sound[start : start + voice.size] += voice
    return np.clip(sound, -1, 1).astype(np.float32)


def _hiss(length: int, rng: np.random.Generator) -> Array:
    """Return noise that falls off towards high frequencies, root mean square 1: (length,)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.arange(spectrum.size) + 50.0)
    noise = np.fft.irfft(spectrum, length)
    return noise / np.sqrt(np.mean(noise**2))


def _event_sound(event: Event) -> Array:
    """Render one event's voice, root mean square 1: (n,)."""
    length = round(event.duration_sec * SAMPLE_RATE_HZ)
    since = np.arange(length) / SAMPLE_RATE_HZ
    period = 0.5 / event.tempo_hz
    pitch = _HIGHEST_HZ * (_LOWEST_HZ / _HIGHEST_HZ) ** event.size
    noise = np.random.default_rng(event.seed).standard_normal(length)
    voice = _VOICES[event.kind](_Clock(since, since % period, period, pitch, noise))
    voice = voice * np.clip(np.minimum(since, since[::-1]) / _FADE_SEC, 0, 1)
    return voice / np.sqrt(np.mean(voice**2))


def _tone(hertz: float | Array, time: Array) -> Array:
    return np.sin(2 * np.pi * hertz * time)


def _ripple(c: _Clock) -> Array:
    rise = c.beat * (1 + 1.5 * c.beat / c.period)  # from the pitch to four times the pitch
    return _tone(c.pitch, rise) * np.exp(-1.5 * c.beat / c.period)


def _tunnel(c: _Clock) -> Array:
    fall = c.beat * (4 - 1.5 * c.beat / c.period)
    return _tone(c.pitch, fall) * np.exp(-1.5 * c.beat / c.period)


def _roll(c: _Clock) -> Array:
    saw = 2 * ((0.4 * c.pitch * c.since) % 1) - 1
    return saw * (0.4 + np.exp(-4 * c.beat / c.period))


def _slide(c: _Clock) -> Array:
    return _tone(4 * c.pitch, c.since) * (0.4 + np.exp(-4 * c.beat / c.period))


def _cross(c: _Clock) -> Array:
    return c.noise * np.exp(-(c.beat % (0.25 * c.period)) / 0.002)


def _spin(c: _Clock) -> Array:
    carrier = _tone(5 * c.pitch, c.since + 0.0)
    slow = np.convolve(c.noise, np.ones(24) / 24, mode="same")  # noise below about 500 Hz
    return slow * carrier * np.sin(np.pi * c.beat / c.period)


def _turn(c: _Clock) -> Array:
    ring = np.exp(-4 * c.beat / c.period)
    return ring * sum(_tone(ratio * c.pitch, c.beat) for ratio in (1.0, 2.76, 5.4))


def _sparkle(c: _Clock) -> Array:
    rare = np.where(np.abs(c.noise) > 2.6, c.noise, 0)  # about 220 clicks a second
    high = np.diff(rare, prepend=0.0)
    return high * (0.4 + np.exp(-4 * c.beat / c.period))


def _vee(c: _Clock) -> Array:
    wobble = 0.02 * np.sin(2 * np.pi * 16 * c.since)
    return _tone(2 * c.pitch, c.since + 0.3 * wobble) * np.exp(-2 * c.beat / c.period)


def _bubbles(c: _Clock) -> Array:
    high = (c.since // c.period) % 2
    square = np.sign(_tone(c.pitch * (1 + 0.5 * high), c.since))
    return square * np.exp(-1 * c.beat / c.period)


_VOICES: dict[str, Callable[[_Clock], Array]] = {
    "ripple": _ripple,
    "tunnel": _tunnel,
    "roll": _roll,
    "slide": _slide,
    "cross": _cross,
    "spin": _spin,
    "turn": _turn,
    "sparkle": _sparkle,
    "vee": _vee,
    "bubbles": _bubbles,
}
