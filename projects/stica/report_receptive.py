#!/usr/bin/env python3
r"""How much of a feature crop depends on pixels outside it, for each backbone.

    python projects/stica/report_receptive.py --out docs/evidence/receptive

The gradient of a crop's average feature, along a random direction, is taken with respect to the
clip, at the sizes of the backbone's pretraining YAML (C2D-18: of when_words.yaml) and on clips of
the demo set. Reported are the share of its squared norm on pixels outside the crop, and the share
of outside pixels where it is not zero. An input crop has 0 in both. Weights are random, others for
each clip: this is what the architecture allows; trained weights may use less or more of it. All
families get the same kind of weights, since some start with zeros in the last norms of their
blocks, or with identities in time, and would seem to see less. Written are OUT.json,
OUT.md and OUT.png.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.config import load_config
from slowfast.datasets.loader import construct_eval_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.models.build import BACKBONE_REGISTRY, FEATURE_AUG_REGISTRY
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

_C2D = (
    *("MODEL.ARCH", "c2d_nopool", "RESNET.DEPTH", "18", "RESNET.TRANS_FUNC", "basic_transform"),
    *("RESNET.SPATIAL_STRIDES", "[[1], [2], [1], [1]]", "DATA.NUM_FRAMES", "10"),
)
BACKBONES: dict[str, tuple[str, ...]] = {
    "R(2+1)D-18": ("R2plus1D_pretrain.yaml",),
    "R3D-18": ("R3D_pretrain.yaml",),
    "C3D": ("C3D_pretrain.yaml",),
    "S3D": ("S3D_pretrain.yaml",),
    "X3D-M": ("X3D_M_pretrain.yaml",),
    "Slow-R50": ("SLOW_R50_pretrain.yaml",),
    "SlowFast-R50": ("SLOWFAST_R50_pretrain.yaml",),
    "C2D-18": ("small_pretrain.yaml", *_C2D),
}
"""Title -> a pretraining YAML, and overrides."""
KINDS = {
    "space_large": "large in space",
    "space_small": "small in space",
    "time_large": "large in time",
    "time_small": "small in time",
}
SEED = 0


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python projects/stica/report_receptive.py --backbones C3D R3D-18 "
        "--out output/receptive",
    )
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--clips", type=int, default=4, help="2 to 10; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json, .md and .png")
    parser.add_argument(
        "words", nargs="*", metavar="KEY VALUE", help="overrides of the YAML files, after --"
    )
    args = parser.parse_args()
    if not 2 <= args.clips <= 10:
        parser.error(f"--clips: got {args.clips}; expected 2 to 10 (the demo set has 10 classes).")
    results: dict[str, Any] = {}
    for name in args.backbones:
        yaml, *words = BACKBONES[name]
        results[name] = measure(yaml, [*words, *args.words], args.clips)
        sys.stderr.write(f"{name}: measured\n")
    content = {"clips": args.clips, "seed": SEED, "weights": "random", "results": results}
    write_report(args.out, table(results), content=content, plot=lambda path: plot(results, path))
    return 0


def measure(yaml: str, words: Sequence[str], clips: int) -> dict[str, Any]:
    """Measure one backbone on clips of the demo set, at the size of its YAML.

    Args:
        yaml: Its pretraining YAML.
        words: ``KEY VALUE ...``, overrides.
        clips: Number of clips.

    Returns:
        Size of the clips, and for each kind of crop, per clip: ``area``, the share of the clip's
        pixels outside the crop; ``energy``, the share of the squared gradient there; ``reach``, the
        share of the outside pixels with a gradient.
    """
    ones = [w for kind in KINDS for w in (f"FEATURE_CROP.{kind.upper()}.NUM", "1")]
    demo = ["DATA.DEMO_CFG", "", "TEST.DATASET", "demo"]
    demo += ["DEMO_SET.NUM_TRAIN_PER_CLASS", "1", "DEMO_SET.NUM_TEST_PER_CLASS", "1"]
    own = ["NUM_GPUS", "0", "DATA_LOADER.NUM_WORKERS", "0", "TEST.BATCH_SIZE", "1"]
    cfg = load_config(f"configs/StiCA/{yaml}", [*ones, *demo, *own, *words]).cfg
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
    prepare = build_preprocess(cfg, train=False)
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    size: list[int] = []
    for index, batch in enumerate(construct_eval_loader(cfg, "test")):
        if index == clips:
            break
        video = prepare(batch)["video"].flatten(0, 1)[:1]
        size = list(video.shape[2:])
        randomize(backbone, video, SEED + index)
        for kind, shares in outside_shares(cfg, backbone, video, index).items():
            found[kind].append(shares)
    return {"size": size, "crops": found}


def randomize(backbone: nn.Module, video: Tensor, seed: int) -> None:
    """Sample convolutions from He et al.'s normal distribution; norms normalize, and no more.

    Args:
        backbone: Modified in place; left in evaluation mode.
        video: float (B, 3, T, H, W), the clips whose statistics the norms use.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, _BatchNorm):
            module.reset_parameters()
            module.momentum = 1.0
    with torch.no_grad():
        backbone.train()(video)
    backbone.eval()


