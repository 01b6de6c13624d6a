"""How many clips a second a config trains on this machine, and how long its schedule would take.

Three things are told apart: the device (prepare a decoded batch, forward, loss, backward, optimizer
step; the batch is synthetic and lies on the device), the loader (decode and augment, with the
config's workers; only where there is data), and the schedule: MAX_EPOCH epochs of a given number of
clips, on 1, 8 and 64 devices that would each be as fast as this one alone. Exchanging gradients,
evaluation and checkpoints are not in it. A clip is a sample: all its views and its audio.

    python benchmarks/bench_throughput.py --cfg configs/StiCA/R2plus1D_pretrain.yaml
        [--batch 8] [--demo] [--out FILE] [KEY VALUE ...]

The model is that of the config, not of its demo overlay, unless ``--demo`` is given. The loader is
measured where DATA.PATH_TO_DATA_DIR is set, or with ``--demo``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import CfgNode, UserError, load_config
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.decoding.audio_clip import sec_to_num_samples
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.precision import Precision
from slowfast.models.build import LOSS_REGISTRY, build_model
from slowfast.models.optimizer import construct_optimizer
from slowfast.utils.env import choose_device, describe_environment

DEVICES = (1, 8, 64)
KINETICS_CLIPS = 240_000  # a round number near Kinetics-400's training set; give your own
BATCH = {"cuda": 8, "cpu": 2}  # 8: StiCA's recipe, on each GPU
WARM_UP = {"cuda": 3, "cpu": 1}
MIN_STEPS = 2


def main() -> None:
    """Measure, print, write."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        cfg, device = load(args, folder)
        on_device = measure_device(cfg, device, args.seconds)
        loader = measure_loader(cfg, args.seconds) if args.demo or has_data(cfg) else None
    schedule = estimate(cfg, on_device["clips_per_sec"], args.clips_per_epoch)
    result = {
        "environment": describe_environment() | {"date": datetime.now(UTC).isoformat()},
        "setting": {
            "config": args.cfg,
            "overrides": args.overrides,
            "demo": args.demo,
            "batch": cfg.TRAIN.BATCH_SIZE,
            "views": cfg.DATA.TRAIN_CROP_NUM_SPATIAL,
            "frames": cfg.DATA.NUM_FRAMES,
            "side": cfg.DATA.TRAIN_CROP_SIZE,
        },
        "device": on_device,
        "loader": loader,
        "schedule": schedule,
    }
    print("\n".join(describe(result)))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cfg", default="configs/StiCA/R2plus1D_pretrain.yaml")
    parser.add_argument("--batch", type=int, help="clips of a step on one device (GPU 8, CPU 2)")
    parser.add_argument("--clips-per-epoch", type=int, default=KINETICS_CLIPS)
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, at least")
    parser.add_argument("--demo", action="store_true", help="with the config's demo overlay")
    parser.add_argument("--out", type=Path, help="a JSON to write")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="of the config")
    return parser.parse_intermixed_args()


def load(args: argparse.Namespace, folder: str) -> tuple[CfgNode, torch.device]:
    """Load the config for one device, and say which that is."""
    words = [*([] if args.demo else ["DATA.DEMO_CFG", ""]), *args.overrides]
    device = choose_device(load_config(args.cfg, words).cfg.NUM_GPUS, local_rank=0)
    last: dict[str, Any] = {"OUTPUT_DIR": folder}
    if args.batch or "TRAIN.BATCH_SIZE" not in args.overrides:
        last["TRAIN.BATCH_SIZE"] = args.batch or BATCH[device.type]
    cfg = load_config(args.cfg, words, assignments=last).cfg
    if cfg.NUM_THREADS:
        torch.set_num_threads(cfg.NUM_THREADS)
    return cfg, device


def has_data(cfg: CfgNode) -> bool:
    """Say whether there is something to load."""
    return bool(cfg.DATA.PATH_TO_DATA_DIR)


