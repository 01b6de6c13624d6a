"""The frames of the built-in demo set: patterned discs in front of a moving background.

By construction, color and amount of motion do not depend on the class. All kinds of event are the
same wave, ``tanh(2 cos(phase(x, y) - angle(t)))``, and differ only in the map of phases over the
disc. Phases are spread so that each value covers the same area (``_spread``). Then, in
every frame, all kinds have the same share of each shade and mean 0; and from any frame to any other
all kinds change by the same amount.

Legend: T frames, H and W pixels, n frames that show an event.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo.scene_spec import CLIP_SEC, ClipPlan, Event, Scene

__all__ = ["FRAMES_PER_SEC", "FRAME_SIDE", "render_video"]

FRAMES_PER_SEC = 12
FRAME_SIDE = 64
_NUM_FRAMES = round(CLIP_SEC * FRAMES_PER_SEC)
_FADE_SEC = 0.1
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.36, 0.56  # as fractions of the frame's side
_RIM = 0.12  # width of the disc's soft edge, as a share of its radius
_NUM_BLOCKS = 5

Array = NDArray[np.float32]


def render_video(plan: ClipPlan) -> NDArray[np.uint8]:
    """Render the frames of a clip.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    rng = np.random.default_rng(plan.scene.seed)
    video = _background(plan.scene, rng)  # (T, H, W, 3)
    tint = np.asarray(plan.scene.tint, np.float32)
    for event, contrast in zip(plan.seen, plan.scene.contrasts, strict=True):
        _add_event(video, event, contrast * tint)
    video += plan.scene.grain * rng.standard_normal((*video.shape[:3], 1), np.float32)
    np.clip(np.rint(video, out=video), 0, 255, out=video)
    return video.astype(np.uint8)


def _frame_times() -> Array:
    """Return the times of the frames in seconds, (T, 1, 1)."""
    times = np.arange(_NUM_FRAMES) / FRAMES_PER_SEC
    return times.astype(np.float32)[:, None, None]


def _grid() -> tuple[Array, Array]:
    """Return x (1, 1, W) and y (1, H, 1) of the pixel centers, from 0 to 1."""
    axis = ((np.arange(FRAME_SIDE) + 0.5) / FRAME_SIDE).astype(np.float32)
    return axis[None, None, :], axis[None, :, None]


def _add_event(video: Array, event: Event, amplitude: Array) -> None:
    """Render an event into video (T, H, W, 3); amplitude is (3,)."""
    since = _frame_times() - np.float32(event.start_sec)
    fade = np.minimum(since, event.duration_sec - since) / _FADE_SEC + 0.5
    frames = np.flatnonzero(fade.ravel() > 0)
    since, shown = since[frames], np.clip(fade[frames], 0, 1)  # (n, 1, 1)
    x, y = _grid()
    radius = _SMALLEST_RADIUS + event.size * (_LARGEST_RADIUS - _SMALLEST_RADIUS)
    u, v = (x - event.center[0]) / radius, (y - event.center[1]) / radius
    disc = np.clip((1 - np.hypot(u, v)) / _RIM, 0, 1)  # (1, H, W)
    phase = _spread(_PHASES[event.kind](u, v, event), disc)
    wave = np.tanh(2 * np.cos(phase - np.float32(2 * np.pi * event.tempo_hz) * since))
    video[frames] += (shown * disc * wave)[..., None] * amplitude  # (n, H, W, 3)


def _spread(phase: Array, weight: Array) -> Array:
    """Bend phases, keeping their order from 0 to 2 pi, until each has the same weight.

    Args:
        phase: (1, H, W), of any period.
        weight: (1, H, W); equal phases share the middle of their range.
    """
    values, rank = np.unique(phase % (2 * np.pi), return_inverse=True)
    share = np.bincount(rank.ravel(), weight.ravel(), minlength=values.size)
    middle = (np.cumsum(share) - 0.5 * share) / share.sum()
    spread: Array = (2 * np.pi * middle).astype(np.float32)[rank].reshape(phase.shape)
    return spread


# The maps of phases. u and v are right and down, in radii from the center of the disc.


def _ripple(u: Array, v: Array, _: Event) -> Array:
    return 7 * np.hypot(u, v)


def _tunnel(u: Array, v: Array, _: Event) -> Array:
    return -7 * np.maximum(np.abs(u), np.abs(v))


def _roll(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 5 * v + 0 * u


def _slide(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 5 * u + 0 * v


def _cross(u: Array, v: Array, _: Event) -> Array:
    return 9 * np.minimum(np.abs(u), np.abs(v))


def _spin(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 4 * np.arctan2(v, u)


def _turn(u: Array, v: Array, event: Event) -> Array:
    return event.direction * np.arctan2(v, u)


def _sparkle(u: Array, v: Array, event: Event) -> Array:
    order = np.random.default_rng(event.seed).permutation(_NUM_BLOCKS**2)
    phases: Array = (order * (2 * np.pi / order.size)).astype(np.float32).reshape(_NUM_BLOCKS, -1)
    column, row = (
        np.clip((0.5 * _NUM_BLOCKS * (axis + 1)).astype(int), 0, _NUM_BLOCKS - 1) for axis in (u, v)
    )
    level: Array = phases[row, column]
    return level


def _vee(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 4 * v + 4 * np.abs(u)


def _bubbles(u: Array, v: Array, event: Event) -> Array:
    bumps: Array = np.cos(5 * u) + np.cos(5 * v)
    return event.direction * 2.5 * bumps


_PHASES: dict[str, Callable[[Array, Array, Event], Array]] = {
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


def _background(scene: Scene, rng: np.random.Generator) -> Array:
    """Render what is behind the events: float (T, H, W, 3), gray levels."""
    x, y = _grid()
    times = _frame_times()
    video = np.empty((_NUM_FRAMES, FRAME_SIDE, FRAME_SIDE, 3), np.float32)
    video[...] = np.asarray(scene.color, np.float32)
    video += scene.flicker * rng.standard_normal((_NUM_FRAMES, 1, 1, 3), np.float32)
    for _ in range(2):  # two plane waves drift past each other
        across, down, speed = 2 * np.pi * rng.uniform(-1, 1, 3) * (1.5, 1.5, 0.8)
        phase = down * y + speed * times + rng.uniform(0, 2 * np.pi)  # (T, H, 1)
        wave = np.cos(phase) * np.cos(across * x) - np.sin(phase) * np.sin(across * x)
        color = (scene.texture * rng.uniform(-1, 1, 3)).astype(np.float32)
        video += wave.astype(np.float32)[..., None] * color
    _add_distractor(video, scene.distractor, rng)
    return video


def _add_distractor(video: Array, amplitude: float, rng: np.random.Generator) -> None:
    """Render a small silent disc that wanders through the full clip into video (T, H, W, 3)."""
    x, y = _grid()
    rates, phases = rng.uniform(0.1, 0.5, 2), rng.uniform(0, 2 * np.pi, 2)
    angles = 2 * np.pi * rates * _frame_times() + phases  # (T, 1, 2)
    centers = (0.5 + 0.45 * np.sin(angles)).astype(np.float32)
    distance = np.hypot(x - centers[..., :1], y - centers[..., 1:])  # (T, H, W)
    radius = rng.uniform(0.07, 0.12)
    disc = np.clip((radius - distance) * (FRAME_SIDE / 2), 0, 1)
    color = amplitude * rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0, 3)
    video += disc.astype(np.float32)[..., None] * color.astype(np.float32)
