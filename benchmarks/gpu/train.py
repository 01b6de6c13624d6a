"""StiCA on real clips for the time that is left: steps, loss, and retrieval before and after.

The clips are a file of ``make_clips.py`` (``--cache``). The configuration is
``StiCA/small_pretrain.yaml`` with the paper's two ideas; frames and audio stay as they were packed.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import ROOT, Result, harness, parse_arguments

from slowfast.cli.main import main as slowfast
from slowfast.config import load_config
from slowfast.engine.benchmark import NO_OUTPUT, measure_steps
from slowfast.utils.device_settings import DeviceSettings
from slowfast.utils.logging import read_stats

CONFIG = str(ROOT / "configs/StiCA/small_pretrain.yaml")
WORDS = (
    "PROJECTS ['stica','packed_clips'] TRAIN.DATASET packed_clips TEST.DATASET packed_clips "
    "DATA.DEMO_CFG '' MODEL.POOLING transformer MODEL.FEATURE_AUG feature_crop "
    "STICA.WITHIN_WEIGHT 0.1 DATA_LOADER.NUM_WORKERS -1 SOLVER.WARMUP_EPOCHS 1.0 "
    "TEST.ENABLE True TEST.BATCH_SIZE 16 TRAIN.EVAL_BEFORE True REPORT.ENABLE False "
    "REPORT.INSIGHT False TRAIN.CHECKPOINT_PERIOD 100000 TRAIN.CHECKPOINT_PERIOD_MIN 0.0 "
    "TEST.PROTOCOLS ['class_retrieval','cross_modal_retrieval'] LOG_PERIOD 10"
).split()
TINY = "TRAIN.BATCH_SIZE 4 RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4 STICA.EMBED_DIM 16".split()
SHARE = 0.65  # of the time; the rest is for both tests and a margin
MOST_EPOCHS = 300
METRICS = ("class_retrieval_r1", "video_to_audio_r1", "audio_to_video_r1", "video_to_audio_r5")


def main() -> None:
    """Time steps, choose the number of epochs, train, test."""
    args = parse_arguments(__doc__, cache={"help": "file of make_clips.py"})
    result = Result(args, config=Path(CONFIG).name, cache=Path(args.cache or "").name)
    if not args.cache:
        result.finish(["no --cache: make one with benchmarks/gpu/make_clips.py"])
        return
    words = [w.strip("'") if w == "''" else w for w in WORDS]
    words += ["PROJECTS_PATH", f"['{Path(__file__).parent}']", "PACKED_CLIPS.FILE", args.cache]
    words += ["NUM_GPUS", "1" if args.device == "cuda" else "0"] + (TINY if args.tiny else [])
    with tempfile.TemporaryDirectory() as folder:
        words += ["OUTPUT_DIR", folder]
        keys = NO_OUTPUT | {"TEST.PROTOCOLS": []}
        cfg = load_config(CONFIG, words, assignments=keys).cfg
        DeviceSettings.from_cfg(cfg).apply(result.device)
        steps, warm_up = (1, 1) if args.tiny else (10, 5)
        times = measure_steps(cfg, result.device, steps=steps, warm_up=warm_up)
        row = harness.row(
            f"StiCA on real clips, step of {cfg.TRAIN.BATCH_SIZE}", 1000 * times.step, unit="ms"
        )
        result.add(row | {"parts_ms": {k: 1000 * v for k, v in times.parts.items()}})
        epoch = times.step * times.steps_per_epoch
        epochs = 2 if args.tiny else max(2, min(MOST_EPOCHS, int(SHARE * result.left / epoch)))
        result.add(epochs=epochs, steps_per_epoch=times.steps_per_epoch)
        log = args.out.with_suffix(".log")
        with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            status = slowfast(["train", "--cfg", CONFIG, *words, "SOLVER.MAX_EPOCH", str(epochs)])
        result.add(status=status, **read_run(Path(folder)))
    result.finish()


def read_run(folder: Path) -> dict[str, Any]:
    """Read losses and metrics of a run; of a run that stopped, what there is."""
    losses = [
        {"step": record["step"], "loss": record["loss"]}
        for record in read_stats(folder)
        if record["_type"] == "train_epoch"
    ]
    file = folder / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    metrics = {name: results[name] for name in METRICS if name in results}
    return {"metrics": metrics, "losses": losses[:: max(1, len(losses) // 50)]}


if __name__ == "__main__":
    sys.exit(main())
