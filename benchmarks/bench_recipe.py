"""Cost of MViT's recipe next to plain augmentation: RandAugment, random erasing, mixup.

Per clip in a data worker, from the same decoded frames: crop and flip alone, color jitter and blur
of contrastive learning, and the recipe; then each operation of RandAugment against Pillow, whose
results are compared first. Per batch on the device: normalization, and mixup after it. One process,
one thread, interleaved. Measured as process time. Writes ``results/recipe.json``.

    python benchmarks/bench_recipe.py [--repeats 30]
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import torch
from bench_augment import make_frames, summary
from harness import Row
from peers import pillow_operations

from slowfast.config import CfgNode, get_cfg
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views.clip_operations import OPERATIONS, ClipOperation, apply_operations
from slowfast.datasets.views.functional import use_one_thread
from slowfast.datasets.views.transform import TrainTransform, build_train_transform

OUT = harness.RESULTS / "recipe.json"
CLIP, SIZE = (16, 256, 340, 3), 224
TINY_CLIP, TINY_SIZE = (4, 64, 84, 3), 56
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
GEOMETRIC = ("Rotate", "Shear", "Translate")
MOST_DIFFERENT = 3  # gray levels: OpenCV's cubic kernel is not Pillow's


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    use_one_thread()
    torch.set_num_threads(1)
    shape, size = (TINY_CLIP, TINY_SIZE) if args.tiny else (CLIP, SIZE)
    repeats = 3 if args.tiny else args.repeats
    frames = make_frames(shape)
    worker = compare_transforms(frames, size, repeats)
    operations = compare_operations(frames, repeats)
    device = compare_batches(shape[0], size, repeats)
    clip = f"{shape[0]} frames of {shape[2]}x{shape[1]} to {size}"
    batch = f"{BATCH} clips of {shape[0]} frames of {size}"
    setting = {
        "frames": list(shape),
        "crop": size,
        "batch": BATCH,
        "repeats": repeats,
        "threads": 1,
        "unit": "process ms per clip in a worker, per batch on the device",
    }
    return harness.write_result(
        args.out or (None if args.tiny else OUT),
        setting,
        [
            *cost_rows(worker, clip, ("recipe", "recipe_bilinear")),
            *operation_rows(operations, shape),
            *cost_rows(device, f"preparing {batch}", ("mixup", "cutmix")),
        ],
        worker={name: summary(values) for name, values in worker.items()},
        operations={
            name: {way: summary(values) for way, values in ways.items()}
            for name, ways in operations.items()
        },
        device={name: summary(values) for name, values in device.items()},
    )


def cost_rows(times: dict[str, list[float]], what: str, names: Sequence[str]) -> list[Row]:
    """Make rows of mean times, as operations are random, next to that of the first."""
    means = {name: float(np.mean(values)) for name, values in times.items()}
    base = next(iter(times))
    return [
        harness.row(
            f"{what}, {name.replace('_', ' ')}",
            means[name],
            unit="CPU ms",
            why=f"{means[base]:.2f} ms with {base.replace('_', ' ')} alone",
        )
        for name in names
    ]


def operation_rows(
    times: dict[str, dict[str, list[float]]], shape: tuple[int, int, int, int]
) -> list[Row]:
    """Add up the operations that move pixels, and those that do not."""
    rows = []
    for moves, title in ((False, "change colors"), (True, "move pixels")):
        chosen = [name for name in times if name.startswith(GEOMETRIC) == moves]
        ours, pillow = (
            sum(harness.medians(times[name])[way] for name in chosen) for way in ("ours", "pillow")
        )
        rows.append(
            harness.row(
                f"the {len(chosen)} operations of RandAugment that {title}, "
                f"{shape[0]} frames of {shape[2]}x{shape[1]}",
                ours,
                unit="CPU ms",
                peer=pillow,
                peer_name="Pillow, image by image",
            )
        )
    return rows


def transform_of(size: int, settings: dict[str, Any]) -> TrainTransform:
    """Build a training transform from settings of DATA and AUG."""
    cfg = configure({**MVIT, "DATA.TRAIN_CROP_SIZE": size, **settings})
    return build_train_transform(cfg)


def configure(settings: dict[str, Any]) -> CfgNode:
    """Return the default configuration with some values."""
    cfg = get_cfg()
    cfg.merge_from_list([word for pair in settings.items() for word in pair])
    return cfg


def interleave(calls: dict[str, Callable[[int], object]], repeats: int) -> dict[str, list[float]]:
    """Time calls in turn; each gets a number that all calls get equally often."""
    turns = {name: itertools.cycle(range(repeats)) for name in calls}
    numbered = {
        name: lambda name=name, call=call: call(next(turns[name])) for name, call in calls.items()
    }
    return harness.interleave(numbered, repeats)


def compare_transforms(frames: np.ndarray, size: int, repeats: int) -> dict[str, list[float]]:
    """Time whole transforms of one clip."""
    transforms = {name: transform_of(size, settings) for name, settings in SETTINGS.items()}
    return interleave(
        {
            name: lambda number, transform=transform: transform(
                frames, np.random.default_rng(number)
            )
            for name, transform in transforms.items()
        },
        repeats,
    )


def compare_operations(frames: np.ndarray, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Time each operation on one clip, ours and Pillow's.

    Raises:
        AssertionError: If results differ by more than the kernels of cubic interpolation do.
    """
    found = {}
    for name in OPERATIONS:
        value = PARAMETERS.get(name, OTHER_PARAMETER)
        operations = (ClipOperation(name, value, True),)
        calls: dict[str, Callable[[], np.ndarray]] = {
            "ours": functools.partial(apply_operations, frames, operations),
            "pillow": functools.partial(pillow_operations.apply_operation, frames, name, value),
        }
        difference = np.abs(calls["ours"]().astype(int) - calls["pillow"]()).mean()
        if difference > MOST_DIFFERENT * name.startswith(GEOMETRIC) + 0.01:
            raise AssertionError(f"{name}: results differ by {difference:.2f} gray levels")
        found[name] = harness.interleave(calls, repeats)
    return found


def compare_batches(num_frames: int, size: int, repeats: int) -> dict[str, list[float]]:
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
    return interleave(
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
