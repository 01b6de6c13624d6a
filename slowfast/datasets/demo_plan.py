"""What happens in each clip of the built-in demo set: classes, events, and what varies.

A clip shows two *events* on a moving background. An event is a patterned disc that appears for
about three quarters of a second, moves in the way of its kind, and sounds in the way of its kind.
A class says of which kind the first and the second event are:

==================  ==================  =====================================================
class               events              what is seen; what is heard
==================  ==================  =====================================================
ripple              ripple, ripple      rings run outwards; rising chirps
sink                sink, sink          rings run inwards; falling chirps
roll                roll, roll          level stripes run up or down; a low buzz
slide               slide, slide        upright stripes run left or right; a steady whistle
cross             cross, cross    a chequerboard swaps its colours; clicks
spin                spin, spin          a pinwheel turns; swishes of noise
pulse_then_sparkle  pulse, sparkle      a disc swells (bells), then blocks twinkle (crackle)
sparkle_then_pulse  sparkle, pulse      the same two events in the other order
hop_then_bubbles       hop, rock           a ball hops (warble), then a cross rocks (two notes)
rock_then_vee       rock, hop           the same two events in the other order
==================  ==================  =====================================================

The last four classes differ in the order of their events alone: averaged over time, a class and its
partner are the same. Everything else in a clip (times, tempo, place, size, colours, background,
distractor, loudness, noise) is drawn without regard to the class. Picture and sound of one clip
share times, tempo and size (small discs sound high), so that a clip's own sound can be told from
the sounds of other clips of its class.
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
]

CLIP_SEC = 3.0
KINDS = (
    "ripple",
    "tunnel",
    "roll",
    "slide",
    "cross",
    "spin",
    "turn",
    "sparkle",
    "vee",
    "bubbles",
)
_SPLITS = ("train", "test")
_FIRST_SEC, _LAST_SEC = 0.3, 2.7  # both events lie in between: any window of 2.7 s holds them
_SHORTEST_SEC, _LONGEST_SEC, _SHORTEST_GAP_SEC = 0.5, 0.9, 0.1


@dataclass(frozen=True)
class DemoSpec:
    """Size of the demo set, its seed, and a switch for each signal that is planted in it.

    Attributes:
        num_train_per_class: Clips of each class in the split ``train``.
        num_test_per_class: Clips of each class in the split ``test``.
        seed: Two sets of one seed are the same, byte for byte; of two seeds, independent.
        order_classes: Four of the ten classes differ in the order of two events alone. Off: these
            four show one kind of event twice, as the other six do.
        sync: Sound events happen when the picture's events do. Off: at times of their own.
        shared_instance: Sound and picture share the clip's tempo and size (pitch). Off: they are
            drawn apart, and nothing but the times joins a clip to its own sound.
        nuisance_space: Place and size of events vary. Off: centred, of middle size.
        nuisance_time: Times, lengths and tempo of events vary. Off: the same in all clips.
        nuisance_colour: Colours and contrast vary. Off: light and dark on one grey.
        nuisance_background: Moving texture, flicker and a wandering distractor. Off: plain.
        noise: Picture grain, noise in the sound, loudness. Off: clean and of one loudness.
    """

    num_train_per_class: int = 64
    num_test_per_class: int = 20
    seed: int = 0
    order_classes: bool = True
    sync: bool = True
    shared_instance: bool = True
    nuisance_space: bool = True
    nuisance_time: bool = True
    nuisance_colour: bool = True
    nuisance_background: bool = True
    noise: bool = True


@dataclass(frozen=True)
class Event:
    """One event, as seen or as heard.

    Attributes:
        kind: One of ``KINDS``.
        start_sec: When it begins, seconds from the start of the clip.
        duration_sec: How long it lasts, seconds.
        tempo_hz: Cycles of its motion a second; it sounds twice a cycle.
        size: 0 small and high, 1 large and low.
        centre: Place on the picture as (x, y), from 0 to 1.
        direction: 1 or -1, the sense of a motion that has two.
        seed: For what is random inside the event.
    """

    kind: str
    start_sec: float
    duration_sec: float
    tempo_hz: float
    size: float
    centre: tuple[float, float]
    direction: int
    seed: int


@dataclass(frozen=True)
class Scene:
    """What is seen and heard besides the events.

    Attributes:
        colour: Mean colour of the picture, RGB in 0 to 255.
        tint: The colour direction of the events' light and dark, RGB of largest magnitude 1.
        contrast: Amplitude of the events, grey levels.
        texture: Amplitude of the moving background, grey levels.
        flicker: Standard deviation of each frame's brightness, grey levels.
        distractor: Amplitude of the wandering disc, grey levels; 0 is none.
        grain: Standard deviation of the picture's noise, grey levels.
        loudness: Root mean square of the events' sound, full scale 1.
        noise: Root mean square of the sound's noise, full scale 1.
        seed: For what is random in texture, distractor and noise.
    """

    colour: tuple[float, float, float]
    tint: tuple[float, float, float]
    contrast: float
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
        seen: The picture's two events, in order of time.
        heard: The sound's two events, in order of time.
        scene: What surrounds them.
    """

    seen: tuple[Event, Event]
    heard: tuple[Event, Event]
    scene: Scene


