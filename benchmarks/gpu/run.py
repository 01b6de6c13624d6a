"""Everything there is to measure on a GPU, in 8 minutes: `make gpu`.

Five stages, each in a process of its own that writes its result row by row, so that one that
crashes or runs out of its time loses only itself. Time that a stage leaves goes to those after it.

    python benchmarks/gpu/run.py [--minutes 8] [--cache clips.npz] [--stages steps train]
    python benchmarks/gpu/run.py --device cpu --tiny --out /tmp/gpu       (in miniature, to test it)

Writes ``gpu_STAGE.json`` and the page ``gpu.md``. It needs no network, PyAV or OpenCV; real clips
for the last stage come from ``make_clips.py``, which needs both and runs anywhere else.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import page

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
STAGES = {"check": 80.0, "steps": 160.0, "roofline": 40.0, "data": 40.0, "train": 150.0}
"""Seconds of each stage, of 8 minutes."""
NO_GPU = 2
GRACE_SEC = 5.0


def main() -> int:
    """Run the stages, and write the page after each."""
    args = parse_arguments()
    if args.device == "cuda" and not has_gpu():
        print("make gpu: no GPU (torch.cuda.is_available() is False); --device cpu --tiny tests it")
        return NO_GPU
    if args.cache and not Path(args.cache).is_file():
        print(f"make gpu: --cache: no such file: {args.cache}")
        return NO_GPU
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * args.minutes
    scale, failed = 60 * args.minutes / sum(STAGES.values()), []
    for number, name in enumerate(args.stages):
        later = sum(scale * STAGES[other] for other in args.stages[number + 1 :])
        budget = max(5.0, end - time.monotonic() - later)
        print(f"== {name}: {budget:.0f} s", flush=True)
        status = run_stage(name, budget, args)
        if status:
            failed.append(f"{name} ({status})")
        page.write(args.out)
    print(f"results: {args.out}/gpu_*.json, {args.out}/gpu.md")
    if failed:
        print(f"stages that did not end well: {', '.join(failed)}")
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of all stages (default: 8)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="everything in miniature")
    parser.add_argument("--cache", metavar="FILE", help="clips of make_clips.py, for train")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--out", type=Path, help="a folder (default: benchmarks/results)")
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(f"--minutes: got {args.minutes:g}, expected more than 0")
    if args.out is None:
        if args.tiny or args.device == "cpu":
            parser.error("--out: name a folder; benchmarks/results is for full runs on a GPU")
        args.out = RESULTS
    return args


def has_gpu() -> bool:
    """Return whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def run_stage(name: str, seconds: float, args: argparse.Namespace) -> str:
    """Run a stage in its own process group; return what went wrong, or "".

    A stage plans with 90 % of its time. At the end of it, it is asked to stop, then killed.
    """
    command = [sys.executable, str(HERE / f"{name}.py"), "--device", args.device]
    command += ["--seconds", f"{0.9 * seconds:.1f}", "--out", str(args.out / f"gpu_{name}.json")]
    command += ["--tiny"] if args.tiny else []
    if name == "train" and args.cache:
        command += ["--cache", str(Path(args.cache).resolve())]
    stage = subprocess.Popen(command, start_new_session=True)
    try:
        status = stage.wait(seconds)
    except subprocess.TimeoutExpired:
        stop(stage)
        return f"stopped after {seconds:.0f} s"
    except BaseException:
        stop(stage)
        raise
    return f"status {status}" if status else ""


def stop(stage: subprocess.Popen[bytes]) -> None:
    """End a stage with its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(stage.pid, number)
            stage.wait(GRACE_SEC)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
