"""A training step of each contrastive method, next to one of StiCA.

Methods, their YAMLs and their sizes are those of ``configs/Contrastive/sweeps/compare.yaml`` on the
built-in demo set, at equal batch size: the table in ``projects/contrastive/RESULTS.md`` says what
the features of each are worth. A step is forward, loss, backward and optimizer, with what the
method does before and after it (queue, banks, momentum encoder), in one thread; data workers
prepare its views meanwhile and are not counted. The number is the median over rounds of the median
step of a round. Writes ``results/methods.json``; about four minutes.

    python benchmarks/bench_methods.py [--repeats 3] [--steps 8]
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import harness
import torch
import yaml

from slowfast.config import CfgNode, load_config
from slowfast.engine.benchmark import NO_OUTPUT, measure_steps
from slowfast.utils.random import seed_everything

OUT = harness.RESULTS / "methods.json"
SWEEP = Path(__file__).parents[1] / "configs" / "Contrastive" / "sweeps" / "compare.yaml"
PEER = "StiCA"
WARM_UP = 2
SMALL = ("DEMO_SET.NUM_TRAIN_PER_CLASS", "4", "TRAIN.BATCH_SIZE", "4")


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all methods")
    parser.add_argument("--steps", type=int, default=8, help="steps of a method in a round")
    args = parser.parse_args(words)
    repeats, steps = (1, 1) if args.tiny else (args.repeats, args.steps)
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    sweep = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))["runs"]
    with tempfile.TemporaryDirectory() as folder:
        overrides = (*(SMALL if args.tiny else ()), "OUTPUT_DIR", folder)
        configs = {name: read_config(run["cfg"], overrides) for name, run in sweep.items()}
        times = measure_rounds(configs, repeats, steps)
    batch = configs[PEER].TRAIN.BATCH_SIZE
    rows = [
        harness.row(
            f"training step of {name}, R(2+1)D-18 of an eighth of the width, batch {batch}, "
            "1 thread",
            times[name],
            unit="CPU ms",
            **({} if name == PEER else {"peer": times[PEER], "peer_name": PEER}),
        )
        for name in sorted(times, key=times.__getitem__)
    ]
    out = args.out or (None if args.tiny else OUT)
    return harness.write_result(out, {"repeats": repeats, "steps": steps, "batch": batch}, rows)


def read_config(path: str, overrides: tuple[str, ...]) -> CfgNode:
    """Read a method's YAML for a training that is only measured, on the CPU."""
    words = [*overrides, "NUM_GPUS", "0"]
    return load_config(path, words, assignments=NO_OUTPUT).cfg


def measure_rounds(configs: dict[str, CfgNode], repeats: int, steps: int) -> dict[str, float]:
    """Time each method in turn, every other round backwards; CPU milliseconds of a step."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(repeats):
        names = list(configs) if number % 2 == 0 else list(configs)[::-1]
        for name in names:
            cfg = configs[name]
            seed_everything(cfg.RNG_SEED)
            times = measure_steps(cfg, torch.device("cpu"), steps=steps, warm_up=WARM_UP)
            found[name].append(1000 * times.cpu)
    return harness.medians(found)


if __name__ == "__main__":
    main()
