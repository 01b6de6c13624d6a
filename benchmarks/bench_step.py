"""A training step of StiCA against the released code's order of work, in float32 and bfloat16.

A step is forward, loss, backward, clipping and optimizer on a prepared batch. The peer uses the
same modules, but plain layers and optimizer, the contiguous memory format, a backbone call for each
view, and loops over crops and pairs (``peers/loops.py``). Before anything is timed, losses and
gradients are compared. Also: the time to the first step of the demo. Writes
``results/step.json``; about 25 minutes on two cores. Optimizer and convolution alone:
``bench_layers.py``.

    python benchmarks/bench_step.py [--repeats 7] [--full-repeats 3] [--only demo full first]

Rows of parts that are not run stay as they are.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from harness import Row
from peers import loops
from torch import Tensor, nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import CfgNode, load_config
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.precision import Precision
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.optimizer import clip_gradients, construct_optimizer
from slowfast.utils.env import has_fast_bf16

OUT = harness.RESULTS / "step.json"
YAML = "StiCA/R2plus1D_pretrain.yaml"
CPU = torch.device("cpu")
PLAIN = ("SOLVER.FUSED", "False", "MODEL.CHANNELS_LAST", "False", "MODEL.FAST_TIME_CONV", "False")
# Slicing loops need one box per view; dropout would make the outputs random.
SAME = ("FEATURE_CROP.PER_SAMPLE", "False", "STICA.HEAD_DROPOUT", "0.0", "NUM_GPUS", "0")
FULL = ("DATA.DEMO_CFG", "", "DATA.PATH_TO_DATA_DIR", "unused", "SOLVER.BASE_BATCH_SIZE", "0")
BF16 = ("TRAIN.MIXED_PRECISION", "True", "TRAIN.MIXED_PRECISION_DTYPE", "bf16")
MOSTLY_BACKBONE = (
    "about three quarters of the step is the backbone, whose kernels are torch's in both; crops, "
    "pooling, heads and loss are what the order of work changes"
)


class Sizes(NamedTuple):
    """What is measured.

    Attributes:
        repeats: Rounds of a small measurement.
        full_repeats: Rounds of a full step, which takes up to half a minute.
        threads: Of torch, for the full step.
        full: Overrides of the full step.
        batch: Samples of the full step.
    """

    repeats: int
    full_repeats: int
    threads: tuple[int, ...]
    full: tuple[str, ...]
    batch: int


NORMAL = Sizes(7, 3, (1, 2), FULL, 2)
SMALL = ("RESNET.WIDTH_PER_GROUP", "4", "AUDIO.WIDTH", "4", "DATA.TRAIN_CROP_SIZE", "32")
TINY = Sizes(1, 1, (1,), (*FULL, *SMALL, "DATA.NUM_FRAMES", "16"), 2)


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parts: dict[str, Callable[[Sizes], list[Row]]] = {
        "demo": compare_demo,
        "full": compare_full,
        "first": measure_first_iteration,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=NORMAL.repeats)
    parser.add_argument("--full-repeats", type=int, default=NORMAL.full_repeats)
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args(words)
    sizes = NORMAL._replace(repeats=args.repeats, full_repeats=args.full_repeats)
    rows = [row for name in args.only for row in parts[name](TINY if args.tiny else sizes)]
    out = args.out or (None if args.tiny else OUT)
    return harness.write_result(out, sizes._asdict(), harness.replace_rows(out, rows))


class Steps:
    """One model and its optimizer, taking steps on one batch.

    Args:
        words: Overrides of the configuration.
        batch: B.
        start: Weights; None: random ones.
    """

    def __init__(
        self, *words: str, batch: int, start: dict[str, Tensor] | None = None, rows_seed: int = 0
    ) -> None:
        self.cfg: CfgNode = load_config(YAML, [*words, *SAME], validate=False).cfg
        torch.manual_seed(0)
        self.model: nn.Module = construct_model(self.cfg)
        if start is not None:
            self.model.load_state_dict(start)
        self.model.train()
        self.criterion = LOSS_REGISTRY.get(self.cfg.MODEL.LOSS_FUNC)(self.cfg)
        self.optimizer = construct_optimizer(self.model, self.cfg)
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0  # the same work, and weights that stay comparable
        self.precision = Precision.from_cfg(self.cfg, CPU)
        self.batch = make_batch(self.cfg, batch, rows_seed)

    def ours(self) -> Tensor:
        """Compute the loss as training does."""
        with self.precision.autocast():
            return self.criterion(self.model(self.batch), self.batch)["loss"]

    def one_by_one(self, *, one_view_at_a_time: bool = True) -> Tensor:
        """Compute the loss in the released code's order."""
        embedded = loops.forward(self.model, self.batch, one_view_at_a_time=one_view_at_a_time)
        return loops.stica_loss(*embedded, **loops.loss_of_config(self.cfg.STICA))

    def take(self, loss: Callable[[], Tensor]) -> Callable[[], None]:
        """Return a full step with that loss."""

        def step() -> None:
            loss().backward()
            solver = self.cfg.SOLVER
            clip_gradients(self.model, clip_value=None, clip_norm=solver.CLIP_GRAD_L2NORM)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

        return step

    def gradient(self, loss: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss, and the gradients of all weights in one vector."""
        value = loss()
        weights = list(self.model.parameters())
        found = torch.autograd.grad(value, weights, allow_unused=True)
        return value.detach(), torch.cat([g.flatten() for g in found if g is not None])


def make_batch(cfg: CfgNode, size: int, seed: int = 0) -> dict[str, Tensor]:
    """Make a prepared batch of noise with the shapes of a configuration."""
    generator = torch.Generator().manual_seed(seed)
    side = cfg.DATA.TRAIN_CROP_SIZE
    shape = (size, cfg.DATA.TRAIN_CROP_NUM_SPATIAL, cfg.DATA.NUM_FRAMES, side, side, 3)
    samples = round(cfg.AUDIO.CLIP_SEC * cfg.AUDIO.SAMPLE_RATE)
    return build_preprocess(cfg, train=True)(
        {
            "video": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
            "audio": torch.randn(size, 1, samples, generator=generator) / 10,
            "audio_valid": torch.ones(size, 1, dtype=torch.bool),
            "aug_seed": torch.arange(size),
            "label": torch.zeros(size, dtype=torch.int64),
        }
    )


def check_equal(ours: Steps, plain: Steps) -> None:
    """Compare loss and gradients of both orders of work.

    With a backbone call for each view batch statistics differ, so that order is compared with
    running ones.

    Raises:
        AssertionError: If they differ by more than rounding.
    """

    def one_call() -> Tensor:
        return plain.one_by_one(one_view_at_a_time=False)

    close = torch.testing.assert_close
    pairs = zip(plain.gradient(plain.ours), plain.gradient(one_call), strict=True)
    for (a, b), name in zip(pairs, ("loss", "gradient"), strict=True):
        close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()), msg=f"loops: another {name}")
    close(ours.ours(), plain.ours(), rtol=1e-3, atol=1e-3, msg="plain layers: another loss")
    own, other = copy.deepcopy(ours.model).eval(), copy.deepcopy(plain.model).eval()
    kept = ours.model, plain.model
    ours.model, plain.model = own, other
    with torch.no_grad():
        close(ours.ours(), plain.one_by_one(), rtol=1e-3, atol=1e-3, msg="another loss")
    ours.model, plain.model = kept


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch use that many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare_demo(sizes: Sizes) -> list[Row]:
    """Time steps of the demo: its own keys, and the plain layers with loops."""
    batch = 4 if sizes is TINY else 16
    with num_threads(1):
        ours = Steps(batch=batch)
        fused = Steps("SOLVER.FUSED", "True", batch=batch)
        plain = Steps(*PLAIN, batch=batch, start=ours.model.state_dict())
        check_equal(ours, plain)

        def one_call() -> Tensor:
            return plain.one_by_one(one_view_at_a_time=False)

        times = harness.medians(
            harness.interleave(
                {
                    "ours": ours.take(ours.ours),
                    "fused": fused.take(fused.ours),
                    "released": plain.take(plain.one_by_one),
                    "loops": plain.take(one_call),
                },
                sizes.repeats,
            )
        )
    what = f"training step of the demo, batch {batch}, 1 thread"
    return [
        harness.row(
            what,
            times["ours"],
            unit="CPU ms",
            peer=times["released"],
            peer_name="released order",
            target=">= 1.3",
            why=MOSTLY_BACKBONE,
        ),
        harness.row(
            what,
            times["ours"],
            unit="CPU ms",
            peer=times["loops"],
            peer_name="loops, one backbone call",
        ),
        harness.row(
            f"{what}, SOLVER.FUSED",
            times["fused"],
            unit="CPU ms",
            peer=times["released"],
            peer_name="released order",
            why="the demo keeps plain AdamW, so that its results stay the same to the last digit",
        ),
    ]


def compare_full(sizes: Sizes) -> list[Row]:
    """Time steps of R(2+1)D-18 at the size of the paper, for each number of threads."""
    rows = []
    for threads in sizes.threads:
        with num_threads(threads):
            ours = Steps(*sizes.full, batch=sizes.batch)
            start = ours.model.state_dict()
            plain = Steps(*sizes.full, *PLAIN, batch=sizes.batch, start=start)
            check_equal(ours, plain)
            calls = {
                "ours": ours.take(ours.ours),
                "released": plain.take(plain.one_by_one),
            }
            if has_fast_bf16(CPU):
                half = Steps(*sizes.full, *BF16, batch=sizes.batch, start=start)
                torch.testing.assert_close(half.ours(), ours.ours(), rtol=0.05, atol=0.05)
                calls["bf16"] = half.take(half.ours)
            times = harness.medians(harness.interleave(calls, sizes.full_repeats))
        cfg = ours.cfg
        what = (
            f"training step, R(2+1)D-18, {cfg.DATA.NUM_FRAMES} x {cfg.DATA.TRAIN_CROP_SIZE}^2, "
            f"batch {sizes.batch}, {threads} thread{'s' if threads > 1 else ''}"
        )
        rows.append(
            harness.row(
                f"{what}, float32",
                times["ours"] / 1000,
                unit="CPU s",
                peer=times["released"] / 1000,
                peer_name="released order",
                target=">= 1.0",
                why="99 % of the step is the backbone; "
                + (
                    "torch's 3D convolutions over time are slow with one thread and few clips"
                    if threads == 1
                    else "its kernels are the same in both"
                ),
            )
        )
        if "bf16" in times:
            bf16, why = times["bf16"] / 1000, ""
        else:
            bf16, why = None, "this CPU has neither AVX512_BF16 nor AMX"
        rows.append(
            harness.row(
                f"{what}, bfloat16",
                bf16,
                unit="CPU s",
                peer=times["ours"] / 1000,
                peer_name="ours in float32",
                target=">= 2.0",
                why=why or "TRAIN.MIXED_PRECISION auto, which also chooses channels-last",
            )
        )
    return rows


_FIRST = """
import json, sys, time
cpu = [time.process_time()]
import torch
cpu.append(time.process_time())
import torch._dynamo
cpu.append(time.process_time())
from slowfast.engine.step import TrainingStep
take = TrainingStep.take
def first(self, batches, progress):
    losses = take(self, batches, progress)[0]
    float(losses["loss"])
    seconds = {"wall": time.time() - float(sys.argv[-1]), "cpu": time.process_time()}
    seconds |= {"torch": cpu[1] - cpu[0], "dynamo": cpu[2] - cpu[1]}
    raise SystemExit(json.dumps(seconds))
TrainingStep.take = first
from slowfast.cli.run_net import main
words, sys.argv = sys.argv[1:-1], [sys.argv[0], sys.argv[-1]]
sys.exit(main(words))
"""


def measure_first_iteration(sizes: Sizes) -> list[Row]:
    """Time from the start of the command to the end of the demo's first step, files made before."""
    found = [_time_first_iteration() for _ in range(1 + min(3, sizes.repeats))][1:]
    seconds = {key: float(np.median([one[key] for one in found])) for key in found[0]}
    return [
        harness.row(
            "first step of the demo, from the start of the command",
            seconds["wall"],
            unit="s",
            target="<= 4",
            why=f"{seconds['cpu']:.1f} CPU s of the training process; importing torch is "
            f"{seconds['torch']:.1f} of them, and torch._dynamo, which every optimizer of torch "
            f"imports, {seconds['dynamo']:.1f}",
        )
    ]


def _time_first_iteration() -> dict[str, float]:
    import time

    with tempfile.TemporaryDirectory() as folder:
        words = ["--cfg", YAML, "OUTPUT_DIR", folder, "TRAIN.EVAL_BEFORE", "False"]
        done = subprocess.run(
            [sys.executable, "-c", _FIRST, *words, str(time.time())],
            check=False,
            capture_output=True,
            text=True,
        )
    lines = [line for line in done.stderr.splitlines() if line.startswith('{"wall"')]
    if not lines:
        raise RuntimeError(f"the demo ended before its first step:\n{done.stderr[-2000:]}")
    return dict(json.loads(lines[-1]))


if __name__ == "__main__":
    main()
