"""What augmentation costs: the uint8 pipeline against the same thing in float torch.

Both make the two views of a sample (decoded frames in, crops out) from the same sampled parameters,
in one process, on one thread, interleaved, so that the ratio holds even where the machine's speed
wanders. Measured as process time; a few seconds in all. Writes ``results/augment.json``.

    python benchmarks/bench_augment.py [--repeats 15] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
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

OUT = Path(__file__).parent / "results" / "augment.json"
NUM_FRAMES, HEIGHT, WIDTH, SIZE, VIEWS = 30, 144, 192, 112, 2


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    use_one_thread()
    torch.set_num_threads(1)
    frames = make_frames()
    samples = [sample_views(seed) for seed in range(args.repeats)]
    result = {
        "environment": environment(),
        "setting": {
            "frames": [NUM_FRAMES, HEIGHT, WIDTH, 3],
            "views": VIEWS,
            "crop": SIZE,
            "repeats": args.repeats,
            "unit": "process ms per sample (both views)",
        },
        "pipelines": compare_pipelines(frames, samples),
        "steps": measure_steps(frames, args.repeats),
        "interpolation": compare_interpolations(frames, args.repeats),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def environment() -> dict[str, str | int]:
    """Describe the machine and the libraries."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "processor": cpu_name(),
        "cpus": os.cpu_count() or 0,
        "threads": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "torch": torch.__version__,
    }


def cpu_name() -> str:
    """Read the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def make_frames() -> np.ndarray:
    """Make a moving image with the spectrum of natural ones (amplitude ~ 1 / frequency)."""
    rng = np.random.default_rng(0)
    fy, fx = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    envelope = 1 / np.maximum(np.hypot(fy, fx), 1 / WIDTH)
    phase = np.exp(2j * np.pi * rng.random((3, HEIGHT, WIDTH // 2 + 1)))
    frame = np.fft.irfft2(envelope * phase, s=(HEIGHT, WIDTH)).transpose(1, 2, 0)
    frame = 128 + 50 * frame / frame.std()
    still = np.clip(frame, 0, 255).astype(np.uint8)
    return np.stack([np.roll(still, 2 * t, axis=1) for t in range(NUM_FRAMES)])


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
) -> dict[str, dict[str, float] | float]:
    """Time whole samples, side by side, and say how far apart the pixels are."""
    to_float = VideoPreprocess(mean=[0.45] * 3, std=[0.225] * 3)

    def ours(sample: list[ViewParams]) -> np.ndarray:
        return np.stack([apply_view(frames, params, SIZE) for params in sample])

    def ours_normalized(sample: list[ViewParams]) -> Tensor:
        return to_float(torch.from_numpy(ours(sample))[None])[0]

    def naive(sample: list[ViewParams]) -> Tensor:
        return torch.stack([float_view(frames, params, SIZE) for params in sample])

    calls = {"uint8": ours, "uint8_and_normalize": ours_normalized, "float_torch": naive}
    times: dict[str, list[float]] = {name: [] for name in calls}
    errors = []
    for number, sample in enumerate([samples[0], *samples]):
        for name, call in calls.items():
            elapsed = cpu_ms(lambda call=call, sample=sample: call(sample))
            if number:  # the first round warms up
                times[name].append(elapsed)
        difference = (ours_normalized(sample) - naive(sample)).abs().mean().item()
        errors.append(difference * 0.225 * 255)
    table: dict[str, dict[str, float] | float] = {k: summary(v) for k, v in times.items()}
    total = {name: sum(values) for name, values in times.items()}
    table["float_torch / uint8"] = round(total["float_torch"] / total["uint8"], 2)
    table["float_torch / uint8_and_normalize"] = round(
        total["float_torch"] / total["uint8_and_normalize"], 2
    )
    table["mean_difference_in_gray_levels"] = round(statistics.mean(errors), 3)
    return table


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
