"""What crops cost in a training step: N feature crops against N input crops, in time and memory.

A feature crop is cut from the map of the one pass through the backbone; an input crop is one more
pass, over a small (4/7 of the side) or a full clip, pooled and projected by the same modules. The
ways alternate within each round, between two steps without crops, so that ratios hold even where
the machine's speed wanders. Also measured: which share of a step each part takes. Clips are
reduced so that all of it takes a few minutes on two cores; ``--full`` takes those of the configs.

    python benchmarks/bench_crop_cost.py [--device cuda --full] [KEY VALUE ...]

Writes ``results/crop_cost.json``, and next to it the same as ``.png`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crop_cost.cases import BACKBONES, COUNTS, Backbone, Setting, Step, list_ways
from crop_cost.measure import MEMORY_METHOD, compare
from crop_cost.report import plot, write_table
from crop_cost.shares import measure_shares
from stica.config import CROP_KINDS

from slowfast.config import load_config
from slowfast.utils.env import describe_environment

OUT = Path(__file__).parent / "results" / "crop_cost.json"
QUICK_OUT = Path("output") / "bench" / "crop_cost.json"
QUICK_SIDE, QUICK_COUNTS = 64, (1, 2)
QUICK_OVERRIDES = ("RESNET.WIDTH_PER_GROUP", "8")


def main() -> None:
    """Measure, print, write."""
    args = parse_arguments()
    counts = QUICK_COUNTS if args.quick else tuple(COUNTS)
    results, setting = {}, None
    for name in args.backbones.split(","):
        setting = make_setting(BACKBONES[name], args)
        results[name] = measure(BACKBONES[name].title, setting, counts, args.repeats)
    content = {
        "environment": describe_environment() | {"date": datetime.now(UTC).isoformat()},
        "setting": describe(setting, args),
        "results": results,
    }
    out = args.out or (QUICK_OUT if args.quick else OUT)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot(content, out.with_suffix(".png"))
    write_table(content, out.with_suffix(".md"))
    print(out.with_suffix(".md").read_text(encoding="utf-8"))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backbones", default="R2plus1D,SLOW_R50", help=", ".join(BACKBONES))
    parser.add_argument("--batch", type=int, default=2, help="clips of a step, at least 2")
    parser.add_argument("--side", type=int, default=0, help="of the frames, in pixels")
    parser.add_argument("--frames", type=int, default=0, help="of a clip")
    parser.add_argument("--full", action="store_true", help="clips as large as in the configs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="seconds: tiny models, few crops")
    parser.add_argument("--out", type=Path, help="the JSON; .png and .md are written next to it")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="of the configs")
    args = parser.parse_intermixed_args()
    unknown = set(args.backbones.split(",")) - set(BACKBONES)
    if unknown:
        parser.error(f"--backbones: unknown {', '.join(unknown)}; known: {', '.join(BACKBONES)}")
    if args.batch < 2:
        parser.error("--batch: batch norm and the loss compare clips, so at least 2 are needed")
    return args


def make_setting(backbone: Backbone, args: argparse.Namespace) -> Setting:
    """Decide on the size of the clips."""
    frames, side, overrides = backbone.frames, backbone.side, tuple(args.overrides)
    if args.quick:
        side, overrides = QUICK_SIDE, (*QUICK_OVERRIDES, *overrides)
    if args.full:
        data = load_config(backbone.config, ["DATA.DEMO_CFG", ""]).cfg.DATA
        frames, side = data.NUM_FRAMES, data.TRAIN_CROP_SIZE
    return Setting(
        backbone.config,
        args.frames or frames,
        args.side or side,
        args.batch,
        args.device,
        args.threads,
        overrides,
    )


def measure(title: str, setting: Setting, counts: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Measure one backbone."""
    print(f"{title}: {setting.frames} frames of {setting.side} pixels ...", flush=True)
    step = Step(setting)
    return {
        "title": title,
        "config": setting.config,
        "frames": setting.frames,
        "side": setting.side,
        "rows": compare(step, list_ways(counts, setting.side), repeats),
        "shares": measure_shares(step, repeats),
    }


def describe(setting: Setting, args: argparse.Namespace) -> dict[str, Any]:
    """Say what was measured, for the JSON."""
    cfg = load_config(setting.config, ["DATA.DEMO_CFG", "", *setting.overrides]).cfg
    return {
        "device": setting.device,
        "threads": setting.threads,
        "batch": setting.batch,
        "views": cfg.DATA.TRAIN_CROP_NUM_SPATIAL,
        "pooling": cfg.MODEL.POOLING,
        "mixed_precision": cfg.TRAIN.MIXED_PRECISION,
        "overrides": list(setting.overrides),
        "crops": {
            str(number): dict(zip(CROP_KINDS, kinds, strict=True))
            for number, kinds in COUNTS.items()
        },
        "measured": "forward, loss and backward of prepared clips that lie on the device; wall ms. "
        "Input crops are cut before the step.",
        "memory": MEMORY_METHOD[setting.device],
        "repeats": args.repeats,
        "quick": args.quick,
    }


if __name__ == "__main__":
    main()