def outside_shares(
    cfg: CfgNode, backbone: nn.Module, video: Tensor, seed: int
) -> dict[str, dict[str, float]]:
    """Measure what one crop of each kind sees outside itself.

    Args:
        cfg: Read: FEATURE_CROP, with one crop of each kind.
        backbone: In evaluation mode.
        video: float (1, 3, T, H, W).
        seed: Of the positions of the crops and of the directions.

    Returns:
        Kind -> ``area``, ``energy`` and ``reach``, each 0 to 1; see ``measure``.
    """
    video = video.clone().requires_grad_()
    maps = backbone(video).maps
    crops = FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
    seeds = torch.tensor([seed])
    groups, regions = crops(maps, seeds), crops.regions(maps, seeds)
    generator = torch.Generator().manual_seed(seed)
    places = [(group, slot) for group in groups for slot in range(len(group.names))]
    shares = {}
    for (group, slot), extent in zip(places, regions.extent[0], strict=True):
        value = torch.zeros(())
        for tokens in group.tokens:
            direction = torch.randn(tokens.values.shape[-1], generator=generator)
            kept = tokens.values[slot][tokens.mask[slot]]  # (L, C); one clip: row = slot
            value = value + kept.mean(dim=0) @ direction
        (gradient,) = torch.autograd.grad(value, video, retain_graph=True)
        energy = gradient[0].double().square().sum(dim=0)  # (T, H, W)
        inside = torch.zeros(energy.shape, dtype=torch.bool)
        bounds = [
            slice(round(float(low) * n), round(float(high) * n))
            for (low, high), n in zip(extent, energy.shape, strict=True)
        ]
        inside[tuple(bounds)] = True
        outside = energy[~inside]
        shares[group.names[slot].rsplit("_", 1)[0]] = {
            "area": float((~inside).double().mean()),
            "energy": float(outside.sum() / energy.sum()),
            "reach": float((outside > 0).double().mean()),
        }
    return shares


def table(results: Mapping[str, Any]) -> str:
    """Tabulate the shares with 95 % Student t intervals over clips, in Markdown."""
    lines = [
        "| backbone | clip | crop | pixels outside | squared gradient outside | 95 % interval "
        "| outside pixels with a gradient |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for name, found in results.items():
        for kind, title in KINDS.items():
            area, energy, reach = (
                mean_interval([100 * shares[key] for shares in found["crops"][kind]])
                for key in ("area", "energy", "reach")
            )
            size = " x ".join(map(str, found["size"]))
            lines.append(
                f"| {name} | {size} | {title} | {area.mean:.0f} % | {energy.mean:.1f} % "
                f"| {max(energy.low, 0):.1f} to {min(energy.high, 100):.1f} | {reach.mean:.0f} % |"
            )
    return "\n".join(lines) + "\n"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Plot the share of the squared gradient outside each kind of crop."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 1 + 0.6 * len(results)), constrained_layout=True)
    for number, (kind, title) in enumerate(KINDS.items()):
        rows = [row + 0.18 * (number - 1.5) for row in range(len(results))]
        intervals = [
            mean_interval([100 * shares["energy"] for shares in found["crops"][kind]])
            for found in results.values()
        ]
        means = [interval.mean for interval in intervals]
        half = [interval.high - interval.mean for interval in intervals]
        (marker, *_) = axes.errorbar(means, rows, xerr=half, fmt="o", capsize=3, label=title)
        areas = [
            100 * sum(shares["area"] for shares in found["crops"][kind]) / len(found["crops"][kind])
            for found in results.values()
        ]
        axes.plot(areas, rows, "|", markersize=11, markeredgewidth=2, color=marker.get_color())
    axes.plot([], [], "|", color="gray", label="share of pixels outside")
    axes.set_yticks(range(len(results)), list(results))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_xlabel("squared gradient on pixels outside the crop, %, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
