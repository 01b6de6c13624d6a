"""SLURM: what is asked of submitit, with a stand-in; and submitit's own local executor."""

import contextlib
import importlib.util
import os
import pickle
import signal
import sys
import threading
import time

import pytest
from helpers.sweeps import make_task, runner

from slowfast.config import UserError
from slowfast.engine.sweep.schedule import Interrupts, Scheduler
from slowfast.engine.sweep.slurm import Command, SlurmLauncher

has_submitit = importlib.util.find_spec("submitit") is not None


class FakeJob:
    def __init__(self, job_id, statuses=(0,), error=None):
        self.job_id, self.statuses, self.error, self.is_done = job_id, statuses, error, False

    def done(self):
        return self.is_done

    def exception(self):
        return self.error

    def results(self):
        return list(self.statuses)


class FakeExecutor:
    made = ()

    def __init__(self, **options):
        FakeExecutor.made = (*FakeExecutor.made, self)
        self.options, self.parameters, self.arrays, self.open = options, {}, [], None

    def update_parameters(self, **parameters):
        if "nonsense" in parameters:
            raise NameError("Unknown argument 'nonsense'")
        self.parameters = parameters

    @contextlib.contextmanager
    def batch(self):
        self.open = []
        yield
        self.arrays.append(self.open)

    def submit(self, command):
        self.open.append(command)
        return FakeJob(f"{len(self.arrays)}_{len(self.open)}")


@pytest.fixture
def launcher(tmp_path):
    parameters = {"timeout_min": 60, "slurm_partition": "gpu", "slurm_max_num_timeout": 9}
    return SlurmLauncher(["run"], tmp_path, parameters, make_executor=FakeExecutor)


def test_what_is_ready_becomes_one_array(tmp_path, launcher):
    tasks = [make_task(tmp_path, name) for name in "ab"]
    processes = launcher.start(tasks)
    assert [process.job_id for process in processes] == ["0_1", "0_2"]
    (array,) = FakeExecutor.made[-1].arrays
    assert array[0].words == ["run", *tasks[0].marker.command]
    assert array[1].folder == tasks[1].folder
    assert processes[0].poll() is None


def test_parameters_go_where_submitit_wants_them(tmp_path, launcher):
    executor = FakeExecutor.made[-1]
    assert executor.options == {
        "folder": tmp_path / ".slurm",
        "cluster": "slurm",
        "slurm_max_num_timeout": 9,
    }
    assert executor.parameters == {
        "name": "sweep",
        "tasks_per_node": 1,
        "timeout_min": 60,
        "slurm_partition": "gpu",
    }


def test_the_status_of_a_job(tmp_path, launcher, caplog):
    (process,) = launcher.start([make_task(tmp_path, "a")])
    process._job.is_done = True
    assert process.poll() == 0
    process._job.statuses = (0, 130)  # of several tasks
    assert process.poll() == 130
    process._job.error = RuntimeError("out of memory")
    assert process.poll() == 1
    assert "out of memory" in caplog.text


def test_a_job_of_an_earlier_call_is_found_again(tmp_path):
    asked = []

    def find(**options):
        asked.append(options)
        return FakeJob(options["job_id"])

    parameters = {"nodes": 2, "tasks_per_node": 4}
    launcher = SlurmLauncher(["run"], tmp_path, parameters, FakeExecutor, find)
    task = make_task(tmp_path, "a", state="running")
    assert launcher.attach(task) is None  # it ran on this machine
    task.marker.slurm_job = "12_3"
    process = launcher.attach(task)
    assert process.job_id == "12_3"
    folder = tmp_path / ".slurm"
    assert asked == [{"folder": folder, "job_id": "12_3", "tasks": list(range(8))}]
    task.marker.state = "failed"
    assert launcher.attach(task) is None
    launcher.interrupt([process], 1)  # nothing: it goes on by itself


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="slurm: Unknown argument 'nonsense'"):
        SlurmLauncher(["run"], tmp_path, {"nonsense": 1}, FakeExecutor)

    class Refusing(FakeExecutor):
        def submit(self, command):
            raise RuntimeError("sbatch: invalid partition")

    launcher = SlurmLauncher(["run"], tmp_path, {}, Refusing)
    with pytest.raises(UserError, match="could not submit: sbatch: invalid partition"):
        launcher.start([make_task(tmp_path, "a")])


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
def test_a_command_saves_before_its_end(tmp_path, monkeypatch, how):
    """The signal arrives in the middle of waiting for the run."""
    out = tmp_path / "out"
    out.mkdir()
    words = [*runner(tmp_path), "--opts", "SLEEP", "60", "OUTPUT_DIR", str(out)]
    command = Command(words, tmp_path)
    again = []

    class Helpers:
        DelayedSubmission = staticmethod(lambda function: ("again", function))

    fake = type("Submitit", (), {"helpers": Helpers})
    monkeypatch.setattr("slowfast.engine.sweep.slurm.import_submitit", lambda: fake)
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
    words = {"cluster": "local", "timeout_min": 1}
    launcher = SlurmLauncher(runner(tmp_path), tmp_path, words)
    tasks = [make_task(tmp_path, "a", METRIC=0.5), make_task(tmp_path, "b", FAIL=3)]
    lines = []
    Scheduler(tasks, launcher, Interrupts(), lines.append).run()
    assert [task.marker.state for task in tasks] == ["finished", "failed"]
    assert [task.marker.status for task in tasks] == [0, 3]
    assert "about to fail" in "".join(lines)
    assert launcher.attach(tasks[0]) is None


@pytest.mark.skipif(not has_submitit, reason="needs submitit (extra slurm)")
def test_submitit_names_a_wrong_parameter(tmp_path):
    with pytest.raises(UserError, match=r"slurm: .*timout_min"):
        SlurmLauncher(["run"], tmp_path, {"cluster": "local", "timout_min": 1})
