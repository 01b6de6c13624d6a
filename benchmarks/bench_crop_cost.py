"""What crops cost in a training step: N feature crops against N input crops, in time and memory.

A feature crop is cut from the map of the one pass through the backbone; an input crop is one more
pass, over a small (4/7 of the side) or a full clip, pooled and projected by the same modules. The
ways alternate within each round, between two steps without crops, so that ratios hold even where
the machine's speed wanders. Also measured: which share of a step each part takes. Clips are
reduced so that all of it takes a few minutes on two cores; ``--full`` takes those of the configs.

    python benchmarks/bench_crop_cost.py [--device cuda --full] [KEY VALUE ...]

Writes ``results/crop_cost.json``, and next to it the same as ``.png`` and ``.md``.
``--report-only`` makes rows, image and table again, from the measurements of that file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import harness
import torch
from crop_cost.cases import BACKBONES, COUNTS, Backbone, Setting, Step, list_ways
from crop_cost.measure import MEMORY_METHOD, compare
from crop_cost.report import plot, write_table
from crop_cost.shares import measure_shares
from harness import Row
from stica.config import CROP_KINDS

from slowfast.config import load_config

OUT = harness.RESULTS / "crop_cost.json"
TINY_SIDE, TINY_COUNTS = 64, (1, 2)
TINY_OVERRIDES = ("RESNET.WIDTH_PER_GROUP", "8")


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    args = parse_arguments(words)
    out = args.out or (None if args.tiny else OUT)
    if args.report_only:
        content = json.loads((out or OUT).read_text(encoding="utf-8"))
    else:
        counts = TINY_COUNTS if args.tiny else tuple(COUNTS)
        results, setting = {}, None
        for name in args.backbones.split(","):
            setting = make_setting(BACKBONES[name], args)
            results[name] = measure(BACKBONES[name].title, setting, counts, args.repeats)
        content = {
            "environment": harness.describe_machine(),
            "setting": describe(setting, args),
            "results": results,
        }
    rows = [row for result in content["results"].values() for row in make_rows(result)]
    content = harness.write_result(out, **{**content, "rows": rows})
    if out is not None:
        plot(content, out.with_suffix(".png"))
        write_table(content, out.with_suffix(".md"))
    return content


def make_rows(result: dict[str, Any]) -> list[Row]:
    """Compare the most crops that both ways made, in time and in memory.

    Args:
        result: What ``measure`` returns.
    """
    base, *measured = result["rows"]
    feature = {row["crops"]: row for row in measured if row["source"] == "feature"}
    rows = []
    for side in sorted({row["side"] for row in measured if row["source"] == "input"}):
        same = [row for row in measured if row["source"] == "input" and row["side"] == side]
        peer = max(same, key=lambda row: row["crops"])
        ours = feature[peer["crops"]]
        what = (
            f"step with {peer['crops']} feature crops, {result['title']}, {result['frames']} "
            f"frames of {result['side']} px"
        )
        for name, key, ratio, unit in (
            ("time", "ms_median", "time_ratio", "wall ms"),
            ("memory", "memory_mib", "memory_ratio", "MiB"),
        ):
            rows.append(
                harness.row(
                    f"{what}: {name}",
                    ours[key],
                    unit=unit,
                    peer=peer[key],
                    peer_name=f"input crops of {side} px",
                    why=f"{ours[ratio]:.2f} and {peer[ratio]:.2f} times the step without crops, "
                    f"{base[key]:.0f} {unit}",
                )
            )
    return rows


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
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
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    harness.add_arguments(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="of the configs")
    args = parser.parse_intermixed_args(words)
    unknown = set(args.backbones.split(",")) - set(BACKBONES)
    if unknown:
        parser.error(f"--backbones: unknown {', '.join(unknown)}; known: {', '.join(BACKBONES)}")
    if args.batch < 2:
        parser.error("--batch: batch norm and the loss compare clips, so at least 2 are needed")
    return args


def make_setting(backbone: Backbone, args: argparse.Namespace) -> Setting:
    """Decide on the size of the clips."""
    frames, side, overrides = backbone.frames, backbone.side, tuple(args.overrides)
    if args.tiny:
        side, overrides = TINY_SIDE, (*TINY_OVERRIDES, *overrides)
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
        "gpu": torch.cuda.get_device_name() if setting.device == "cuda" else None,
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
    }


if __name__ == "__main__":
    main()
