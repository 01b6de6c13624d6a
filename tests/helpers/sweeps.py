"""Sweeps for tests: YAML text to runs, and a runner that is over in no time."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from slowfast.engine.sweep.expand import SweepRun, expand, to_cli_args
from slowfast.engine.sweep.run_state import RunState
from slowfast.engine.sweep.schema import load_sweep

STAGES = """
output_dir: out
stages:
  pretrain: {cfg: a.yaml, folds: []}
  finetune:
    cfg: b.yaml
    overrides: {TRAIN.CHECKPOINT_FILE_PATH: "{pretrain.checkpoint}"}
seeds: [1, 2]
folds: [1, 2]
"""

# Does what the words say: METRIC 0.5 writes results, FAIL 1 fails, SLEEP 5 sleeps until SIGINT.
RUNNER = """
import json, os, pathlib, signal, sys, time
words = sys.argv[sys.argv.index("--opts") + 1:]
options = dict(zip(words[::2], words[1::2]))
out = pathlib.Path(options["OUTPUT_DIR"])
def stop(*_):
    (out / "saved").write_text("yes")
    print("saved", flush=True)
    os._exit(130)
signal.signal(signal.SIGINT, stop)
print("threads", os.environ.get("OMP_NUM_THREADS"), flush=True)
if "SLEEP" in options and not (out / "saved").exists():
    time.sleep(float(options["SLEEP"]))
if "FAIL" in options:
    print("about to fail")
    sys.exit(int(options["FAIL"]))
if "METRIC" in options:
    value = float(options["METRIC"])
    content = {"format": 1, "top1_acc": {"before": 0.1, "after": value, "chance": 0.1}}
    (out / "results.json").write_text(json.dumps(content))
"""


def write_sweep(folder, text):
    """Write a sweep's YAML; returns its path as text."""
    path = Path(folder) / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def runs_of(folder, text, *words):
    """Read a sweep and list its runs; the sweep's folder is ``folder / "out"``."""
    sweep = load_sweep(write_sweep(folder, text), [str(word) for word in words])
    return expand(replace(sweep, output_dir=Path(folder) / "out"))


def runner(folder):
    """Write the runner; returns the command that starts it."""
    path = Path(folder) / "runner.py"
    path.write_text(RUNNER, encoding="utf-8")
    return [sys.executable, "-I", "-S", str(path)]


def make_state(output_dir, name, needs=(), **overrides):
    """The state of a new run that is in no YAML; ``needs`` are names of other runs."""
    folder, stage = Path(output_dir) / name, name.partition("/")[0]
    argv = ["--opts", *to_cli_args({**overrides, "OUTPUT_DIR": folder})]
    sources = {f"stage{number}": other for number, other in enumerate(needs)}
    run = SweepRun(name, folder, stage, {}, None, None, "x.yaml", overrides, argv, sources)
    return RunState(run, dict(overrides))


def write_sweep_json(path, runs, chance=0.1, sweep="x.yaml"):
    """Write a sweep.json: ``runs`` are (variant, seed, {metric: value}) or these and a stage."""
    entries = [
        {
            "name": f"{'+'.join(variant.values())}/seed_{seed}",
            "stage": "".join(stage),
            "variant": variant,
            "seed": seed,
            "state": "finished",
            "metrics": {k: {"value": value, "chance": chance} for k, value in metrics.items()},
        }
        for variant, seed, metrics, *stage in runs
    ]
    names = dict.fromkeys(name for _, _, metrics, *_ in runs for name in metrics)
    results = [{"metric": name, "chance": chance} for name in names]
    path.write_text(json.dumps({"sweep": sweep, "runs": entries, "results": results}))
    return path


def write_results(folder, **metrics):
    """Write a results.json as run_net does: values after training, chance a tenth."""
    content = {name: {"after": value, "chance": 0.1} for name, value in metrics.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"format": 1, **content}), encoding="utf-8")
