"""The optimizer and the Tx1x1 convolution alone, against torch's plain ones, in one thread.

Writes ``results/layers.json``; a minute. The step that they are part of: ``bench_step.py``.

    python benchmarks/bench_layers.py [--repeats 7]
"""

from __future__ import annotations

import argparse
from typing import Any

import harness
import torch
from bench_step import NORMAL, SAME, TINY, YAML, num_threads
from harness import Row

from slowfast.config import load_config
from slowfast.models.build import construct_model
from slowfast.models.optimizer import construct_optimizer
from slowfast.models.time_conv import TimeConv3d

OUT = harness.RESULTS / "layers.json"
CONV, TINY_CONV = (4, 144, 64, 8, 28), (2, 4, 4, 4, 4)


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=NORMAL.repeats)
    args = parser.parse_args(words)
    repeats = 1 if args.tiny else args.repeats
    full, conv = (TINY.full, TINY_CONV) if args.tiny else (NORMAL.full, CONV)
    rows = compare_optimizers(full, repeats) + compare_convolutions(conv, repeats)
    out = args.out or (None if args.tiny else OUT)
    return harness.write_result(out, {"repeats": repeats, "conv": conv}, rows)


def compare_optimizers(full: tuple[str, ...], repeats: int) -> list[Row]:
    """Time the plain and the fused optimizer on the parameters of the demo and of the paper."""
    rows = []
    cases = [("adamw", (), "the demo's model")]
    cases.append(("sgd", full, "R(2+1)D-18"))
    for method, words, title in cases:
        calls = {}
        for fused in (False, True):
            overrides = ("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.FUSED", str(fused))
            cfg = load_config(YAML, [*words, *SAME, *overrides], validate=False).cfg
            torch.manual_seed(0)
            model = construct_model(cfg)
            for param in model.parameters():
                param.grad = torch.randn_like(param)
            calls[str(fused)] = construct_optimizer(model, cfg).step
        with num_threads(1):
            times = harness.medians(harness.interleave(calls, repeats))
        rows.append(
            harness.row(
                f"{method} step on {title}, 1 thread",
                times["True"],
                unit="CPU ms",
                peer=times["False"],
                peer_name="plain",
                target=">= 1.5",
                why="one pass over the memory of each parameter instead of several",
            )
        )
    return rows


def compare_convolutions(size: tuple[int, ...], repeats: int) -> list[Row]:
    """Time a 3x1x1 convolution, (B, C, D, T, S), in 2D and in 3D, forward and backward."""
    batch, dim_in, dim_out, frames, side = size
    torch.manual_seed(0)
    x = torch.randn(batch, dim_in, frames, side, side, requires_grad=True)
    convs = {}
    for in_2d in (True, False):
        torch.manual_seed(1)
        conv = TimeConv3d(dim_in, dim_out, (3, 1, 1), padding=(1, 0, 0), bias=False)
        conv.may_use_2d = in_2d
        convs[in_2d] = conv
    with num_threads(1):
        torch.testing.assert_close(convs[True](x), convs[False](x), rtol=1e-3, atol=1e-3)
        calls = {
            str(key): lambda conv=conv: conv(x).sum().backward() for key, conv in convs.items()
        }
        times = harness.medians(harness.interleave(calls, repeats))
    return [
        harness.row(
            f"3x1x1 convolution of {batch} x {dim_in} x {frames} x {side}^2, 1 thread",
            times["True"],
            unit="CPU ms",
            peer=times["False"],
            peer_name="torch's Conv3d",
            target=">= 1.5",
            why="with 16 clips or several threads both are the same oneDNN kernel",
        )
    ]


if __name__ == "__main__":
    main()
