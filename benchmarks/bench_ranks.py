"""Training with several ranks: what a step costs on 1 and 2 processes, and a model of more.

Measured on the CPU over gloo, one thread per process, the fastest of the steps: forward and
backward of R(2+1)D-18 on random clips, with and without the exchange of gradients; the exchange
alone; a gather of embeddings. The model of 8, 64 and 512 GPUs is arithmetic with the inputs that
the result file lists. Writes ``results/ranks.json``.

    python benchmarks/bench_ranks.py [--steps 15]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import harness
import torch
from harness import Row
from torch import nn

from slowfast.config import load_config
from slowfast.models.build import construct_model
from slowfast.models.data_parallel import distribute
from slowfast.utils import distributed
from slowfast.utils.launch import launch

OUT = harness.RESULTS / "ranks.json"
YAML = Path(__file__).parents[1] / "configs" / "Kinetics" / "R2PLUS1D_18_30f.yaml"
BATCH, FRAMES, SIDE, DIM = 2, 4, 40, 512
TINY_SIDE = 24
# Inputs of the model; none is measured here.
MODEL = {
    "clips_per_gpu": 8,
    "frames": 30,
    "side": 112,
    "flops_per_second": 312e12 * 0.25,  # A100, bfloat16; a quarter of its peak
    "bytes_per_second_within_node": 200e9,  # NVLink
    "bytes_per_second_between_nodes": 25e9,  # 200 Gb/s, shared by the GPUs of a node
    "seconds_per_message": 10e-6,
    "gpus_per_node": 8,
    "share_hidden_behind_backward": 0.7,
    "core_seconds_per_clip": 0.05,
}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps",
        type=int,
        default=15,
        help="of each kind; the fastest counts, as others only add time",
    )
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    steps, side = (3, TINY_SIDE) if args.tiny else (args.steps, SIDE)
    measured = [measure(ranks, steps, side) for ranks in (1, 2)]
    setting = {
        "what": f"R(2+1)D-18, {BATCH} clips of {FRAMES} frames of {side} pixels per rank, CPU, "
        "gloo, one thread per rank; wall seconds of the fastest of the steps",
        "steps": steps,
    }
    return harness.write_result(
        args.out or (None if args.tiny else OUT),
        setting,
        make_rows(*(found["seconds"] for found in measured), side),
        measured=measured,
        model_inputs=MODEL,
        model=[model(gpus, measured[0]) for gpus in (1, 8, 64, 512)],
    )


def make_rows(one: dict[str, float], two: dict[str, float], side: int) -> list[Row]:
    """Compare steps of two processes with a plain exchange, and with one process.

    Args:
        one: Seconds with one process.
        two: Seconds with two.
        side: Of the clips, in pixels.
    """
    what = f"step of 2 processes, {BATCH} x {FRAMES} x {side}^2 each"
    step, bare = two["forward_backward_exchange"], two["forward_backward"]
    alone = min(one["forward_backward"], one["forward_backward_exchange"])  # the same work
    return [
        harness.row(
            f"{what}, gradients exchanged",
            step,
            unit="wall s",
            peer=bare + two["exchange_alone"],
            peer_name="exchanged after backward",
            why=f"{bare:.3f} s without an exchange, which alone takes {two['exchange_alone']:.3f} "
            "s; both processes and the exchange share two cores",
        ),
        harness.row(
            f"{what}, against 1 process",
            step,
            unit="wall s",
            peer=alone,
            peer_name="1 process, half the clips",
            why="equal times would be perfect scaling",
        ),
        harness.row(
            f"gather of {BATCH} embeddings of {DIM} from 2 processes",
            1000 * two["gather_embeddings"],
            unit="wall ms",
        ),
    ]


def measure(ranks: int, steps: int, side: int) -> dict[str, Any]:
    """Measure one number of ranks, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        launch(_measure, (folder, steps, side), num_processes=ranks)
        found: dict[str, Any] = json.loads((Path(folder) / "result.json").read_text())
    return found


