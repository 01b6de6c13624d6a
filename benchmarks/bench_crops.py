"""What feature crops and the loss cost: a few batched calls against loops over crops and pairs.

Both start from the same feature maps and boxes and end in the same embeddings and gradients
(checked before measuring): average or transformer, projection head, forward and backward, in
float32 and bfloat16. Also measured: crops in time padded to the length of the full map and pooled
in one call with the rest; the loss of all pairs against a loop over pairs; and how much of the time
is matrix products, which no order of work can save. Writes ``results/crops.json``; two minutes.

    python benchmarks/bench_crops.py [--repeats 7] [--threads 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import harness
import stica
import torch
from harness import Row
from peers import loops
from stica.loss import within_modal_loss
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from slowfast.config import get_cfg
from slowfast.engine.precision import Precision
from slowfast.models.build import FEATURE_AUG_REGISTRY, HEAD_REGISTRY
from slowfast.models.contracts import Tokens
from slowfast.models.pooling import build_pooling, full_group, pool_groups
from slowfast.utils.env import has_fast_bf16

OUT = harness.RESULTS / "crops.json"
CPU = torch.device("cpu")
VIEWS, SLOTS = 2, 10  # the full map, 2 + 4 crops in space, 2 + 1 in time
NORMAL = {"batch": 8, "map": (512, 4, 7, 7), "loss_batches": (8, 64)}
TINY = {"batch": 8, "map": (16, 4, 4, 4), "loss_batches": (4,)}
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.2}  # difference over norm
WHY_32 = (
    "{share:.0%} of the time of the batched calls is matrix products at the speed of one large "
    "product, the rest memory traffic; the loop needs the same products, so that in float32 the "
    "ratio cannot exceed {bound:.1f}"
)


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    setting = TINY if args.tiny else NORMAL
    repeats = 1 if args.tiny else args.repeats
    rows = [
        row
        for pooling in ("avg", "transformer")
        for row in compare(pooling, setting["batch"], setting["map"], repeats)
    ]
    rows += [compare_losses(batch, repeats) for batch in setting["loss_batches"]]
    out = args.out or (None if args.tiny else OUT)
    described = {**setting, "views": VIEWS, "repeats": repeats, "threads": args.threads}
    return harness.write_result(out, described, rows)


def compare(pooling: str, batch: int, size: tuple[int, ...], repeats: int) -> list[Row]:
    """Measure all ways of one pooling, interleaved."""
    parts = Parts(pooling, batch, size)
    expected = parts.run(parts.loop)
    ways = {"loop": parts.loop, "batched": parts.batched, "padded": parts.padded}
    calls: dict[str, Callable[[], object]] = {}
    for dtype in (torch.float32, torch.bfloat16) if has_fast_bf16(CPU) else (torch.float32,):
        precision = Precision(CPU, dtype)
        for name, way in ways.items():
            for a, b in zip(parts.run(way, precision), expected, strict=True):
                if (error := float((a - b).norm() / b.norm())) > CLOSE[dtype]:
                    raise AssertionError(f"{pooling}, {name}, {dtype}: differs by {error:.2g}")
            calls[f"{name} {precision.dtype_name}"] = lambda way=way, precision=precision: (
                parts.run(way, precision)
            )
    times = harness.medians(harness.interleave(calls, repeats))
    what = f"crops, {pooling} pooling, head, {batch} x {VIEWS} maps of {' x '.join(map(str, size))}"
    loop, ours = times["loop float32"], times["batched float32"]
    products = parts.time_of_products(repeats)
    why = WHY_32.format(share=min(1, products / ours), bound=loop / products)
    entry = {"unit": "CPU ms", "target": ">= 3"}
    rows = [
        harness.row(f"{what}, float32", ours, peer=loop, peer_name="loop", why=why, **entry),
        harness.row(
            f"{what}, float32",
            ours,
            unit="CPU ms",
            peer=times["padded float32"],
            peer_name="padded, one call",
        ),
    ]
    if "batched bfloat16" in times:
        rows.append(
            harness.row(
                f"{what}, bfloat16",
                times["batched bfloat16"],
                peer=loop,
                peer_name="loop in float32",
                why=f"{parts.time_of_products(repeats, torch.bfloat16):.0f} ms of ours are "
                "matrix products at the speed of one large product in bfloat16; the loop in "
                f"bfloat16 takes {times['loop bfloat16']:.0f} ms",
                **entry,
            )
        )
    return rows


def compare_losses(batch: int, repeats: int) -> Row:
    """Measure the within-modal loss of all pairs, forward and backward, against a loop."""
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(VIEWS, 6, batch, 256), dim=-1)
    large, small = rows[:, :2].clone().requires_grad_(), rows[:, 2:].clone().requires_grad_()

    def batched() -> Tensor:
        return within_modal_loss(large, small, 0.5)

    def loop() -> Tensor:
        pairs = [
            loops.info_nce(query, key, 0.5)
            for one in range(VIEWS)
            for query in [*large[one], *small[one]]
            for key in large[1 - one]
        ]
        return loops.mean(pairs)

    torch.testing.assert_close(batched(), loop())
    for a, b in zip(
        torch.autograd.grad(batched(), (large, small)),
        torch.autograd.grad(loop(), (large, small)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    calls = {"ours": lambda: batched().backward(), "loop": lambda: loop().backward()}
    times = harness.medians(harness.interleave(calls, repeats))
    return harness.row(
        f"within-modal loss of {2 * 6 * 2} pairs, batch {batch}",
        times["ours"],
        unit="CPU ms",
        peer=times["loop"],
        peer_name="loop over pairs",
    )


class Parts:
    """Crops, pooling and head of the default configuration, without dropout, on random maps."""

    def __init__(self, pooling: str, batch: int, size: tuple[int, ...]) -> None:
        cfg = get_cfg()
        stica.add_config(cfg)
        cfg.MODEL.POOLING = pooling
        cfg.STICA.HEAD_DROPOUT = 0.0
        # One box for the batch, so that the loop can slice: with a box per sample it is far slower.
        cfg.FEATURE_CROP.PER_SAMPLE = False
        torch.manual_seed(0)
        channels, self.steps = size[0], size[1]
        self.batch = batch
        self.crop = FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
        self.pooling = build_pooling(cfg, SimpleNamespace(out_channels=[channels]))
        self.head = HEAD_REGISTRY.get("stica_projection")(channels, cfg.STICA.EMBED_DIM, cfg)
        self.map = torch.randn(batch * VIEWS, *size).requires_grad_()
        self.seed = torch.arange(batch)
        self.boxes = self.crop.sample([size[1:]], self.seed, batch * VIEWS)
        self.weight = torch.randn(SLOTS * VIEWS * batch, cfg.STICA.EMBED_DIM)

    def run(self, way: Callable[[], Tensor], precision: Precision | None = None) -> list[Tensor]:
        """Run forward and backward; return the embeddings and the map's gradient."""
        self.map.grad = None
        self.pooling.zero_grad()
        self.head.zero_grad()
        with (precision or Precision(CPU)).autocast():
            embedding = way().float()
        (embedding * self.weight).sum().backward()
        return [embedding.detach(), self.map.grad]

    def batched(self) -> Tensor:
        """As in the model: one pooling call per token length, one call of the head."""
        groups = [full_group([self.map]), *self.crop([self.map], self.seed)]
        return self._embed(pool_groups(self.pooling, groups))

    def padded(self) -> Tensor:
        """One pooling call: crops in time are padded to the length of the full map."""
        groups = [full_group([self.map]), *self.crop([self.map], self.seed)]
        tokens = [_pad(group.tokens[0], self.steps) for group in groups]
        joined = Tokens(*(torch.cat(field) for field in zip(*tokens, strict=True)))
        return self._embed(self.pooling([joined]))

    def loop(self) -> Tensor:
        """One crop of one view at a time: slice, average, pool, embed."""
        maps = [self.map[view::VIEWS] for view in range(VIEWS)]
        views = loops.embed_crops(maps, self.boxes[0], self.pooling, self.head)
        return torch.cat([views[view][slot] for slot in range(SLOTS) for view in range(VIEWS)])

    def time_of_products(self, repeats: int, dtype: torch.dtype = torch.float32) -> float:
        """Return the CPU ms that as many multiply-adds take in one square matrix product."""
        with FlopCounterMode(display=False) as counter:
            self.run(self.batched)
        side = 512
        square = torch.randn(side, side).to(dtype)
        times = harness.medians(harness.interleave({"product": lambda: square @ square}, repeats))
        return times["product"] * counter.get_total_flops() / (2 * side**3)

    def _embed(self, pooled: Tensor) -> Tensor:
        """Apply the head, each view of each slot with batch statistics of its own."""
        slots = pooled.shape[0] // (self.batch * VIEWS)
        blocks = pooled.unflatten(0, (slots, self.batch, VIEWS)).transpose(1, 2).flatten(0, 2)
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
