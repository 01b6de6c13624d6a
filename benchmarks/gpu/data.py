"""How fast data reaches the device: workers, shared memory, pinned memory, the copy, preparing.

Samples of ``StiCA/R2plus1D_pretrain.yaml`` without decoding (noise, ``TRAIN.DATASET fake``) with 0,
1, 2, ... data workers: an upper limit for any decoder. With PyAV and OpenCV also the demo set, with
``DATA_LOADER.NUM_WORKERS -1``. All numbers are ms per sample.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time

import torch
from common import ROOT, TINY, Result, harness, load_fake, parse_arguments

from slowfast.config import CfgNode, load_config
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.utils.cores import AUTO, num_workers, usable_cores
from slowfast.utils.media_libraries import av, cv2

CONFIG = "StiCA/R2plus1D_pretrain.yaml"
BATCH, SECONDS = 16, 4.0
WORKERS = (0, 1, 2, 4, 8, 16)


def main() -> None:
    """Measure all numbers of workers."""
    args = parse_arguments(__doc__)
    result = Result(args, config=CONFIG, cores=usable_cores())
    seconds = 0.0 if args.tiny else SECONDS
    size = f"TRAIN.BATCH_SIZE {2 if args.tiny else BATCH}".split()
    skipped = []
    for workers in WORKERS[:2] if args.tiny else WORKERS:
        if workers > usable_cores() or result.left < 3 * SECONDS:
            skipped.append(f"{workers} workers")
            continue
        cfg = load_fake(CONFIG, (TINY if args.tiny else []) + size, result.device)
        cfg = changed(cfg, workers)
        for step in ("load", "load, copy and prepare"):
            what = f"{step} a sample of noise, {workers} workers"
            result.add(harness.row(what, measure(cfg, step, result, seconds), unit="ms"))
    if av and cv2 and not args.tiny and result.left > 60:
        path = str(ROOT / "configs" / CONFIG)
        cfg = load_config(path, ["OUTPUT_DIR", "unused", "DATA_LOADER.NUM_WORKERS", "-1"]).cfg
        on_gpu = result.device.type == "cuda"
        workers = num_workers(AUTO, processes=1, on_gpu=on_gpu)
        what = f"load a clip of the demo set, {workers} workers"
        result.add(harness.row(what, measure(cfg, "load", result, seconds), unit="ms"))
    else:
        skipped.append("decoding: needs PyAV and OpenCV")
    result.finish(skipped)


def changed(cfg: CfgNode, workers: int) -> CfgNode:
    """Return a configuration with another number of workers."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA_LOADER.NUM_WORKERS = workers
    cfg.freeze()
    return cfg


def measure(cfg: CfgNode, step: str, result: Result, seconds: float) -> float:
    """Return milliseconds per sample, after the first batch of each worker."""
    prepare = build_preprocess(cfg, train=True).to(result.device)
    workers = max(1, cfg.DATA_LOADER.NUM_WORKERS)
    with contextlib.closing(iter(construct_train_loader(cfg))) as batches:
        for _ in itertools.islice(batches, workers):
            pass
        start, samples, elapsed = time.perf_counter(), 0, 0.0
        while not samples or elapsed < seconds:
            for batch in itertools.islice(batches, workers):
                if step != "load":
                    prepare(batch)
                samples += len(batch["index"])
            if result.device.type == "cuda":
                torch.cuda.synchronize()
            elapsed = time.perf_counter() - start
    return 1000 * elapsed / samples


if __name__ == "__main__":
    sys.exit(main())
