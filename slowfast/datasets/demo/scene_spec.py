"""The scene specification of each clip of the built-in demo set: classes, events, variation.

A clip has two *events* in front of a moving background. An event is a patterned disc that appears
for half a second or more. Its kind determines its motion and its audio, with two beats per cycle of
the motion. The class of a clip is given by the kinds of its two events:

=================  ================  =======================================================
class              events            what is seen; what is heard
=================  ================  =======================================================
ripple             ripple, ripple    rings run outwards; rising chirps
tunnel             tunnel, tunnel    square frames run inwards; falling chirps
roll               roll, roll        level stripes run up or down; a low buzz
slide              slide, slide      upright stripes run left or right; a steady whistle
cross              cross, cross      crosses open out of the middle; bursts of clicks
spin               spin, spin        a pinwheel turns; swishes of noise
turn_then_sparkle  turn, sparkle     two halves turn (bells), then blocks twinkle (crackle)
sparkle_then_turn  sparkle, turn     the same two events in the other order
vee_then_bubbles   vee, bubbles      chevrons rise or fall (warble), then bubbles (two notes)
bubbles_then_vee   bubbles, vee      the same two events in the other order
=================  ================  =======================================================

The last four classes differ only in the order of their events: averaged over time, a class and its
partner are the same. On request (``DemoSpec.shared_audio_classes``) the first six form three pairs
that have the same audio and differ only in video: ripple and tunnel, roll and slide, cross and
spin. What audio and video share does not distinguish a class from its partner.

Everything else in a clip (tempo, position, size, colors, background, distractor, loudness, noise)
is sampled independently of the class. Video and audio of a clip share tempo and size (small discs
have a high pitch), so that the audio of a clip can be distinguished from that of many other clips
of its class. No class depends on left and right: clips may be flipped.

Events have the same times in all clips. Times sampled for each clip would identify it so well that
a contrastive model might learn only these times and nothing about the events.

In evaluation, a method that ignores order retrieves at best 80 % of the classes (it is at chance
level within the two pairs). A method that learns nothing from the frames stays at 10 %, because
color and amount of motion are the same in all classes (see ``render_video``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "CLIP_SEC",
    "KINDS",
    "ClipPlan",
    "DemoSpec",
    "Event",
    "Scene",
    "class_events",
    "plan_clip",
    "sample_plan",
]

CLIP_SEC = 3.0
KINDS = (
    *("ripple", "tunnel", "roll", "slide", "cross", "spin"),  # a class of its own each
    *("turn", "sparkle", "vee", "bubbles"),  # two pairs, each in both orders
)
_NUM_ALONE = 6
_SHARED_AUDIO = {"tunnel": "ripple", "slide": "roll", "spin": "cross"}  # seen -> heard
_SPLITS = ("train", "test")

_TIMES_SEC = ((0.5, 0.75), (0.5 + 16 / 12, 0.75))  # start and duration; 16 frames are between
_FIRST_SEC, _LAST_SEC = 0.3, 2.7  # between these fall the times of an audio that has its own
_SHORTEST_SEC, _LONGEST_SEC, _SHORTEST_GAP_SEC = 0.6, 0.85, 0.1
_FIXED_TEMPO_HZ = 1.7


@dataclass(frozen=True)
class DemoSpec:
    """Size of the demo set, its seed, and a switch for each signal that is planted in it.

    Attributes:
        num_train_per_class: Clips of each class in the split ``train``.
        num_test_per_class: Clips of each class in the split ``test``.
        seed: Sets of one seed are the same, byte for byte; sets of two seeds are independent.
        order_classes: Four of the ten classes differ only in the order of two events. Off: these
            four have one kind of event twice, as the other six.
        shared_audio_classes: Six of the ten classes form pairs that have the same audio and differ
            only in video. Off: each kind of event has an audio of its own.
        sync: Audio events and video events have the same times. Off: the times of audio events are
            sampled for each clip.
        shared_instance: Audio and video share the clip's tempo and size (pitch, in the audio). Off:
            they are sampled separately.
        nuisance_space: Place and size of events vary. Off: in the middle, of middle size.
        nuisance_time: The tempo of events varies. Off: the same in all clips.
        nuisance_color: Colors, and the contrast of each event, vary. Off: light and dark on one
            gray.
        nuisance_background: Moving texture, flicker, a wandering distractor. Off: plain.
        noise: Noise in frames and audio, varying loudness. Off: no noise, constant loudness.
    """

    num_train_per_class: int = 60
    num_test_per_class: int = 20
    seed: int = 0
    order_classes: bool = True
    shared_audio_classes: bool = False
    sync: bool = True
    shared_instance: bool = True
    nuisance_space: bool = True
    nuisance_time: bool = True
    nuisance_color: bool = True
    nuisance_background: bool = True
    noise: bool = True


@dataclass(frozen=True)
class Event:
    """One event, as seen or as heard.

    Attributes:
        kind: One of ``KINDS``.
        start_sec: When it begins, seconds from the start of the clip.
        duration_sec: How long it lasts, seconds.
        tempo_hz: Cycles of its motion per second; its audio has two beats per cycle.
        size: From 0, small and high, to 1, large and low.
        center: Position in the frame as (x, y), each from 0 to 1.
        direction: 1 or -1, the sense of a motion that has two.
        seed: For what is random inside the event.
    """

    kind: str
    start_sec: float
    duration_sec: float
    tempo_hz: float
    size: float
    center: tuple[float, float]
    direction: int
    seed: int


@dataclass(frozen=True)
class Scene:
    """Background, colors, loudness and noise of a clip.

    Attributes:
        color: Mean color of the frames, RGB, gray levels.
        tint: The color direction of the events' light and dark, RGB; the largest is 1.
        contrasts: Amplitude of each event, gray levels.
        texture: Amplitude of the moving background, gray levels.
        flicker: Standard deviation of each frame's color, gray levels.
        distractor: Amplitude of the wandering disc, gray levels.
        grain: Standard deviation of the noise in the frames, gray levels.
        loudness: Root mean square of the events' audio; full scale is 1.
        noise: Root mean square of the audio's noise; full scale is 1.
        seed: For what is random in texture, distractor and noise.
    """

    color: tuple[float, ...]
    tint: tuple[float, ...]
    contrasts: tuple[float, ...]
    texture: float
    flicker: float
    distractor: float
    grain: float
    loudness: float
    noise: float
    seed: int


@dataclass(frozen=True)
class ClipPlan:
    """All that a clip is rendered from.

    Attributes:
        seen: The two events of the video, in order of time.
        heard: The two events of the audio, in order of time.
        scene: The background of the events.
    """

    seen: tuple[Event, ...]
    heard: tuple[Event, ...]
    scene: Scene


def class_events(spec: DemoSpec) -> dict[str, tuple[str, str]]:
    """Name each class's kinds of event.

    Args:
        spec: What the set is like; only ``order_classes`` matters here.

    Returns:
        Ten classes, name -> (kind of the first event, kind of the second). The label of a class is
        its rank among the sorted names, as in any folder of classes.
    """
    alone = KINDS[:_NUM_ALONE] if spec.order_classes else KINDS
    classes = {kind: (kind, kind) for kind in alone}
    rest = KINDS[len(alone) :]
    for one, other in zip(rest[::2], rest[1::2], strict=True):
        classes[f"{one}_then_{other}"] = (one, other)
        classes[f"{other}_then_{one}"] = (other, one)
    return classes


def plan_clip(spec: DemoSpec, split: str, class_name: str, index: int) -> ClipPlan:
    """Sample one clip of the set, a function of (seed, split, class, index).

    Args:
        spec: What the set is like.
        split: ``train`` or ``test``.
        class_name: A key of ``class_events(spec)``.
        index: Number of the clip within its split and class.

    Returns:
        The plan of the clip.
    """
    classes = class_events(spec)
    entropy = (spec.seed, _SPLITS.index(split), list(classes).index(class_name), index)
    return sample_plan(spec, classes[class_name], np.random.default_rng(entropy))


def sample_plan(spec: DemoSpec, kinds: tuple[str, str], rng: np.random.Generator) -> ClipPlan:
    """Sample a clip with events of the given kinds; the random numbers do not depend on the kinds.

    A switch replaces the values that it controls and leaves the other random numbers as they are,
    so that sets that differ in a switch can be compared clip by clip.
    """
    times_heard = _sample_times(rng)
    tempo, tempo_heard = rng.uniform(1.2, 2.2, 2).tolist()
    size, size_heard = rng.uniform(0, 1, 2).tolist()
    x, y = rng.uniform(0.36, 0.64, 2).tolist()
    direction, seed = int(rng.choice((-1, 1))), int(rng.integers(2**31))
    if not spec.nuisance_time:
        tempo = tempo_heard = _FIXED_TEMPO_HZ
    if not spec.nuisance_space:
        size = size_heard = x = y = 0.5
    seen = tuple(
        Event(kind, start, duration, tempo, size, (x, y), direction, seed)
        for kind, (start, duration) in zip(kinds, _TIMES_SEC, strict=True)
    )
    heard = seen
    if spec.shared_audio_classes:
        heard = tuple(replace(e, kind=_SHARED_AUDIO.get(e.kind, e.kind)) for e in heard)
    if not spec.sync:
        heard = tuple(
            replace(event, start_sec=start, duration_sec=duration)
            for event, (start, duration) in zip(heard, times_heard, strict=True)
        )
    if not spec.shared_instance:
        heard = tuple(replace(event, tempo_hz=tempo_heard, size=size_heard) for event in heard)
    return ClipPlan(seen, heard, _sample_scene(spec, rng))


def _sample_times(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Sample start and duration, in seconds, of two consecutive events."""
    durations = rng.uniform(_SHORTEST_SEC, _LONGEST_SEC, 2)
    before, between, _ = rng.dirichlet((1, 1, 1))  # shares of the time to spare
    spare = _LAST_SEC - _FIRST_SEC - _SHORTEST_GAP_SEC - durations.sum()
    first = _FIRST_SEC + spare * before
    second = first + durations[0] + _SHORTEST_GAP_SEC + spare * between
    return (float(first), float(durations[0])), (float(second), float(durations[1]))


