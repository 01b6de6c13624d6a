"""What feature crops cost: all crops in a few batched calls against a loop over crops.

Both start from the same feature maps and boxes and end in the same embeddings and gradients
(checked before measuring): average or transformer, projection head, forward and backward. The two
ways alternate in one run, so that their ratio holds even where the machine's speed wanders. Also
measured: crops in time padded to the length of the full map and pooled in one call with the rest.
Writes ``results/crops.json``; less than a minute.

    python benchmarks/bench_crops.py [--repeats 7] [--threads 2] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import stica
import torch
from torch import Tensor

from slowfast.config import get_cfg
from slowfast.models.build import FEATURE_AUG_REGISTRY, HEAD_REGISTRY
from slowfast.models.contracts import CropGroup, Tokens
from slowfast.models.pooling import build_pooling, full_group, pool_groups
from slowfast.utils.env import describe_environment

OUT = Path(__file__).parent / "results" / "crops.json"
BATCH, VIEWS, CHANNELS, STEPS, SIDE = 8, 2, 512, 4, 7


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = {
        "environment": describe_environment() | {"date": datetime.now(UTC).isoformat()},
        "setting": {
            "batch": BATCH,
            "views": VIEWS,
            "map": [CHANNELS, STEPS, SIDE, SIDE],
            "crops_per_view": "2 large + 4 small in space, 2 large + 1 small in time, the full map",
            "measured": "crop + pool + head, forward and backward, wall ms of the full batch",
            "repeats": args.repeats,
        },
        "results": {name: compare(name, args.repeats) for name in ("avg", "transformer")},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["results"], indent=2))


def compare(pooling: str, repeats: int) -> dict[str, dict[str, float]]:
    """Measure all ways of one pooling, interleaved."""
    parts = Parts(pooling)
    ways = {"loop": parts.loop, "batched": parts.batched, "padded": parts.padded}
    expected = [x.clone() for x in parts.run(parts.loop)]
    for name, way in ways.items():  # the first run also warms up
        for a, b in zip(parts.run(way), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=f"{pooling} {name} differs")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            parts.run(way)
            times[name].append(1000 * (time.perf_counter() - start))
    loop = times["loop"]
    return {
        name: {
            "ms_median": round(statistics.median(t), 1),
            "ms_min": round(min(t), 1),
            "times_faster_than_loop": round(
                statistics.median(a / b for a, b in zip(loop, t, strict=True)), 2
            ),
        }
        for name, t in times.items()
    }


class Parts:
    """Crops, pooling and head of the default configuration, without dropout, on random maps."""

    def __init__(self, pooling: str) -> None:
        cfg = get_cfg()
        stica.add_config(cfg)
        cfg.MODEL.POOLING = pooling
        cfg.STICA.HEAD_DROPOUT = 0.0
        # One box for the batch, so that the loop can slice: with a box per sample it is far slower.
        cfg.FEATURE_CROP.PER_SAMPLE = False
        torch.manual_seed(0)
        self.crop = FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
        self.pooling = build_pooling(cfg, SimpleNamespace(out_channels=[CHANNELS]))
        self.head = HEAD_REGISTRY.get("stica_projection")(CHANNELS, cfg.STICA.EMBED_DIM, cfg)
        self.map = torch.randn(BATCH * VIEWS, CHANNELS, STEPS, SIDE, SIDE).requires_grad_()
        self.seed = torch.arange(BATCH)
        size = (STEPS, SIDE, SIDE)
        self.boxes = self.crop.sample([size], self.seed, BATCH * VIEWS)
        self.weight = torch.randn(10 * VIEWS * BATCH, cfg.STICA.EMBED_DIM)

    def run(self, way: Callable[[], Tensor]) -> list[Tensor]:
        """Run forward and backward; return the embeddings and the map's gradient."""
        self.map.grad = None
        self.pooling.zero_grad()
        self.head.zero_grad()
        embedding = way()
        (embedding * self.weight).sum().backward()
        return [embedding.detach(), self.map.grad]

    def batched(self) -> Tensor:
        """As in the model: one pooling call per token length, one call of the head."""
        groups = [full_group([self.map]), *self.crop([self.map], self.seed, self.boxes)]
        return self._embed(pool_groups(self.pooling, groups))

    def padded(self) -> Tensor:
        """One pooling call: crops in time are padded to the length of the full map."""
        groups = [full_group([self.map]), *self.crop([self.map], self.seed, self.boxes)]
        tokens = [_pad(group.tokens[0], STEPS) for group in groups]
        joined = Tokens(*(torch.cat(field) for field in zip(*tokens, strict=True)))
        return self._embed(self.pooling([joined]))

    def loop(self) -> Tensor:
        """One crop of one view at a time: slice, average, pool, embed."""
        blocks = []
        for slot in range(10):
            for view in range(VIEWS):
                values, first = self._slice(self.map[view::VIEWS], slot, view)
                positions = torch.arange(first, first + values.shape[1]).expand(BATCH, -1)
                tokens = Tokens(values, torch.ones_like(positions, dtype=torch.bool), positions)
                group = CropGroup(("crop",), [tokens], torch.arange(BATCH))
                blocks.append(self.head(pool_groups(self.pooling, [group])))
        return torch.cat(blocks)

    def _slice(self, maps: Tensor, slot: int, view: int) -> tuple[Tensor, int]:
        """Cut one crop of a view: slot 0 is the full map, then space, then time."""
        first = 0
        if 1 <= slot < 7:
            row0, row1, col0, col1 = self.boxes[0].space[view, slot - 1].tolist()
            maps = maps[..., row0:row1, col0:col1]
        elif slot >= 7:
            first, last = self.boxes[0].time[view, slot - 7].tolist()
            maps = maps[:, :, first:last]
        return maps.mean(dim=(3, 4)).transpose(1, 2), first

    def _embed(self, pooled: Tensor) -> Tensor:
        """Apply the head, each view of each slot with batch statistics of its own."""
        slots = pooled.shape[0] // (BATCH * VIEWS)
        blocks = pooled.unflatten(0, (slots, BATCH, VIEWS)).transpose(1, 2).flatten(0, 2)
        return self.head(blocks, groups=slots * VIEWS)


def _pad(tokens: Tokens, steps: int) -> Tokens:
    """Add padding up to a number of steps."""
    missing = steps - tokens.values.shape[1]
    pad = torch.nn.functional.pad
    return Tokens(
        pad(tokens.values, (0, 0, 0, missing)),
        pad(tokens.mask, (0, missing)),
        pad(tokens.positions, (0, missing)),
    )


if __name__ == "__main__":
    main()
