"""Real processes: logs, cores and GPUs, Ctrl-C, a lock that outlives a killed sweep."""

import os
import signal
import time

import pytest
from helpers.sweeps import make_state, runner

from slowfast.config import UserError
from slowfast.engine.sweep.local import (
    LocalLauncher,
    find_gpus,
    lock_folder,
    share_machine,
    start_process,
)
from slowfast.engine.sweep.scheduler import Scheduler


def run(folder, states, jobs=2):
    lines = []
    Scheduler(states, LocalLauncher(runner(folder), jobs), [], lines.append).run()
    return lines


def log_of(state):
    return (state.run.folder / "run.log").read_text(encoding="utf-8")


def test_runs_leave_logs_and_results(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    states = [make_state(tmp_path, "a", METRIC=0.5), make_state(tmp_path, "b", FAIL=3)]
    lines = run(tmp_path, states)
    assert [state.status for state in states] == [0, 3]
    assert (states[0].run.folder / "results.json").exists()
    assert log_of(states[0]).startswith("\n$ ")
    assert f"OUTPUT_DIR {states[0].run.folder}" in log_of(states[0])
    cores = len(os.sched_getaffinity(0))
    assert f"threads {max(1, cores // 2)}" in log_of(states[0])
    assert "about to fail" in "".join(lines)


def test_more_runs_than_slots(tmp_path):
    states = [make_state(tmp_path, name) for name in "abc"]
    run(tmp_path, states, jobs=1)
    assert [state.status for state in states] == [0, 0, 0]


def test_the_third_ctrl_c_kills(tmp_path):
    script = "trap '' INT; echo begun; sleep 60 & wait; sleep 60"
    state = make_state(tmp_path, "a")
    state.run.folder.mkdir()
    launcher = LocalLauncher(["sh", "-c", script], 1)
    (process,) = launcher.start([state])
    while not log_of(state).endswith("begun\n"):
        time.sleep(0.01)
    launcher.interrupt(1)
    launcher.interrupt(2)
    time.sleep(0.1)
    assert process.poll() is None
    launcher.interrupt(3)
    assert process.wait(10) == -signal.SIGKILL
    launcher.interrupt(4)  # it has gone: nothing happens


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


def test_gpus_of_the_environment_come_first(monkeypatch):
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-ab"}) == ["2", "GPU-ab"]
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert find_gpus({}) == ["0", "1"]


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
