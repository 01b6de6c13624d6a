"""Run a folder of PySlowFast's YAMLs as they are: load, build, two training steps, test.

    python tests/campaigns/yaml_compat.py FOLDER [--json OUT] [--only PATTERN] [--jobs N]
        [--stage load|build|run] [KEY VALUE ...]

Stages: "load" reads and checks a YAML; "build" also runs a training step and a test clip at full
size, on shapes only; "run" also trains two steps and tests, on files of the demo set, in a process
of its own. Loading and building change nothing but the machine (NUM_GPUS, NUM_SHARDS, OUTPUT_DIR,
DATA.PATH_TO_DATA_DIR). To run on a small machine, SMALL makes crops, batches and numbers of views
small, the largest networks shallower, and weights that are not here random; the row names the last
two. What came through the stage "loads", "builds" or "runs". With --json the result is a file, and
its YAMLs are not tried again unless they, the stage or KEY VALUE changed, or they were refused.

Exit status: 0 if each YAML came through the stage or is refused with a message about its keys, 1 if
one failed in any other way, 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli.run_net import main as run_command
from slowfast.cli.runner import rehearse_config
from slowfast.config import CfgNode, ConfigError, UserError, get_cfg, load_config
from slowfast.datasets.decoding.reader import open_media
from slowfast.datasets.demo.generator import class_names, generate_demo, spec_from_cfg
from slowfast.models.build import build_model
from slowfast.models.weights import RANDOM_WEIGHTS
from slowfast.utils.io import cache_dir, read_json, write_json

STAGES = ("load", "build", "run")
DONE = {"load": "loads", "build": "builds", "run": "runs"}
RESULTS = (*DONE.values(), "refused", "failed")
SMALL = (
    "TRAIN.MAX_STEPS 2 TRAIN.BATCH_SIZE 2 TEST.BATCH_SIZE 2 TEST.NUM_SPATIAL_CROPS 1 "
    "DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64 DATA.TRAIN_JITTER_SCALES [72,80] "
    "TEST.VIEWS_PER_CHUNK 1 DATA_LOADER.NUM_WORKERS 0 BN.NUM_BATCHES_PRECISE 2 NUM_THREADS 1 "
    "TENSORBOARD.ENABLE False LOG_MODEL_INFO False"
).split()
MOST_BLOCKS, MOST_PARAMETERS = 6, 120e6
TIMEOUT_SEC = 900


def main(words: list[str]) -> int:
    """Run the command; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="file of the results")
    parser.add_argument("--only", default="*", help="pattern of names, such as 'Kinetics/*'")
    parser.add_argument("--jobs", type=int, default=1, help="YAMLs at a time")
    parser.add_argument("--stage", choices=STAGES, default="run")
    parser.add_argument("--quiet", action="store_true", help="print only what is refused or failed")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = parser.parse_intermixed_args(words)
    files = {
        str(path.relative_to(args.folder).with_suffix("")): path
        for path in sorted(args.folder.rglob("*.yaml"))
    }
    files = {name: path for name, path in files.items() if fnmatch.fnmatch(name, args.only)}
    if not files or len(args.overrides) % 2:
        parser.error(f"no YAML in {args.folder} matches {args.only}, or a VALUE is missing")
    logging.disable(logging.WARNING)  # what a run logs is in its own process
    try:
        rows = run_all(files, args)
    finally:
        logging.disable(logging.NOTSET)
    print(f"\n{summary(list(rows.values()))}")
    return 1 if any(row["result"] == "failed" for row in rows.values()) else 0