def class_events(spec: DemoSpec) -> dict[str, tuple[str, str]]:
    """Return each class with the kinds of its first and second event.

    Args:
        spec: What the set is like; only ``order_classes`` matters here.

    Returns:
        Ten classes, name -> (first kind, second kind), in a fixed order. A class's label is its
        rank among the sorted names, as for any folder of classes.
    """
    alone = KINDS[:6] if spec.order_classes else KINDS
    classes = {kind: (kind, kind) for kind in alone}
    if spec.order_classes:
        for one, other in (KINDS[6:8], KINDS[8:10]):
            classes[f"{one}_then_{other}"] = (one, other)
            classes[f"{other}_then_{one}"] = (other, one)
    return classes


def plan_clip(spec: DemoSpec, split: str, class_name: str, index: int) -> ClipPlan:
    """Draw one clip.

    The draws depend on (seed, split, class, index) alone, and their distribution not on the class.

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
    return draw_plan(spec, classes[class_name], np.random.default_rng(entropy))


def draw_plan(spec: DemoSpec, kinds: tuple[str, str], rng: np.random.Generator) -> ClipPlan:
    """Draw a clip with events of the given kinds; all draws are independent of the kinds.

    Args:
        spec: What the set is like.
        kinds: Kinds of the first and of the second event.
        rng: Source of the draws.

    Returns:
        The plan of the clip.
    """
    times, times_apart = _draw_times(spec, rng), _draw_times(spec, rng)
    (tempo, size), (tempo_apart, size_apart) = _draw_instance(spec, rng), _draw_instance(spec, rng)
    x, y = rng.uniform(0.36, 0.64, 2) if spec.nuisance_space else (0.5, 0.5)
    directions = rng.choice((-1, 1), 2)
    seeds = rng.integers(0, 2**31, 2)
    seen = tuple(
        Event(
            kind=kinds[i],
            start_sec=times[i][0],
            duration_sec=times[i][1],
            tempo_hz=tempo,
            size=size,
            centre=(float(x), float(y)),
            direction=int(directions[i]),
            seed=int(seeds[i]),
        )
        for i in (0, 1)
    )
    heard = seen
    if not spec.sync:
        heard = tuple(
            replace(event, start_sec=start, duration_sec=duration)
            for event, (start, duration) in zip(heard, times_apart, strict=True)
        )
    if not spec.shared_instance:
        heard = tuple(replace(event, tempo_hz=tempo_apart, size=size_apart) for event in heard)
    return ClipPlan((seen[0], seen[1]), (heard[0], heard[1]), _draw_scene(spec, rng))


def _draw_times(spec: DemoSpec, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw start and duration, in seconds, of two events that follow each other."""
    durations = rng.uniform(_SHORTEST_SEC, _LONGEST_SEC, 2)
    shares = rng.dirichlet((1.0, 1.0, 1.0))  # of the spare time: before, between, after
    if not spec.nuisance_time:
        durations[:], shares[:] = 0.5 * (_SHORTEST_SEC + _LONGEST_SEC), 1 / 3
    spare = _LAST_SEC - _FIRST_SEC - _SHORTEST_GAP_SEC - durations.sum()
    first = _FIRST_SEC + spare * shares[0]
    second = first + durations[0] + _SHORTEST_GAP_SEC + spare * shares[1]
    return [(float(first), float(durations[0])), (float(second), float(durations[1]))]


def _draw_instance(spec: DemoSpec, rng: np.random.Generator) -> tuple[float, float]:
    """Draw tempo (Hz) and size (0 to 1) of a clip's events."""
    tempo, size = rng.uniform(1.0, 2.2), rng.uniform(0.0, 1.0)
    return (
        float(tempo) if spec.nuisance_time else 1.6,
        float(size) if spec.nuisance_space else 0.5,
    )


def _draw_scene(spec: DemoSpec, rng: np.random.Generator) -> Scene:
    """Draw colours, background, loudness and noise of a clip."""
    colour = rng.uniform(105, 150) + rng.uniform(-20, 20, 3)
    tint = rng.uniform(0.3, 1.0, 3)
    contrast, texture, flicker, distractor = rng.uniform((55, 4, 1, 20), (75, 10, 3, 40))
    grain, loudness, noise_share = rng.uniform((1, 0.05, 0.03), (3, 0.2, 0.12))
    seed = int(rng.integers(0, 2**31))
    if not spec.nuisance_colour:
        colour[:], tint[:], contrast = 127.0, 1.0, 60.0
    if not spec.nuisance_background:
        texture = flicker = distractor = 0.0
    if not spec.noise:
        grain, loudness, noise_share = 0.0, 0.1, 0.0
    tint = tint / tint.max()
    return Scene(
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        contrast=float(contrast),
        texture=float(texture),
        flicker=float(flicker),
        distractor=float(distractor),
        grain=float(grain),
        loudness=float(loudness),
        noise=float(loudness * noise_share),
        seed=seed,
    )
