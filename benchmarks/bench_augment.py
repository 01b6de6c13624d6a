"""What augmentation costs: the uint8 pipeline against the same thing in float torch.

Both make the two views of a sample (decoded frames in, crops out) from the same sampled parameters,
in one process, on one thread, interleaved, so that the ratio holds even where the machine's speed
wanders. Measured as process time; a few seconds in all. Writes ``results/augment.json``.

    python benchmarks/bench_augment.py [--repeats 15]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import harness
import numpy as np
import torch
from peers.float_views import float_view
from torch import Tensor
from torch.nn import functional as F

from slowfast.datasets.preprocess.batch import VideoPreprocess
from slowfast.datasets.views import functional as view_module
from slowfast.datasets.views.color import ColorJitter, ColorParams, color_matrix
from slowfast.datasets.views.crop import Box, RandomResizedCrop
from slowfast.datasets.views.functional import (
    Blur,
    ViewParams,
    apply_view,
    crop_resize,
    use_one_thread,
)
from slowfast.datasets.views.transform import TrainTransform

OUT = harness.RESULTS / "augment.json"
NUM_FRAMES, HEIGHT, WIDTH, SIZE, VIEWS = 30, 144, 192, 112, 2
MOST_DIFFERENT = 2.0  # gray levels; the resizers differ by about 1


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    use_one_thread()
    torch.set_num_threads(1)
    repeats = 2 if args.tiny else args.repeats
    frames = make_frames((NUM_FRAMES, HEIGHT, WIDTH, 3))
    samples = [sample_views(seed) for seed in range(repeats)]
    times, difference = compare_pipelines(frames, samples)
    ms, sharp = harness.medians(times), f"{difference:.2f} gray levels apart on average"
    what = f"both views of {NUM_FRAMES} frames, {WIDTH}x{HEIGHT} to {SIZE}"
    peer = {"peer": ms["float_torch"], "peer_name": "float torch, step by step"}
    rows = [
        harness.row(f"{what}, uint8 as sent", ms["uint8"], unit="CPU ms", why=sharp, **peer),
        harness.row(
            f"{what}, normalized", ms["uint8_and_normalize"], unit="CPU ms", why=sharp, **peer
        ),
    ]
    setting = {
        "frames": [NUM_FRAMES, HEIGHT, WIDTH, 3],
        "views": VIEWS,
        "crop": SIZE,
        "repeats": repeats,
        "threads": 1,
        "unit": "process ms per sample (both views)",
    }
    return harness.write_result(
        args.out or (None if args.tiny else OUT),
        setting,
        rows,
        pipelines={name: summary(values) for name, values in times.items()},
        mean_difference_in_gray_levels=difference,
        steps=measure_steps(frames, repeats),
        interpolation=compare_interpolations(frames, repeats),
    )


def make_frames(shape: tuple[int, ...]) -> np.ndarray:
    """Make a moving image with the spectrum of natural ones (amplitude ~ 1 / frequency)."""
    count, height, width, _ = shape
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    image = np.fft.irfft2(phase / np.maximum(frequency, 1 / width), s=(height, width))
    still = (128 + 50 * image / image.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.stack([np.roll(still, 2 * t, axis=1) for t in range(count)])


def sample_views(seed: int) -> list[ViewParams]:
    """Sample both views of a sample with StiCA's settings."""
    transform = TrainTransform(
        RandomResizedCrop(scale=(0.14, 1.0), aspect=(3 / 4, 4 / 3)),
        size=SIZE,
        color=ColorJitter(
            brightness=0.4, contrast=0.4, saturation=0.4, jitter_prob=0.8, gray_prob=0.2
        ),
        blur=Blur(sigma=(0.1, 2.0), prob=0.5),
    )
    rng = np.random.default_rng(seed)
    return [transform.sample(HEIGHT, WIDTH, rng) for _ in range(VIEWS)]


