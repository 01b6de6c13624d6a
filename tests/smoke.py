"""What a user types, in miniature: demo, own videos, stop and resume, the wheel elsewhere.

python tests/smoke.py
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = [sys.executable, str(ROOT / "tools" / "run_net.py")]
PRETRAIN = "configs/StiCA/R2plus1D_pretrain.yaml"
TINY = (
    "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 RESNET.WIDTH_PER_GROUP 8 AUDIO.WIDTH 8 "
    "DATA_LOADER.NUM_WORKERS 1 TRAIN.BATCH_SIZE 4 LOG_PERIOD 1 NUM_GPUS 0"
).split()
DEMO = ["DEMO_SET.NUM_TRAIN_PER_CLASS", "2", "DEMO_SET.NUM_TEST_PER_CLASS", "1"]
TIMEOUT_SEC = 900


def run(command: list[str], status: int = 0, **options: object) -> str:
    """Run a command, check its exit status, return what it printed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_SEC, check=False, **options
    )
    if done.returncode != status:
        raise AssertionError(
            f"{' '.join(command)}\nexit status {done.returncode}, expected {status}\n"
            f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done.stdout + done.stderr


def demo(folder: Path) -> None:
    """The command of the title, made tiny, leaves everything it promises."""
    out = folder / "demo"
    words = [*DEMO, *TINY, "SOLVER.MAX_EPOCH", "2", "SOLVER.WARMUP_EPOCHS", "1"]
    words += ["OUTPUT_DIR", str(out)]
    text = run([*RUN, "--cfg", PRETRAIN, *words], cwd=ROOT)
    assert "BUILT-IN DEMO SET" in text, text
    assert "To train on your own videos" in text
    assert f"written to {out}: checkpoints/checkpoint_epoch_00002.pyth, " in text, text
    assert f"    slowfast eval {out}\n" in text, text
    results = json.loads((out / "results.json").read_text())
    for name in ("class_retrieval_r1", "video_to_audio_r1", "audio_to_video_r1"):
        assert set(results[name]) == {"before", "after", "chance"}, results
    assert sum(name.startswith("baseline") for name in results) == 4, results
    for name in ("json_stats.log", "curves.png", "runs-demo", "checkpoints"):
        assert (out / name).exists(), name


def demo_is_refused(folder: Path) -> None:
    """Several processes, or the folder of a real run, never meet the demo set."""
    text = run([*RUN, "--cfg", PRETRAIN, *TINY, "NUM_CPU_PROCESSES", "2"], status=2, cwd=ROOT)
    assert "DATA.PATH_TO_DATA_DIR: is empty" in text, text
    words = [*TINY, "OUTPUT_DIR", str(folder / "own")]
    text = run([*RUN, "--cfg", PRETRAIN, *words], status=2, cwd=ROOT)
    assert "holds checkpoints of training on real data" in text, text


def own_videos(folder: Path) -> None:
    """A plain folder of videos without labels; stopped by Ctrl-C, resumed with the same command."""
    videos = folder / "videos"
    videos.mkdir()
    for number, path in enumerate(sorted((folder / "cache").rglob("*.mp4"))):
        (videos / f"video {number}.mp4").symlink_to(path)
    words = [*TINY, "DATA.PATH_TO_DATA_DIR", str(videos), "OUTPUT_DIR", str(folder / "own")]
    words += ["SOLVER.MAX_EPOCH", "20", "TRAIN.MAX_STEPS", "12", "SOLVER.WARMUP_EPOCHS", "1"]
    command = [*RUN, "--cfg", PRETRAIN, *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if " iter 2/" in line:
            process.send_signal(signal.SIGINT)
            break
    process.stdout.read()
    assert process.wait(TIMEOUT_SEC) == 130
    text = run(command, cwd=ROOT)
    assert "resuming from" in text, text


def two_keys(folder: Path) -> None:
    """Transformer and crops on the supervised YAML, class folders as data."""
    data = next((folder / "cache").glob("demo-*"))
    words = [*TINY, "DATA.PATH_TO_DATA_DIR", str(data), "OUTPUT_DIR", str(folder / "two")]
    words += ["TRAIN.MAX_STEPS", "2", "TEST.ENABLE", "False", "MODEL.NUM_CLASSES", "10"]
    words += ["PROJECTS", "['stica']", "MODEL.POOLING", "transformer"]
    words += ["MODEL.FEATURE_AUG", "feature_crop", "BN.USE_PRECISE_STATS", "False"]
    text = run([*RUN, "--cfg", "configs/Kinetics/R2PLUS1D_18_30f.yaml", "--opts", *words], cwd=ROOT)
    assert "loss_crops" in text, text


def protocols(folder: Path) -> None:
    """Every protocol, pre-trained against random weights, by the sweep of the docs."""
    words = [*TINY, "DEMO_SET.NUM_TRAIN_PER_CLASS", "5", "DEMO_SET.NUM_TEST_PER_CLASS", "1"]
    words += ["SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_EPOCHS", "0.0", "TRAIN.BATCH_SIZE", "10"]
    words += ["PROBE.FEW_SHOT_K", "[1,2]", "PROBE.FEW_SHOT_EPISODES", "2"]
    words += ["MODEL.ATTENTIVE_HEADS", "4"]
    out = folder / "protocols"
    sweep = [sys.executable, str(ROOT / "tools" / "sweep_net.py")]
    sweep += ["--sweep", "configs/StiCA/sweeps/demo_protocols.yaml", "--only", "*seed_42"]
    text = run([*sweep, "--output_dir", str(out), *words], cwd=ROOT)
    table = (out / "table.csv").read_text()
    for metric in ("class_retrieval_r1", "linear_svm_top1", "av_sync", "few_shot_1", "top1_acc"):
        assert metric in table, (metric, text)
    assert json.loads((out / "sweep.json").read_text())["runs"], text


def prepare(folder: Path) -> None:
    """A folder of videos is checked, re-encoded and indexed; the originals stay as they are."""
    data = next((folder / "cache").glob("demo-*")) / "test"
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    tool = [sys.executable, str(ROOT / "tools" / "prepare_data.py")]
    text = run([*tool, "all", str(data), "--out", str(folder / "prepared")], cwd=ROOT)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before, text
    assert list((folder / "prepared").rglob("train.csv")), text


def wheel(folder: Path) -> None:
    """The wheel, installed outside of the clone, runs a shipped config by its name."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder / "dist"), "."],
        cwd=ROOT,
    )
    (built,) = (folder / "dist").glob("*.whl")
    run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(built)])
    env = {**os.environ, "PYTHONPATH": str(folder / "site")}
    where = run(
        [sys.executable, "-c", "import slowfast, stica; print(slowfast.__file__, stica.__file__)"],
        cwd=folder,
        env=env,
    )
    assert where.count(str(folder / "site")) == 2, where
    code = (
        "import stica\nfrom slowfast.models.zoo.rows import ZOO_REGISTRY, resolve\n"
        "print(resolve('package://stica_weights/README.md'))\n"
        "rows = [entry() for _, entry in ZOO_REGISTRY]\n"
        "print(*[resolve(f'zoo://{row.name}') for row in rows if row.is_packaged])"
    )
    shipped = len(list((ROOT / "projects" / "stica" / "weights").glob("*/row.yaml")))
    where = run([sys.executable, "-c", code], cwd=folder, env={**env, "SLOWFAST_OFFLINE": "1"})
    assert where.count(str(folder / "site" / "stica_weights")) == 1 + shipped, where
    words = [*DEMO, *TINY, "TRAIN.MAX_STEPS", "2", "TEST.ENABLE", "False"]
    words += ["TRAIN.EVAL_BEFORE", "False", "OUTPUT_DIR", str(folder / "wheel")]
    command = [sys.executable, "-m", "slowfast", "train", "--cfg", PRETRAIN[len("configs/") :]]
    assert "saved" in run([*command, *words], cwd=folder, env=env)
    installed_commands(folder, str(folder / "site" / "bin" / "slowfast"), env)


def installed_commands(folder: Path, slowfast: str, env: dict[str, str]) -> None:
    """The script ``slowfast`` of the wheel: the help of all commands, and a run by its folder."""
    text = run([slowfast, "--help"], cwd=folder, env=env)
    names = re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)
    assert {"train", "test", "eval", "embed", "search", "check", "configs"} <= set(names), text
    for name in names:
        text = run([slowfast, name, "--help"], cwd=folder, env=env)
        assert f"usage: slowfast {name} " in text, text
    text = run([slowfast, "configs", "stica", "pretrain"], cwd=folder, env=env)
    assert PRETRAIN[len("configs/") :] in text, text
    assert "Did you mean 'train'?" in run([slowfast, "trian"], status=2, cwd=folder, env=env)
    words = ["TEST.PROTOCOLS", "['class_retrieval']", "DATA_LOADER.NUM_WORKERS", "0"]
    for name, out in (("test", "wheel"), ("eval", "wheel/eval")):
        text = run([slowfast, name, str(folder / "wheel"), *words], cwd=folder, env=env)
        assert f"written to {folder / out}: " in text, text
        results = json.loads((folder / out / "results.json").read_text())
        assert "class_retrieval_r1" in results, results


def not_installed(folder: Path) -> None:
    """Without an install, the tool says in one line how to install."""
    text = run([sys.executable, "-I", "-S", *RUN[1:]], status=1, cwd=folder)
    assert "pip install" in text, text
    assert "Traceback" not in text


def help_is_quick(folder: Path) -> None:
    """--help imports nothing heavy."""
    start = time.perf_counter()
    assert "--opts" in run([*RUN, "--help"], cwd=folder)
    assert time.perf_counter() - start < 10


def main() -> int:
    """Run every step; print a line each and a count."""
    steps = [help_is_quick, not_installed, demo, own_videos, demo_is_refused, two_keys, protocols]
    steps += [prepare, wheel]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SLOWFAST_CACHE"] = str(folder / "cache")
        for step in steps:
            start = time.perf_counter()
            try:
                step(folder)
                outcome = "ok"
            except (AssertionError, subprocess.TimeoutExpired) as error:
                outcome, failed = f"FAILED\n{error}", failed + 1
            sys.stdout.write(f"{step.__name__}: {outcome} ({time.perf_counter() - start:.0f} s)\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(steps) - failed} passed, {failed} failed\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
