"""SLURM: what is asked of submitit, with a stand-in; and submitit's own local executor."""

import contextlib
import importlib.util
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.sweeps import make_state, runner
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main as run_net
from slowfast.cli.sweep_net import RUN_COMMAND
from slowfast.config import UserError
from slowfast.engine.sweep.scheduler import Scheduler
from slowfast.engine.sweep.slurm import Command, SlurmLauncher
from slowfast.utils.logging import read_stats

has_submitit = importlib.util.find_spec("submitit") is not None


class FakeJob:
    """A job with statuses of its tasks, which is done when it is told."""

    def __init__(self, folder, job_id, tasks=(0,)):
        self.made = (folder, job_id, tasks)
        self.job_id, self.statuses, self.error, self.is_done = job_id, [0], None, False

    def done(self):
        return self.is_done

    def exception(self):
        return self.error

    def results(self):
        return self.statuses


class FakeExecutor:
    def __init__(self, folder, **options):
        self.folder, self.options, self.parameters = folder, options, {}
        self.arrays, self.jobs = [], []

    def update_parameters(self, **parameters):
        if "nonsense" in parameters:
            raise NameError("Unknown argument 'nonsense'")
        self.parameters = parameters

    @contextlib.contextmanager
    def batch(self):
        self.arrays.append([])
        yield

    def submit(self, command):
        if "invalid" in self.parameters.values():
            raise RuntimeError("sbatch: invalid partition")
        self.arrays[-1].append(command)
        self.jobs.append(FakeJob(self.folder, f"{len(self.arrays)}_{len(self.arrays[-1])}"))
        return self.jobs[-1]


@pytest.fixture
def submitit(monkeypatch):
    """A stand-in for the module; ``executors`` are those that were made."""
    executors = []

    def make(folder, **options):
        executors.append(FakeExecutor(folder, **options))
        return executors[-1]

    helpers = SimpleNamespace(DelayedSubmission=lambda function: ("again", function))
    fake = SimpleNamespace(
        AutoExecutor=make, SlurmJob=FakeJob, helpers=helpers, executors=executors
    )
    monkeypatch.setitem(sys.modules, "submitit", fake)
    return fake


def test_what_is_ready_becomes_one_array(tmp_path, submitit):
    launcher = SlurmLauncher(["run"], tmp_path, {})
    states = [make_state(tmp_path, name) for name in "ab"]
    processes = launcher.start(states)
    assert [state.slurm_job for state in states] == ["1_1", "1_2"]
    (array,) = submitit.executors[0].arrays
    assert array[0].argv == ["run", *states[0].run.argv]
    assert array[1].folder == states[1].run.folder
    assert processes[0].poll() is None
    launcher.interrupt(1)  # nothing: they continue by themselves


def test_parameters_go_where_submitit_wants_them(tmp_path, submitit):
    given = {"timeout_min": 60, "slurm_partition": "gpu", "slurm_max_num_timeout": 9}
    SlurmLauncher(["run"], tmp_path, given)
    (executor,) = submitit.executors
    assert executor.folder == tmp_path / ".slurm"
    assert executor.options == {"cluster": "slurm", "slurm_max_num_timeout": 9}
    expected = {"name": "sweep", "tasks_per_node": 1, "timeout_min": 60, "slurm_partition": "gpu"}
    assert executor.parameters == expected


def test_the_status_of_a_job(tmp_path, submitit, caplog):
    (process,) = SlurmLauncher(["run"], tmp_path, {}).start([make_state(tmp_path, "a")])
    (job,) = submitit.executors[0].jobs
    job.is_done = True
    assert process.poll() == 0
    job.statuses = [0, 130]  # of several tasks
    assert process.poll() == 130
    job.error = RuntimeError("out of memory")
    assert process.poll() == 1
    assert "out of memory" in caplog.text


def test_a_job_of_an_earlier_call_is_found_again(tmp_path, submitit):
    asked = []
    submitit.SlurmJob = lambda *words: asked.append(words) or FakeJob(*words)
    launcher = SlurmLauncher(["run"], tmp_path, {"nodes": 2, "tasks_per_node": 4})
    state = make_state(tmp_path, "a")
    state.state = "running"
    assert launcher.attach(state) is None  # it ran on this machine
    state.slurm_job = "12_3"
    assert launcher.attach(state).poll() is None
    assert asked == [(tmp_path / ".slurm", "12_3", list(range(8)))]
    state.state = "failed"
    assert launcher.attach(state) is None


def test_mistakes(tmp_path, submitit):
    with pytest.raises(UserError, match="slurm: Unknown argument 'nonsense'"):
        SlurmLauncher(["run"], tmp_path, {"nonsense": 1})
    launcher = SlurmLauncher(["run"], tmp_path, {"slurm_partition": "invalid"})
    with pytest.raises(UserError, match="could not submit: sbatch: invalid partition"):
        launcher.start([make_state(tmp_path, "a")])


