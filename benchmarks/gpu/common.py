"""What the stages have in common: options, a result that is written row by row, configurations."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
sys.path[:0] = [str(ROOT / "projects" / name) for name in ("stica", "contrastive")]

import harness  # noqa: E402

import slowfast.engine.registrations  # noqa: E402, F401
from slowfast.config import CfgNode, load_config  # noqa: E402
from slowfast.engine.benchmark import NO_OUTPUT, StepTimes, fake_data, measure_steps  # noqa: E402
from slowfast.utils.device_settings import DeviceSettings  # noqa: E402

TINY = (
    "TRAIN.BATCH_SIZE 2 DATA.NUM_FRAMES 16 DATA.TRAIN_CROP_SIZE 48 RESNET.WIDTH_PER_GROUP 4 "
    "AUDIO.WIDTH 4"
).split()
"""A model that a CPU trains in seconds; its feature map can still be cropped."""


def parse_arguments(description: str | None, **more: Any) -> argparse.Namespace:
    """Read the options of a stage.

    Args:
        description: The docstring of the stage.
        more: Further options: name -> arguments of ``add_argument``.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after this time")
    parser.add_argument("--tiny", action="store_true", help="everything in miniature, for tests")
    parser.add_argument("--out", type=Path, required=True, help="the JSON to write")
    for name, settings in more.items():
        parser.add_argument(f"--{name}", **settings)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU: torch.cuda.is_available() is False")
    return args


class Result:
    """A result file that is written after each row, so that a killed stage keeps what it has.

    Args:
        args: Options of the stage.
        setting: What is measured.
    """

    def __init__(self, args: argparse.Namespace, **setting: Any) -> None:
        self._path, self._began, self._seconds = args.out, time.perf_counter(), args.seconds
        self.device = torch.device(args.device)
        name = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
        self._setting = {"device": name, "tiny": args.tiny, **setting}
        self._details: dict[str, Any] = {"finished": False}
        self._rows: list[dict[str, Any]] = []
        self.save()

    @property
    def left(self) -> float:
        """Time that is left, in seconds."""
        return self._seconds - (time.perf_counter() - self._began)

    def add(self, *rows: dict[str, Any], **details: Any) -> None:
        """Add rows and other entries, and write the file."""
        self._rows += rows
        self._details |= details
        for row in rows:
            print(harness.describe_row(row), flush=True)
        self.save()

    def finish(self, skipped: Sequence[str] = ()) -> None:
        """Write the file for the last time.

        Args:
            skipped: What there was no time for.
        """
        self.add(finished=True, skipped=list(skipped))

    def save(self) -> None:
        """Write the file, at once or not at all."""
        content = {
            "environment": harness.describe_machine(),
            "setting": self._setting,
            "rows": self._rows,
            **self._details,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(self._path)


def load_fake(config: str, words: Sequence[str], device: torch.device) -> CfgNode:
    """Load a shipped YAML for training steps on noise.

    Args:
        config: Its name.
        words: ``KEY VALUE ...``.
        device: Where the steps are taken.

    Returns:
        The configuration. OUTPUT_DIR is a folder that does not exist and is not made.
    """
    path, words = str(ROOT / "configs" / config), ["DATA.DEMO_CFG", "", *words]
    keys = NO_OUTPUT | {"NUM_GPUS": int(device.type == "cuda")}
    keys |= {"OUTPUT_DIR": str(Path(tempfile.gettempdir()) / "slowfast-gpu-none")}
    keys |= fake_data(load_config(path, words, validate=False).cfg.TRAIN.DATASET)
    return load_config(path, words, assignments=keys).cfg


def time_steps(
    config: str, words: Sequence[str], device: torch.device, *, steps: int, warm_up: int
) -> StepTimes:
    """Load a YAML, apply its settings of the device, and time training steps."""
    cfg = load_fake(config, words, device)
    DeviceSettings.from_cfg(cfg).apply(device)
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return measure_steps(cfg, device, steps=steps, warm_up=warm_up)


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_call(call: Any, device: torch.device, *, repeats: int, warm_up: int = 2) -> float:
    """Return the median time of a call in seconds; the device is waited for."""
    times = []
    for number in range(-warm_up, repeats):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        if number >= 0:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