def measure_device(cfg: CfgNode, device: torch.device, seconds: float) -> dict[str, Any]:
    """Time training steps on a synthetic batch."""
    step = TrainingStep(cfg, device)
    for _ in range(WARM_UP[device.type]):
        step()
    times: list[float] = []
    while len(times) < MIN_STEPS or sum(times) < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    result = {
        "device": str(device),
        "precision": str(step.precision.dtype).removeprefix("torch."),
        "steps": len(times),
        "step_ms_median": round(1000 * median, 2),
        "step_ms_min": round(1000 * min(times), 2),
        "steps_per_sec": round(1 / median, 4),
        "clips_per_sec": round(cfg.TRAIN.BATCH_SIZE / median, 4),
    }
    if device.type == "cuda":
        result["peak_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return result


class TrainingStep:
    """One optimizer step as the trainer takes it, without its data and its records.

    Args:
        cfg: The configuration.
        device: Where to train.
    """

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        torch.manual_seed(0)
        self.cfg, self.device = cfg, device
        self.model: Any = build_model(cfg).to(device).train()
        self.criterion = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)
        self.optimizer = construct_optimizer(self.model, cfg)
        self.precision = Precision.from_cfg(cfg, device)
        self.prepare = build_preprocess(cfg, train=True).to(device)
        self.batch = {name: value.to(device) for name, value in decoded_batch(cfg).items()}

    def __call__(self) -> None:
        """Take the step and wait for it."""
        batch = self.prepare(self.batch)
        with self.precision.autocast():
            outputs = self.model(batch)
            losses = self.criterion(outputs, batch)
        self.precision.scaler.scale(losses["loss"]).backward()
        self.precision.step(
            self.optimizer,
            self.model,
            clip_value=self.cfg.SOLVER.CLIP_GRAD_VAL,
            clip_norm=self.cfg.SOLVER.CLIP_GRAD_L2NORM,
        )
        self.optimizer.zero_grad(set_to_none=True)
        if hasattr(self.model, "after_step"):
            self.model.after_step(outputs, batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def decoded_batch(cfg: CfgNode) -> dict[str, Tensor]:
    """Make a collated batch of noise, as the loader would give it (see DATASET_REGISTRY)."""
    size, side = cfg.TRAIN.BATCH_SIZE, cfg.DATA.TRAIN_CROP_SIZE
    batch = {
        "label": torch.randint(cfg.MODEL.NUM_CLASSES, (size,)),
        "index": torch.arange(size),
        "aug_seed": torch.arange(size),
    }
    dataset = DATASET_REGISTRY.get(cfg.TRAIN.DATASET.lower())
    if not getattr(dataset, "audio_only", False):
        views, frames = cfg.DATA.TRAIN_CROP_NUM_SPATIAL, cfg.DATA.NUM_FRAMES
        shape = (size, views, frames, side, side, 3)
        batch["video"] = torch.randint(256, shape, dtype=torch.uint8)
    if cfg.AUDIO.ENABLE:
        num_samples = sec_to_num_samples(cfg.AUDIO.CLIP_SEC, cfg.AUDIO.SAMPLE_RATE)
        batch["audio"] = 2 * torch.rand(size, 1, num_samples) - 1
        batch["audio_valid"] = torch.ones(size, 1, dtype=torch.bool)
    return batch


def measure_loader(cfg: CfgNode, seconds: float) -> dict[str, Any]:
    """Count the batches that the workers make when nobody keeps them waiting.

    The first batch of every worker is left out: it holds their start.
    """
    loader = construct_train_loader(cfg)
    workers = max(1, cfg.DATA_LOADER.NUM_WORKERS)
    with contextlib.closing(iter(loader)) as batches:
        found = sum(1 for _ in itertools.islice(batches, workers))
        start, made, elapsed = time.perf_counter(), 0, 0.0
        while elapsed < seconds and found == workers:  # fewer: the schedule ends here
            found = sum(1 for _ in itertools.islice(batches, workers))
            made += found
            elapsed = time.perf_counter() - start
    if not made:
        raise SystemExit("the schedule is too short to measure the loader: raise SOLVER.MAX_EPOCH")
    clips_per_sec = made * cfg.TRAIN.BATCH_SIZE / elapsed
    return {
        "workers": cfg.DATA_LOADER.NUM_WORKERS,
        "batches": made,
        "clips_per_sec": round(clips_per_sec, 2),
    }


def estimate(cfg: CfgNode, clips_per_sec: float, clips_per_epoch: int) -> dict[str, Any]:
    """Work out how long the schedule takes at this throughput."""
    hours = cfg.SOLVER.MAX_EPOCH * clips_per_epoch / clips_per_sec / 3600
    return {
        "epochs": cfg.SOLVER.MAX_EPOCH,
        "clips_per_epoch": clips_per_epoch,
        "device_hours": round(hours, 1),
        "hours": {str(count): round(hours / count, 1) for count in DEVICES},
    }


def describe(result: dict[str, Any]) -> list[str]:
    """Put the result into words."""
    setting, device, loader = result["setting"], result["device"], result["loader"]
    schedule = result["schedule"]
    lines = [
        f"{setting['config']}: {setting['batch']} clips a step, {setting['views']} view(s) of "
        f"{setting['frames']} frames of {setting['side']} pixels, {device['precision']}",
        f"device   {device['clips_per_sec']:.2f} clips/s, {device['steps_per_sec']:.3f} steps/s "
        f"({device['device']}, median of {device['steps']} steps)",
    ]
    if loader is None:
        lines.append("loader   not measured: set DATA.PATH_TO_DATA_DIR, or give --demo")
    else:
        enough = loader["clips_per_sec"] / device["clips_per_sec"]
        lines.append(
            f"loader   {loader['clips_per_sec']:.2f} clips/s with {loader['workers']} worker(s): "
            f"enough for {enough:.2g} such device(s)"
        )
    hours = ", ".join(f"{value:,.1f} h on {count}" for count, value in schedule["hours"].items())
    lines.append(
        f"schedule {schedule['epochs']} epochs of {schedule['clips_per_epoch']:,} clips: {hours} "
        "such device(s), if each stays as fast as one alone and the loader keeps up"
    )
    return lines


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