def run_all(files: dict[str, Path], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run each file that the JSON does not have, and return the rows of all of them."""
    stored = read_json(args.json).get("rows", []) if args.json else []
    kept = {row["yaml"]: row for row in stored}
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(args.jobs) as pool:
        data = make_data(Path(scratch)) if args.stage == "run" else {}

        def run(name: str) -> dict[str, Any]:
            path = files[name]
            given = json.dumps([path.read_text(encoding="utf-8"), args.stage, args.overrides])
            key = hashlib.sha256(given.encode()).hexdigest()[:16]
            before = kept.get(name, {})
            if before.get("key") == key and before["result"] in DONE.values():
                return before
            started = time.monotonic()
            out = Path(scratch, "out", name)
            row = in_a_process(lambda: examine(path, args.stage, args.overrides, data, out))
            shutil.rmtree(out, ignore_errors=True)
            seconds = round(time.monotonic() - started, 1)
            return {"yaml": name, **row, "seconds": seconds, "key": key}

        for row in pool.map(run, files):
            rows[row["yaml"]] = row
            if row["result"] not in DONE.values() or not args.quiet:
                print(format_row(row), flush=True)
            if args.json:
                everything = {**kept, **rows}
                about = {"stage": args.stage, "overrides": args.overrides, "small": SMALL}
                ordered = [everything[name] for name in sorted(everything)]
                write_json(args.json, {"about": about, "rows": ordered})
    return rows


def examine(
    path: Path, stage: str, overrides: list[str], data: dict[str, Path], out: Path
) -> dict[str, Any]:
    """Take one YAML through the stages: its result, and what had to be changed for it."""
    machine = ["NUM_GPUS", "0", "NUM_SHARDS", "1", "DATA.PATH_TO_DATA_DIR", "unused"]
    machine += ["OUTPUT_DIR", str(out), *overrides]
    try:
        cfg = load_config(path, machine).cfg
        words, changes = weights_words(cfg)
        if stage != "load":
            load_config(path, [*machine, *words], last_check=rehearse_config)
    except ConfigError as error:
        keys = list(dict.fromkeys(problem.key for problem in error.problems))
        return {"result": "refused", "keys": keys, "message": str(error.problems[0])}
    except UserError as error:
        return {"result": "refused", "keys": [], "message": first_line(str(error), path)}
    except Exception as error:
        return {"result": "failed", "message": f"{type(error).__name__}: {error}"}
    if stage == "run":
        more, notes = small_words(cfg)
        folder = data.get(cfg.TRAIN.DATASET.lower(), data["kinetics"])
        words = [*machine, *words, *SMALL, *more, "DATA.PATH_TO_DATA_DIR", str(folder), *overrides]
        failure = run_net(path, words, out)
        changes += notes
        if failure:
            return {"result": "failed", "message": failure, "changes": changes}
    return {"result": DONE[stage], "changes": changes}


def run_net(path: Path, words: list[str], out: Path) -> str:
    """Train and test; return "" or the last lines of what went wrong."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "run.log"
    redirect = (contextlib.redirect_stdout, contextlib.redirect_stderr)
    with log.open("w", encoding="utf-8") as file, redirect[0](file), redirect[1](file):
        status = run_command(["--cfg", str(path), *words])
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return "" if status == 0 else f"status {status}: {' '.join(lines[-3:])}"


def in_a_process(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a function returns in a forked process, which may crash or never end."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(run()))
    process.start()
    sender.close()
    try:
        if receiver.poll(TIMEOUT_SEC):
            return receiver.recv()
        message = f"no end after {TIMEOUT_SEC} s"
    except EOFError:
        process.join()
        message = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return {"result": "failed", "message": message}


def weights_words(cfg: CfgNode) -> tuple[list[str], list[str]]:
    """Replace weights that are not on this machine by random ones, and say so."""
    words, changes = [], []
    frozen = cfg.MODEL.DETACH_FINAL_FC or cfg.MODEL.FREEZE_BACKBONE
    needed = {"TRAIN": cfg.TRAIN.ENABLE and frozen, "TEST": not cfg.TRAIN.ENABLE}
    for section, is_needed in needed.items():
        name = cfg[section].CHECKPOINT_FILE_PATH
        if (name and not Path(name).is_file()) or (is_needed and not name):
            words += [f"{section}.CHECKPOINT_FILE_PATH", RANDOM_WEIGHTS]
            changes.append(f"random weights instead of {name or 'those that the user names'}")
    return words, changes


def small_words(cfg: CfgNode) -> tuple[list[str], list[str]]:
    """Make a run affordable: fewer views, a short schedule, and shallow large networks."""
    counts = list(cfg.TEST.NUM_TEMPORAL_CLIPS)[:2]
    words = ["TEST.NUM_TEMPORAL_CLIPS", str([1, 2][: len(counts)])]
    words += ["TEST.NUM_ENSEMBLE_VIEWS", str(min(2, abs(cfg.TEST.NUM_ENSEMBLE_VIEWS)))]
    if cfg.MULTIGRID.LONG_CYCLE:  # its largest batch has 16 times as many clips
        words += ["TRAIN.BATCH_SIZE", "1"]
    if cfg.MODEL.ARCH != "mvit" or cfg.MVIT.DEPTH <= MOST_BLOCKS:
        return words, []
    if sum(p.numel() for p in _on_meta(cfg).parameters()) < MOST_PARAMETERS:
        return words, []
    rows = {
        key: [row for row in cfg.MVIT[key] or [] if row[0] < MOST_BLOCKS]
        for key in ("DIM_MUL", "HEAD_MUL", "POOL_Q_STRIDE", "POOL_KV_STRIDE")
    }
    words += ["MVIT.DEPTH", str(MOST_BLOCKS)]
    words += [word for key, value in rows.items() for word in (f"MVIT.{key}", str(value))]
    return words, [f"{MOST_BLOCKS} of {cfg.MVIT.DEPTH} blocks"]


def _on_meta(cfg: CfgNode) -> Any:
    import torch

    with torch.device("meta"):
        return build_model(cfg)


def make_data(folder: Path) -> dict[str, Path]:
    """Write the demo set in the layouts of PySlowFast's datasets: name -> folder."""
    cfg = get_cfg()
    cfg.DEMO_SET.NUM_TRAIN_PER_CLASS, cfg.DEMO_SET.NUM_TEST_PER_CLASS = 4, 1  # multigrid: 32
    spec = spec_from_cfg(cfg)
    root = generate_demo(cache_dir(cfg.DEMO_SET.CACHE_DIR), spec)
    names = class_names(spec)
    files = {
        "train": sorted((root / "train").rglob("*.mp4")),
        "val": sorted((root / "test").rglob("*.mp4"))[:4],
        "test": sorted((root / "test").rglob("*.mp4"))[:4],
    }
    labeled = {s: [(p, names.index(p.parent.name)) for p in paths] for s, paths in files.items()}
    return {
        "kinetics": _csv(folder / "kinetics", labeled),
        "ssv2": _ssv2(folder / "ssv2", labeled, names),
        "imagenet": _images(folder / "imagenet", labeled),
        "charades": _frame_lists(folder / "charades", labeled),
    }


def _csv(folder: Path, labeled: dict[str, list[tuple[Path, int]]]) -> Path:
    folder.mkdir(parents=True)
    for split, rows in labeled.items():
        text = "".join(f"{path} {label}\n" for path, label in rows)
        (folder / f"{split}.csv").write_text(text, encoding="utf-8")
    return folder


def _ssv2(folder: Path, labeled: dict[str, list[tuple[Path, int]]], names: list[str]) -> Path:
    (folder / "labels").mkdir(parents=True)
    number = 0
    for split, name in (("train", "train"), ("val", "validation")):
        rows = []
        for path, label in labeled[split]:
            number += 1
            (folder / f"{number}.webm").symlink_to(path)
            rows.append({"id": str(number), "template": names[label]})
        write_json(folder / "labels" / f"{name}.json", rows)
    write_json(folder / "labels" / "labels.json", {n: str(i) for i, n in enumerate(names)})
    return folder


def _frame_lists(folder: Path, labeled: dict[str, list[tuple[Path, int]]]) -> Path:
    """Write frame lists of a second of each video, with two classes in half of the frames."""
    for split in ("train", "val"):
        lines = ["original_vido_id video_id frame_id path labels"]
        for number, (path, label) in enumerate(labeled[split]):
            with open_media(path) as media:
                frames = media.read_video(np.arange(30) / 30)
            for frame, pixels in enumerate(frames):
                name = f"{split}_{number}/{frame:06d}.jpg"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / name), pixels[..., ::-1])
                text = f"{label},{label + 1}" if frame < 15 else ""
                lines.append(f'{split}_{number} {number} {frame} {name} "{text}"')
        (folder / f"{split}.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _images(folder: Path, labeled: dict[str, list[tuple[Path, int]]]) -> Path:
    for split in ("train", "val"):
        for number, (path, label) in enumerate(labeled[split]):
            with open_media(path) as media:
                frame = media.read_video([1.0])[0]
            target = folder / split / f"n{label:08d}" / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), frame[..., ::-1])
    return folder


def first_line(text: str, path: Path) -> str:
    """The first line of a message, without the folder of the YAML."""
    return text.splitlines()[0].replace(f"{path}", path.name)


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    what = row["result"] if row["result"] != "refused" else f"refused: {'; '.join(row['keys'])}"
    note = row.get("message") or "; ".join(row.get("changes", []))
    return f"| {row['yaml']} | {what} | {note} | {row['seconds']:g} s |"


def summary(rows: list[dict[str, Any]]) -> str:
    """How many YAMLs came through the stage, are refused, or failed."""
    counts = {result: sum(row["result"] == result for row in rows) for result in RESULTS}
    named = [f"{n} {result}" for result, n in counts.items() if n or result not in DONE.values()]
    return f"{', '.join(named)} of {len(rows)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
