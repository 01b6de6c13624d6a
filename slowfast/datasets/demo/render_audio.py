"""The audio of the built-in demo set: one voice for each kind of event, over soft noise.

Legend: N samples of a clip, n samples of an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo.scene_spec import CLIP_SEC, ClipPlan, Event

__all__ = ["SAMPLE_RATE_HZ", "render_audio"]

SAMPLE_RATE_HZ = 16000
_FADE_SEC = 0.01
_LOWEST_HZ, _HIGHEST_HZ = 140.0, 1250.0

Array = NDArray[np.float64]


class _Timing(NamedTuple):
    """The inputs of a voice: arrays (n,), and two numbers.

    Attributes:
        since: Seconds since the event began.
        beat: Seconds since the last beat.
        part: Share of the time from that beat to the next that has passed, from 0 to 1.
        noise: White noise of standard deviation 1.
        period: Seconds from beat to beat.
        pitch: Pitch in Hz.
    """

    since: Array
    beat: Array
    part: Array
    noise: Array
    period: float
    pitch: float


def render_audio(plan: ClipPlan) -> NDArray[np.float32]:
    """Render the audio of a clip.

    Returns:
        float32 (N,) in [-1, 1] at ``SAMPLE_RATE_HZ``.
    """
    rng = np.random.default_rng((plan.scene.seed, 1))
    audio = plan.scene.noise * _hiss(round(CLIP_SEC * SAMPLE_RATE_HZ), rng)
    for event in plan.heard:
        voice = plan.scene.loudness * _voice(event)
        start = round(event.start_sec * SAMPLE_RATE_HZ)
        audio[start : start + voice.size] += voice
    return np.clip(audio, -1, 1).astype(np.float32)


def _hiss(length: int, rng: np.random.Generator) -> Array:
    """Return noise that falls off towards high frequencies, root mean square 1: (length,)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.arange(spectrum.size) + 50.0)
    return _normalize(np.fft.irfft(spectrum, length))


def _normalize(audio: Array) -> Array:
    scaled: Array = audio / np.sqrt(np.mean(audio**2))
    return scaled


def _voice(event: Event) -> Array:
    """Render an event's audio, root mean square 1: (n,)."""
    length = round(event.duration_sec * SAMPLE_RATE_HZ)
    since = np.arange(length) / SAMPLE_RATE_HZ
    period = 0.5 / event.tempo_hz
    beat = since % period
    noise = np.random.default_rng(event.seed).standard_normal(length)
    pitch = _HIGHEST_HZ * (_LOWEST_HZ / _HIGHEST_HZ) ** event.size
    voice = _VOICES[event.kind](_Timing(since, beat, beat / period, noise, period, pitch))
    return _normalize(voice * np.clip(np.minimum(since, since[::-1]) / _FADE_SEC, 0, 1))


def _tone(hertz: float, time: Array) -> Array:
    wave: Array = np.sin(2 * np.pi * hertz * time)
    return wave


def _struck(c: _Timing) -> Array:
    """Return a level that jumps up on each beat and sinks, but not to silence."""
    level: Array = 0.4 + np.exp(-4 * c.part)
    return level


def _ripple(c: _Timing) -> Array:
    """Chirps that rise from the pitch to four times the pitch."""
    return _tone(c.pitch, c.beat * (1 + 1.5 * c.part)) * np.exp(-1.5 * c.part)


def _tunnel(c: _Timing) -> Array:
    """Chirps that fall from four times the pitch to the pitch."""
    return _tone(c.pitch, c.beat * (4 - 1.5 * c.part)) * np.exp(-1.5 * c.part)


def _roll(c: _Timing) -> Array:
    """A buzz: a saw tooth."""
    return (2 * ((0.4 * c.pitch * c.since) % 1) - 1) * _struck(c)


def _slide(c: _Timing) -> Array:
    """A whistle."""
    return _tone(4 * c.pitch, c.since) * _struck(c)


def _cross(c: _Timing) -> Array:
    """Four clicks a beat."""
    return c.noise * np.exp(-(c.beat % (0.25 * c.period)) / 0.002)


def _spin(c: _Timing) -> Array:
    """Noise around five times the pitch that swells once a beat."""
    width = round(SAMPLE_RATE_HZ / 1000)
    slow = np.convolve(c.noise, np.ones(width), mode="same")  # below about 500 Hz
    return slow * _tone(5 * c.pitch, c.since) * np.sin(np.pi * c.part)


def _turn(c: _Timing) -> Array:
    """Bells: partials that are no multiples of each other."""
    partials = sum(_tone(ratio * c.pitch, c.beat) for ratio in (1.0, 2.76, 5.4))
    return partials * np.exp(-4 * c.part)


def _sparkle(c: _Timing) -> Array:
    """Crackle: some 150 high clicks a second."""
    rare = np.where(np.abs(c.noise) > 2.6, c.noise, 0)
    return np.diff(rare, prepend=0.0) * _struck(c)


def _vee(c: _Timing) -> Array:
    """A warble: the tone swings 16 times a second by a third up and down."""
    rate = 2 * np.pi * 16
    return _tone(2 * c.pitch, c.since + np.sin(rate * c.since) / (3 * rate)) * np.exp(-2 * c.part)


def _bubbles(c: _Timing) -> Array:
    """A hollow tone that changes between two notes from beat to beat."""
    high = (c.since // c.period) % 2
    notes = np.where(high > 0, _tone(1.5 * c.pitch, c.since), _tone(c.pitch, c.since))
    return np.sign(notes) * np.exp(-c.part)


_VOICES: dict[str, Callable[[_Timing], Array]] = {
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
