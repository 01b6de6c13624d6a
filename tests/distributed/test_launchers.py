"""Jobs as torchrun, srun and submitit start them, on loopback: whole commands in processes."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.launch_targets import write_rank
from helpers.media_files import Video, write_media
from helpers.synthetic import OVERRIDES

from slowfast.utils.checkpoint import list_checkpoints
from slowfast.utils.launch import launch
from slowfast.utils.logging import read_stats

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
has_submitit = importlib.util.find_spec("submitit") is not None

TESTS = Path(__file__).resolve().parents[1]
WORDS = (
    "PROJECTS ['helpers.synthetic'] TEST.ENABLE False TRAIN.EVAL_PERIOD 0 REPORT.ENABLE False "
    "NUM_THREADS 1 DIST.TIMEOUT_SEC 60 TRAIN.CHECKPOINT_PERIOD 1 TRAIN.CHECKPOINT_PERIOD_ITERS 1"
)


@pytest.fixture
def environment():
    paths = [str(TESTS), *sys.path]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SUBMITIT"))}
    return {**keep, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start(tmp_path, environment):
    """Starts commands in sessions of their own, and ends what is left of them."""
    started = []

    def start(words, name, **variables):
        with (tmp_path / f"{name}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                env={**environment, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def training(tmp_path, *words):
    """The command of a training, without the interpreter."""
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    overrides = [*OVERRIDES.split(), *WORDS.split(), *words]
    return [
        "-m",
        "slowfast",
        "train",
        "--cfg",
        str(config),
        *overrides,
        "OUTPUT_DIR",
        str(tmp_path / "out"),
    ]


def wait_until(is_reached, sec=240.0):
    deadline = time.monotonic() + sec
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def torchrun(port, *words):
    return [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "1",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        f"localhost:{port}",
        *words,
    ]


def test_torchrun_goes_on_without_a_lost_machine(tmp_path, port, start):
    """The agent of the second machine is killed: its rank ends, and the first one resumes alone."""
    out = tmp_path / "out"
    command = [
        *torchrun(
            port,
            "--nnodes",
            "1:2",
            "--max-restarts",
            "3",
            "--rdzv-conf",
            "last_call_timeout=30,keep_alive_interval=1,keep_alive_max_attempt=3",
        ),
        *training(tmp_path, "SOLVER.MAX_EPOCH", "60"),
    ]
    first = start(command, "first")
    wait_until(lambda: is_listening(port))  # it holds the rendezvous, and must not be the lost one
    second = start(command, "second")
    log = tmp_path / "first.log"
    wait_until(lambda: len(list_checkpoints(out)) > 2)
    assert "2 processes; output in" in log.read_text(encoding="utf-8")
    second.kill()
    assert first.wait(400) == 0
    printed = log.read_text(encoding="utf-8")
    assert re.search(r"error: .*rank [01] \(", printed)
    assert "1 process; output in" in printed
    resumed = re.findall(r"resuming from .*: epoch (\d+), iteration", printed)
    assert resumed
    assert int(resumed[-1]) >= 1
    steps = [stats["epoch"] for stats in read_stats(out) if stats["_type"] == "train_epoch"]
    assert steps[-1] == "60/60"


def test_srun_on_two_machines(tmp_path, port, start):
    """What SLURM sets for two nodes with one task each."""
    common = {
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": str(port),
    }
    command = training(tmp_path, "SOLVER.BASE_BATCH_SIZE", "4")
    tasks = [start(command, f"task{rank}", SLURM_PROCID=str(rank), **common) for rank in range(2)]
    assert [task.wait(300) for task in tasks] == [0, 0]
    printed = (tmp_path / "task0.log").read_text(encoding="utf-8")
    assert "2 processes; output in" in printed
    # 13 samples: two machines of TRAIN.BATCH_SIZE 4 each make one step of eight.
    steps = [stats["step"] for stats in read_stats(tmp_path / "out") if "step" in stats]
    assert max(steps) == 2


@pytest.mark.skipif(not has_submitit, reason="needs submitit (extra slurm)")
def test_submitit_starts_two_tasks(tmp_path, monkeypatch, environment):
    import submitit

    for name in ("PYTHONPATH", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, environment[name])
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    executor.update_parameters(tasks_per_node=2, timeout_min=5, gpus_per_node=0)
    ranks = tmp_path / "ranks"
    ranks.mkdir()
    job = executor.submit(launch, write_rank, (str(ranks),))
    job.results()
    found = {path.name: path.read_text() for path in ranks.iterdir()}
    assert found == {"0_of_2": "[0, 1]", "1_of_2": "[0, 1]"}


def test_prepare_data_shares_the_files_of_torchrun(tmp_path, port, start):
    """Two processes write what one process writes."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(5):
        write_media(videos / f"{number}.mp4", Video(ticks=range(8 + number), size=(96, 64)))
    (videos / "bad.mp4").write_bytes(b"no media")
    words = ["--short-side", "48", "--preset", "ultrafast", "--jobs", "1"]
    command = ["-m", "slowfast", "prepare", "all", str(videos), *words]
    launcher = torchrun(port, "--nnodes", "1", "--nproc-per-node", "2")
    jobs = [
        start([*command, "--out", str(tmp_path / "one")], "alone"),
        start([*launcher, *command, "--out", str(tmp_path / "two")], "shared"),
    ]
    assert [job.wait(300) for job in jobs] == [0, 0]
    one, two = (
        {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")}
        for name in ("one", "two")
    )
    assert one == two
    for name in ("check/report.csv", "check/quarantine.csv", "videos/encode.csv", "train.csv"):
        texts = [(tmp_path / job / name).read_text(encoding="utf-8") for job in ("one", "two")]
        assert texts[1].replace("two", "one") == texts[0]
    printed = (tmp_path / "shared.log").read_text(encoding="utf-8")
    assert printed.count("5 encoded in") == 1