def _measure(folder: str, steps: int, side: int) -> None:
    """Time the parts of a step on this rank; rank 0 writes them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = ["DATA.PATH_TO_DATA_DIR", folder, "NUM_GPUS", "0", "DATA.TRAIN_CROP_SIZE", str(side)]
    cfg = load_config(YAML, [*words, "DATA.NUM_FRAMES", str(FRAMES)], validate=False).cfg
    net = construct_model(cfg)
    wrapped: Any = distribute(net, torch.device("cpu"))
    batch = {"video": torch.randn(BATCH, 1, 3, FRAMES, side, side), "index": torch.arange(BATCH)}
    labels = torch.zeros(BATCH, dtype=torch.long)

    def step(*, exchanges: bool) -> None:
        quiet = nullcontext() if exchanges or wrapped is net else wrapped.no_sync()
        with quiet:
            nn.functional.cross_entropy(wrapped(batch).logits.flatten(0, -2), labels).backward()
        net.zero_grad()

    gradient = torch.zeros(sum(p.numel() for p in net.parameters() if p.requires_grad))
    rows = torch.randn(BATCH, DIM)
    seconds = {
        "forward_backward": _fastest(lambda: step(exchanges=False), steps),
        "forward_backward_exchange": _fastest(lambda: step(exchanges=True), steps),
        "exchange_alone": _fastest(lambda: distributed.all_reduce_sum(gradient), steps),
        "gather_embeddings": _fastest(lambda: distributed.gather_no_gradient(rows), steps),
    }
    result = {
        "ranks": distributed.world_size(),
        "gradient_bytes": 4 * gradient.numel(),
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        "clips_per_second": round(
            BATCH * distributed.world_size() / seconds["forward_backward_exchange"], 3
        ),
    }
    if distributed.is_main_process():
        (Path(folder) / "result.json").write_text(json.dumps(result))


def _fastest(part: Callable[[], object], steps: int) -> float:
    """Time a part, all ranks together."""
    part()
    times = []
    for _ in range(steps):
        distributed.barrier()
        start = time.perf_counter()
        part()
        times.append(time.perf_counter() - start)
    return min(times)


def model(gpus: int, measured: dict[str, Any]) -> dict[str, Any]:
    """Compute, not measure, a step of training on GPUs.

    The time of a ring over N participants that exchange B bytes is 2 (N - 1) / N * B / speed +
    2 (N - 1) * latency; first within nodes, then between them. A part of it is hidden behind the
    backward pass.
    """
    per_node = min(gpus, MODEL["gpus_per_node"])
    nodes = gpus // per_node
    size, wait = measured["gradient_bytes"], MODEL["seconds_per_message"]

    def ring(count: float, speed: float) -> float:
        return 2 * (count - 1) / count * size / speed + 2 * (count - 1) * wait

    exchange = ring(per_node, MODEL["bytes_per_second_within_node"])
    exchange += ring(nodes, MODEL["bytes_per_second_between_nodes"])
    # R(2+1)D-18 at 16 frames of 112 pixels has 40.5e9 multiply-adds; backward costs twice forward.
    of_clip = 3 * 2 * 40.5e9 * MODEL["frames"] / 16
    compute = MODEL["clips_per_gpu"] * of_clip / MODEL["flops_per_second"]
    step = compute + (1 - MODEL["share_hidden_behind_backward"]) * exchange
    clips = gpus * MODEL["clips_per_gpu"] / step
    return {
        "gpus": gpus,
        "compute_sec": round(compute, 4),
        "exchange_sec": round(exchange, 4),
        "step_sec": round(step, 4),
        "efficiency": round(compute / step, 3),
        "clips_per_second": round(clips),
        "data_cores": round(clips * MODEL["core_seconds_per_clip"]),
    }


if __name__ == "__main__":
    main()