def _sample_scene(spec: DemoSpec, rng: np.random.Generator) -> Scene:
    """Sample colors, background, loudness and noise of a clip."""
    color = rng.uniform(105, 150) + rng.uniform(-20, 20, 3)
    tint = rng.uniform(0.3, 1.0, 3)
    # One contrast for both events, and less for either: otherwise the ratio of their motions, which
    # small frames blur a little differently, would reveal the order.
    contrasts = rng.uniform(75, 95) * rng.uniform(0.65, 1.0, 2)
    texture, flicker, distractor = rng.uniform((1, 0, 5), (2, 0.2, 10))
    grain, loudness, hiss = rng.uniform((1, 0.1, 0.03), (3, 0.2, 0.12))
    seed = int(rng.integers(2**31))
    if not spec.nuisance_color:
        color, tint, contrasts = np.full(3, 127.0), np.ones(3), np.full(2, 65.0)
    if not spec.nuisance_background:
        texture = flicker = distractor = 0.0
    if not spec.noise:
        grain, loudness, hiss = 0.0, 0.1, 0.0
    return Scene(
        color=tuple(color.tolist()),
        tint=tuple((tint / tint.max()).tolist()),
        contrasts=tuple(contrasts.tolist()),
        texture=float(texture),
        flicker=float(flicker),
        distractor=float(distractor),
        grain=float(grain),
        loudness=float(loudness),
        noise=float(loudness * hiss),
        seed=seed,
    )
