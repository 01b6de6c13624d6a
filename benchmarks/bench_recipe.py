"""Cost of MViT's recipe next to plain augmentation: RandAugment, random erasing, mixup.

Per clip in a data worker, from the same decoded frames: crop and flip alone, color jitter and blur
of contrastive learning, and the recipe; then each operation of RandAugment. Per batch on the
device: normalization, and mixup after it. One process, one thread, interleaved, so that ratios
hold where the machine's speed varies. Measured as process time. Writes ``results/recipe.json``.

    python benchmarks/bench_recipe.py [--repeats 30] [--quick] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_augment import cpu_ms, environment, summary, time_call

from slowfast.config import CfgNode, get_cfg
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views.clip_operations import OPERATIONS, ClipOperation, apply_operations
from slowfast.datasets.views.functional import use_one_thread
from slowfast.datasets.views.transform import TrainTransform, build_train_transform

OUT = Path(__file__).parent / "results" / "recipe.json"
CLIP, SIZE = (16, 256, 340, 3), 224
QUICK_CLIP, QUICK_SIZE = (4, 64, 84, 3), 56
BATCH = 4
MVIT = {
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333],
}
CONTRASTIVE = {"DATA.SSL_COLOR_JITTER": True, "DATA.SSL_MOCOV2_AUG": True}
RAND = {"AUG.ENABLE": True, "AUG.AA_TYPE": "rand-m7-n4-mstd0.5-inc1", "AUG.RE_PROB": 0.0}
ERASING = {"AUG.ENABLE": True, "AUG.AA_TYPE": "", "AUG.COLOR_JITTER": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "crop_and_flip": {},
    "color_jitter_and_blur": CONTRASTIVE,
    "rand_augment": RAND,
    "random_erasing": ERASING,
    "recipe": {**RAND, "AUG.RE_PROB": 0.25},
    "recipe_bilinear": {**RAND, "AUG.RE_PROB": 0.25, "AUG.INTERPOLATION": "bilinear"},
}
# A parameter of each operation that takes all of its code.
PARAMETERS = {"Posterize": 3, "Solarize": 128, "SolarizeAdd": 50, "Rotate": 15.0}
OTHER_PARAMETER = 0.3


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="seconds: small frames, few repeats")
    parser.add_argument("--out", type=Path, help=f"default: {OUT.name}, unless --quick")
    args = parser.parse_args()
    use_one_thread()
    torch.set_num_threads(1)
    shape, size = (QUICK_CLIP, QUICK_SIZE) if args.quick else (CLIP, SIZE)
    repeats = min(args.repeats, 3) if args.quick else args.repeats
    frames = make_frames(shape)
    result = {
        "environment": environment(),
        "setting": {
            "frames": list(shape),
            "crop": size,
            "batch": BATCH,
            "repeats": repeats,
            "unit": "process ms per clip in a worker, per batch on the device",
        },
        "worker": compare_transforms(frames, size, repeats),
        "operations": measure_operations(frames, repeats),
        "device": compare_batches(shape[0], size, repeats),
    }
    out = args.out or (None if args.quick else OUT)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def make_frames(shape: tuple[int, ...]) -> np.ndarray:
    """Make a moving image with the spectrum of natural ones (amplitude ~ 1 / frequency)."""
    count, height, width, _ = shape
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    image = np.fft.irfft2(phase / np.maximum(frequency, 1 / width), s=(height, width))
    still = (128 + 50 * image / image.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.stack([np.roll(still, 2 * t, axis=1) for t in range(count)])


def transform_of(size: int, settings: dict[str, Any]) -> TrainTransform:
    """Build a training transform from settings of DATA and AUG."""
    cfg = configure({**MVIT, "DATA.TRAIN_CROP_SIZE": size, **settings})
    return build_train_transform(cfg)


def configure(settings: dict[str, Any]) -> CfgNode:
    """Return the default configuration with some values."""
    cfg = get_cfg()
    cfg.merge_from_list([word for pair in settings.items() for word in pair])
    return cfg


def interleaved(calls: dict[str, Callable[[int], object]], repeats: int) -> dict[str, Any]:
    """Time calls in turn, after a warm-up; each gets the number of the round.

    Returns:
        The times of each, and the ratio of its mean to that of the first.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-1, repeats):
        for name, call in calls.items():
            elapsed = cpu_ms(lambda call=call, number=number: call(max(number, 0)))
            if number >= 0:
                times[name].append(elapsed)
    first = statistics.mean(next(iter(times.values())))
    base = next(iter(times))
    return {
        name: {**summary(values), f"ratio_to_{base}": round(statistics.mean(values) / first, 2)}
        for name, values in times.items()
    }


def compare_transforms(frames: np.ndarray, size: int, repeats: int) -> dict[str, Any]:
    """Time whole transforms of one clip."""
    transforms = {name: transform_of(size, settings) for name, settings in SETTINGS.items()}
    return interleaved(
        {
            name: lambda number, transform=transform: transform(
                frames, np.random.default_rng(number)
            )
            for name, transform in transforms.items()
        },
        repeats,
    )


def measure_operations(frames: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Time each operation of RandAugment on one clip, geometric ones with cubic interpolation."""
    return {
        name: time_call(
            lambda name=name: apply_operations(
                frames,
                (ClipOperation(name, PARAMETERS.get(name, OTHER_PARAMETER), True),),
            ),
            repeats,
        )
        for name in OPERATIONS
    }


def compare_batches(num_frames: int, size: int, repeats: int) -> dict[str, Any]:
    """Time the preprocessing of a batch on the CPU, without and with mixup and cutmix."""
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (BATCH, 1, num_frames, size, size, 3), dtype=np.uint8)
    batch = {"video": torch.from_numpy(video), "label": torch.arange(BATCH)}
    mix = {"MIXUP.ENABLE": True}
    prepared = {
        "normalize": build_preprocess(configure({}), train=True),
        "mixup": build_preprocess(configure({**mix, "MIXUP.CUTMIX_ALPHA": 0.0}), True, mix=True),
        "cutmix": build_preprocess(configure({**mix, "MIXUP.ALPHA": 0.0}), True, mix=True),
    }
    return interleaved(
        {
            name: lambda number, prepare=prepare: prepare(
                {**batch, "aug_seed": torch.arange(BATCH) + number}
            )
            for name, prepare in prepared.items()
        },
        repeats,
    )


if __name__ == "__main__":
    main()
