"""The pictures of the built-in demo set: moving patterns, textured background, distractor.

Colour and amount of motion must not tell the class. So every pattern has mean zero on each frame,
moves by the same law (a cosine of the clip's tempo), and is scaled until its frames differ from
each other as much as any other kind's do.

Legend: T frames, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo_plan import CLIP_SEC, ClipPlan, Event, Scene

__all__ = ["FRAMES_PER_SEC", "PICTURE_SIDE", "render_picture"]

FRAMES_PER_SEC = 12
PICTURE_SIDE = 64
_NUM_FRAMES = round(CLIP_SEC * FRAMES_PER_SEC)
_FADE_SEC = 0.1
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.32, 0.58  # as shares of the picture's side

Array = NDArray[np.float32]


def render_picture(plan: ClipPlan) -> NDArray[np.uint8]:
    """Render the frames of a clip.

    Args:
        plan: What happens in the clip.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    rng = np.random.default_rng(plan.scene.seed)
    video = _background(plan.scene, rng)  # (T, H, W, 3)
    for event in plan.seen:
        _add_event(video, event, plan.scene.contrast * np.asarray(plan.scene.tint, np.float32))
    video += plan.scene.grain * rng.standard_normal(video.shape[:3], np.float32)[..., None]
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)


def _frame_times() -> Array:
    """Return the times of the frames in seconds, (T, 1, 1)."""
    times: Array = (np.arange(_NUM_FRAMES, dtype=np.float32) / FRAMES_PER_SEC)[:, None, None]
    return times


def _grid() -> tuple[Array, Array]:
    """Return x (1, 1, W) and y (1, H, 1) of the pixel centres, from 0 to 1."""
    axis = (np.arange(PICTURE_SIDE, dtype=np.float32) + 0.5) / PICTURE_SIDE
    return axis[None, None, :], axis[None, :, None]


def _add_event(video: Array, event: Event, amplitude: Array) -> None:
    """Draw one event, of mean 0 on every frame, into video (T, H, W, 3); amplitude is (3,)."""
    since = _frame_times() - np.float32(event.start_sec)
    fade = np.minimum(since, event.duration_sec - since) / _FADE_SEC + 0.5
    frames = np.flatnonzero(fade.ravel() > 0)  # n of the T frames show the event
    since, shown = since[frames], np.clip(fade[frames], 0, 1)  # (n, 1, 1)
    x, y = _grid()
    radius = _SMALLEST_RADIUS + event.size * (_LARGEST_RADIUS - _SMALLEST_RADIUS)
    u, v = (x - event.centre[0]) / radius, (y - event.centre[1]) / radius
    disc = np.clip((1 - np.hypot(u, v)) / 0.12, 0, 1)  # (1, H, W)
    phase = _equalise(_PHASES[event.kind](u, v, event), disc)
    wave = np.tanh(2 * np.cos(phase - np.float32(2 * np.pi * event.tempo_hz) * since))
    video[frames] += (shown * disc * wave)[..., None] * amplitude  # (n, H, W, 3)


def _equalise(phase: Array, weight: Array) -> Array:
    """Bend phases so that, by weight, all of 0 to 2 pi are equally frequent; both (1, H, W)."""
    values, rank = np.unique(phase % (2 * np.pi), return_inverse=True)
    share = np.bincount(rank.ravel(), weight.ravel(), minlength=values.size)
    below = np.cumsum(share) - 0.5 * share
    level: Array = (2 * np.pi * below / share.sum()).astype(np.float32)
    return level[rank].reshape(phase.shape)


def _ripple(u: Array, v: Array, _: Event) -> Array:
    return 7 * np.hypot(u, v)


def _tunnel(u: Array, v: Array, _: Event) -> Array:
    return -7 * np.maximum(np.abs(u), np.abs(v))


def _roll(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 5 * v + 0 * u


def _slide(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 5 * u + 0 * v


def _cross(u: Array, v: Array, event: Event) -> Array:
    return 9 * np.minimum(np.abs(u), np.abs(v))


def _spin(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 4 * np.arctan2(v, u)


def _turn(u: Array, v: Array, event: Event) -> Array:
    return event.direction * np.arctan2(v, u)


def _sparkle(u: Array, v: Array, event: Event) -> Array:
    phases = np.random.default_rng(event.seed).permutation(36).reshape(6, 6) * (2 * np.pi / 36)
    column, row = (np.clip((3 * (axis + 1)).astype(int), 0, 5) for axis in (u, v))
    return phases.astype(np.float32)[row, column]


def _vee(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 4 * v + 4 * np.abs(u)


def _bubbles(u: Array, v: Array, event: Event) -> Array:
    return event.direction * 2.5 * (np.cos(6 * u) + np.cos(6 * v))


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
    """Render what is behind the events: float (T, H, W, 3), grey levels."""
    x, y = _grid()
    times = _frame_times()
    video = np.empty((_NUM_FRAMES, PICTURE_SIDE, PICTURE_SIDE, 3), np.float32)
    video[...] = np.asarray(scene.colour, np.float32)
    for _ in range(2):  # two plane waves drift past each other
        across, down, speed = 2 * np.pi * rng.uniform(-1, 1, 3) * (1.5, 1.5, 0.8)
        phase = down * y + speed * times + rng.uniform(0, 2 * np.pi)  # (T, H, 1)
        wave = np.cos(phase) * np.cos(across * x) - np.sin(phase) * np.sin(across * x)
        video += wave[..., None] * (scene.texture * rng.uniform(-1, 1, 3)).astype(np.float32)
    video += scene.flicker * rng.standard_normal((_NUM_FRAMES, 1, 1, 3), np.float32)
    video += scene.distractor * _distractor(rng)
    return video


def _distractor(rng: np.random.Generator) -> Array:
    """Render a small silent disc that wanders through the whole clip: float (T, H, W, 3)."""
    x, y = _grid()
    rate, phase = rng.uniform(0.1, 0.5, 2), rng.uniform(0, 2 * np.pi, 2)
    times = _frame_times()
    centre_x, centre_y = (
        0.5 + 0.45 * np.sin(2 * np.pi * r * times + p) for r, p in zip(rate, phase, strict=True)
    )
    radius = rng.uniform(0.07, 0.12)
    distance = np.sqrt((x - centre_x) ** 2 + (y - centre_y) ** 2)
    disc = np.clip((radius - distance) * 32, 0, 1)  # (T, H, W)
    colour = rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0, 3)
    return (disc[..., None] * colour).astype(np.float32)