def test_without_submitit(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'slowfast-stica\[slurm\]'.*--local"):
        SlurmLauncher(["run"], tmp_path, {})


def test_a_command_runs_where_it_is_called(tmp_path, monkeypatch):
    words = [*runner(tmp_path), "--opts", "FAIL", "3", "OUTPUT_DIR", str(tmp_path)]
    monkeypatch.setattr("slowfast.engine.sweep.slurm._POLL_SEC", 0.02)
    before = signal.getsignal(signal.SIGTERM)
    try:
        command = pickle.loads(pickle.dumps(Command(words, tmp_path)))
        assert command() == 3
        monkeypatch.setenv("SLURM_PROCID", "1")
        assert command() == 3
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "about to fail" in (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "about to fail" in (tmp_path / "run.log.1").read_text(encoding="utf-8")


@pytest.mark.parametrize("how", ["scancel", "timeout"])
def test_a_command_saves_before_its_end(tmp_path, monkeypatch, submitit, how):
    """The signal arrives in the middle of waiting for the run."""
    out = tmp_path / "out"
    out.mkdir()
    words = [*runner(tmp_path), "--opts", "SLEEP", "60", "OUTPUT_DIR", str(out)]
    command = Command(words, tmp_path)
    again = []
    monkeypatch.setattr("slowfast.engine.sweep.slurm._POLL_SEC", 0.02)

    def send():
        while "threads" not in (tmp_path / "run.log").read_text(encoding="utf-8"):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM if how == "scancel" else signal.SIGUSR2)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGUSR2, lambda *_: again.append(command.checkpoint()))
        (tmp_path / "run.log").touch()
        threading.Thread(target=send).start()
        assert command() == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (out / "saved").exists()
    assert again == ([("again", command)] if how == "timeout" else [])


@pytest.mark.skipif(not has_submitit, reason="needs submitit (extra slurm)")
def test_submitits_local_executor(tmp_path):
    launcher = SlurmLauncher(runner(tmp_path), tmp_path, {"cluster": "local", "timeout_min": 1})
    states = [make_state(tmp_path, "a", METRIC=0.5), make_state(tmp_path, "b", FAIL=3)]
    lines = []
    Scheduler(states, launcher, [], lines.append).run()
    assert [state.state for state in states] == ["finished", "failed"]
    assert [state.status for state in states] == [0, 3]
    assert "about to fail" in "".join(lines)
    with pytest.raises(UserError, match=r"slurm: .*timout_min"):
        SlurmLauncher(["run"], tmp_path, {"cluster": "local", "timout_min": 1})


@pytest.mark.slow
@pytest.mark.skipif(not has_submitit, reason="needs submitit (extra slurm)")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the job's process in /proc")
def test_a_job_that_is_put_back_into_the_queue_resumes(tmp_path, monkeypatch):
    """A real run whose time is up: it saves, is queued again, and ends as if it had never been."""
    root = Path(__file__).parents[3]
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root / "tests"), str(root), *known]))
    (tmp_path / "x.yaml").write_text("TASK: ''\n", encoding="utf-8")
    words = f"{OVERRIDES} PROJECTS ['helpers.synthetic'] TRAIN.EVAL_PERIOD 0 TEST.ENABLE False"
    words = f"{words} SOLVER.MAX_EPOCH 40 SOLVER.BASE_LR 0.001 REPORT.ENABLE False".split()
    command = ["--cfg", str(tmp_path / "x.yaml")]
    assert run_net([*command, *words, "OUTPUT_DIR", str(tmp_path / "straight")]) == 0

    state = make_state(tmp_path, "job", **dict(zip(words[::2], words[1::2], strict=True)))
    state.run.folder.mkdir()
    settings = {"cluster": "local", "timeout_min": 20}
    run_command = [*RUN_COMMAND, *command]
    (process,) = SlurmLauncher(run_command, tmp_path, settings).start([state])
    log = state.run.folder / "run.log"
    while not (log.exists() and " iter 2/" in log.read_text(encoding="utf-8")):
        assert process.poll() is None
        time.sleep(0.05)
    controller = process._job._process.pid  # as SLURM, it starts the job's processes
    (task,) = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)
    while process.poll() is None:
        time.sleep(0.2)
    text = log.read_text(encoding="utf-8")
    assert process.poll() == 0, text
    assert "stopped by SIGINT after" in text
    assert "resuming from" in text
    losses = [
        {s["step"]: s["loss"] for s in read_stats(tmp_path / name) if s["_type"] == "train_iter"}
        for name in ("job", "straight")
    ]
    assert losses[0] == losses[1]