def compare_pipelines(
    frames: np.ndarray, samples: list[list[ViewParams]]
) -> tuple[dict[str, list[float]], float]:
    """Time whole samples, side by side, having compared their pixels.

    Returns:
        CPU ms of each way, and the mean difference of the pixels in gray levels.

    Raises:
        AssertionError: If the pixels differ by more than resizing and rounding.
    """
    to_float = VideoPreprocess(mean=[0.45] * 3, std=[0.225] * 3)

    def ours(sample: list[ViewParams]) -> np.ndarray:
        return np.stack([apply_view(frames, params, SIZE) for params in sample])

    def ours_normalized(sample: list[ViewParams]) -> Tensor:
        return to_float(torch.from_numpy(ours(sample))[None])[0]

    def naive(sample: list[ViewParams]) -> Tensor:
        return torch.stack([float_view(frames, params, SIZE) for params in sample])

    errors = [(ours_normalized(s) - naive(s)).abs().mean().item() for s in samples]
    difference = round(statistics.mean(errors) * 0.225 * 255, 3)
    if difference > MOST_DIFFERENT:
        raise AssertionError(f"pixels differ by {difference} gray levels on average")
    ways = {"uint8": ours, "uint8_and_normalize": ours_normalized, "float_torch": naive}
    turns = {name: itertools.cycle(samples) for name in ways}
    calls = {name: lambda name=name: ways[name](next(turns[name])) for name in ways}
    return harness.interleave(calls, len(samples)), difference


def measure_steps(frames: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Time the steps of ONE view when each of them is on."""
    view = crop_resize(frames, Box(0, 0, 100, 100), SIZE, SIZE)
    tall = view.reshape(-1, SIZE, 3)
    matrix = color_matrix(ColorParams(1.1, 0.9, 1.2, 0.05), np.full(3, 128.0))
    steps: dict[str, Callable[[], object]] = {
        "enlarge 100 to 112": lambda: crop_resize(frames, Box(0, 0, 100, 100), SIZE, SIZE),
        "shrink 144 to 112": lambda: crop_resize(frames, Box(0, 0, 144, 144), SIZE, SIZE),
        "color matrix": lambda: cv2.transform(tall, matrix, dst=tall),
        "flip": lambda: cv2.flip(tall, 1, dst=tall),
        "blur sigma 2": lambda: apply_view(
            view, ViewParams(Box(0, 0, SIZE, SIZE), blur_sigma=2.0), SIZE
        ),
        "blur sigma 2, cv2.GaussianBlur": lambda: [
            cv2.GaussianBlur(f, (13, 13), 2.0) for f in view
        ],
    }
    return {name: time_call(step, repeats) for name, step in steps.items()}


def compare_interpolations(frames: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Compare AREA and LINEAR by time and by distance to torch's antialiased resize."""
    table = {}
    for side in (100, 120, 144):
        crop = np.ascontiguousarray(frames[:, :side, :side])
        for size in (112, 64):
            exact = F.interpolate(
                torch.from_numpy(crop).permute(0, 3, 1, 2).float(), size=(size, size),
                mode="bilinear", antialias=True,
            ).permute(0, 2, 3, 1)  # fmt: skip
            for name, factor in (("AREA", 0.0), ("LINEAR", np.inf)):
                table[f"{side} to {size}, {name}"] = with_threshold(
                    factor, crop, size, exact, repeats
                )
    return table


def with_threshold(
    factor: float, crop: np.ndarray, size: int, exact: Tensor, repeats: int
) -> dict[str, float]:
    """Resize with the choice of interpolation forced one way."""
    kept = view_module.AREA_FROM_FACTOR
    view_module.AREA_FROM_FACTOR = factor
    try:
        box = Box(0, 0, *crop.shape[1:3])
        row = time_call(lambda: crop_resize(crop, box, size, size), repeats)
        difference = torch.from_numpy(crop_resize(crop, box, size, size)) - exact
    finally:
        view_module.AREA_FROM_FACTOR = kept
    return {**row, "mean_error_in_gray_levels": round(difference.abs().mean().item(), 3)}


def time_call(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Time one call, after a warm-up."""
    call()
    return summary([cpu_ms(call) for _ in range(repeats)])


def cpu_ms(call: Callable[[], object]) -> float:
    """Return the process time of a call in milliseconds."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def summary(times: list[float]) -> dict[str, float]:
    """Summarize times in milliseconds."""
    return {
        "min_ms": round(min(times), 2),
        "median_ms": round(statistics.median(times), 2),
        "mean_ms": round(statistics.mean(times), 2),
    }


if __name__ == "__main__":
    main()
