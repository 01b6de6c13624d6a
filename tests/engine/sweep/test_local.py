"""Real processes: logs, cores and GPUs, Ctrl-C, a lock that outlives a killed sweep."""

import os
import signal
import subprocess
import time

import pytest
from helpers.sweeps import make_task, runner

from slowfast.config import UserError
from slowfast.engine.sweep.local import (
    LocalLauncher,
    _LocalProcess,
    find_gpus,
    lock_folder,
    share_machine,
    start_process,
)
from slowfast.engine.sweep.schedule import Interrupts, Scheduler
from slowfast.engine.sweep.summary import read_metrics


def run(folder, tasks, interrupts=None, sleep=time.sleep, jobs=2):
    lines = []
    launcher = LocalLauncher(runner(folder), jobs)
    Scheduler(tasks, launcher, interrupts or Interrupts(), lines.append, sleep=sleep).run()
    return lines


def log_of(task):
    return (task.folder / "run.log").read_text(encoding="utf-8")


def test_runs_leave_logs_and_results(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    tasks = [make_task(tmp_path, "a", METRIC=0.5), make_task(tmp_path, "b", FAIL=3)]
    lines = run(tmp_path, tasks)
    assert [task.marker.status for task in tasks] == [0, 3]
    assert read_metrics(tasks[0].folder) == {"top1_acc": {"value": 0.5, "chance": 0.1}}
    assert log_of(tasks[0]).startswith("\n$ ")
    assert f"OUTPUT_DIR {tasks[0].folder}" in log_of(tasks[0])
    cores = len(os.sched_getaffinity(0))
    assert f"threads {max(1, cores // 2)}" in log_of(tasks[0])
    assert "about to fail" in "".join(lines)


def test_ctrl_c_lets_runs_save_and_the_next_call_goes_on(tmp_path):
    tasks = [make_task(tmp_path, "a", SLEEP=60, METRIC=0.5), make_task(tmp_path, "b", SLEEP=60)]
    interrupts = Interrupts()

    def sleep(seconds):
        time.sleep(0.05)
        begun = all("threads" in log_of(task) for task in tasks)
        if begun and not interrupts.received:
            interrupts.received.append(signal.SIGINT)

    run(tmp_path, tasks, interrupts, sleep)
    assert [task.marker.state for task in tasks] == ["interrupted"] * 2
    assert all("saved" in log_of(task) for task in tasks)
    lines = run(tmp_path, tasks)
    assert [task.marker.state for task in tasks] == ["finished"] * 2
    assert "going on    a" in lines
    assert log_of(tasks[0]).count("\n$ ") == 2  # the old log is kept


def test_the_third_ctrl_c_kills(tmp_path):
    script = "trap '' INT; echo begun; sleep 60 & wait; sleep 60"
    log = tmp_path / "run.log"
    process = start_process(["sh", "-c", script], log, os.environ)
    while not log.read_text(encoding="utf-8").endswith("begun\n"):
        time.sleep(0.01)
    launcher = LocalLauncher(["true"], 1)
    ours = [_LocalProcess(process)]
    launcher.interrupt(ours, 1)
    launcher.interrupt(ours, 2)
    time.sleep(0.1)
    assert ours[0].poll() is None
    launcher.interrupt(ours, 3)
    assert process.wait(10) == -signal.SIGKILL
    launcher.interrupt(ours, 4)  # it has gone: nothing happens


def test_nothing_to_attach_to(tmp_path):
    assert LocalLauncher(["true"], 1).attach(make_task(tmp_path, "a", state="running")) is None


def test_a_run_alone_has_the_machine():
    assert share_machine(0, 1, ["0", "1"], {}) == {}


@pytest.mark.parametrize(
    ("slots", "gpus", "expected"),
    [
        (2, ["0", "1", "2", "3"], ["0,1", "2,3"]),
        (2, ["0", "1", "2"], ["0", "1,2"]),
        (2, ["5"], ["5", "5"]),
        (4, ["0", "1"], ["0", "1", "0", "1"]),
    ],
)
def test_gpus_are_shared_out(slots, gpus, expected):
    shares = [share_machine(slot, slots, gpus, {}) for slot in range(slots)]
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == expected


def test_threads_that_the_user_chose_stay(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    share = share_machine(1, 3, [], {"OMP_NUM_THREADS": "7"})
    assert share == {"MKL_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
    assert share_machine(0, 50, [], {})["OMP_NUM_THREADS"] == "1"


def test_gpus_are_found_without_torch(tmp_path):
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-ab"}) == ["2", "GPU-ab"]
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    assert find_gpus({"PATH": str(tmp_path)}) == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: X (UUID)'\necho 'GPU 1: X (UUID)'\n")
    program.chmod(0o755)
    assert find_gpus({"PATH": str(tmp_path)}) == ["0", "1"]


def test_a_second_sweep_is_kept_out(tmp_path):
    folder = tmp_path / "out"
    with (
        lock_folder(folder),
        pytest.raises(UserError, match="another sweep"),
        lock_folder(folder),
    ):
        pass
    with lock_folder(folder):
        pass  # free again


def test_a_run_that_was_left_behind_holds_the_lock(tmp_path):
    """A sweep that is killed leaves its runs going; they must not be started a second time."""
    with lock_folder(tmp_path) as lock:
        process = start_process(["sleep", "60"], tmp_path / "log", os.environ, [lock])
    try:
        with pytest.raises(UserError, match="a run that it left behind"), lock_folder(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()
    with lock_folder(tmp_path):
        pass


def test_a_slot_is_used_again(tmp_path):
    launcher = LocalLauncher(["true"], 1)
    for name in "ab":
        task = make_task(tmp_path, name)
        task.folder.mkdir()
        (process,) = launcher.start([task])
        while process.poll() is None:
            time.sleep(0.01)
    assert process.job_id is None
    assert isinstance(process.popen, subprocess.Popen)
