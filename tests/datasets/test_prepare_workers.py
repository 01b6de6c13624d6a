"""Worker processes: what hangs or dies costs itself only."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import worker_targets
from helpers.worker_targets import work

from slowfast.datasets.prepare import workers
from slowfast.datasets.prepare.workers import run_tasks


def run(tasks, num_processes=2, timeout_sec=30.0):
    done = list(run_tasks(work, tasks, num_processes=num_processes, timeout_sec=timeout_sec))
    assert len(done) == len(tasks)
    return {entry.task: entry for entry in done}


def test_every_task_is_done_once_in_other_processes():
    tasks = [("pid", number) for number in range(12)]
    done = run(tasks)
    assert set(done) == set(tasks)
    pids = {entry.value for entry in done.values()}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert all((entry.code, entry.reason) == ("", "") for entry in done.values())


def test_no_tasks_start_no_process(monkeypatch):
    monkeypatch.setattr(workers._Worker, "_start", lambda self: pytest.fail("started"))
    assert run([], num_processes=4) == {}


def test_bad_tasks_cost_only_themselves():
    good = [("value", number) for number in range(6)]
    bad = [("raise", "no such thing"), ("kill", 0), ("sleep", 60), ("kill", 1)]
    done = run([*bad[:2], *good[:3], *bad[2:], *good[3:]], timeout_sec=1.5)
    assert [done[task].value for task in good] == [0, 1, 2, 3, 4, 5]
    raised, killed, hung, again = (done[task] for task in bad)
    assert (raised.code, raised.value) == ("raises", None)
    assert raised.reason.startswith("ValueError: no such thing (worker_targets.py:")
    assert (killed.code, killed.reason) == ("crashes", "its worker process died (exit code -9)")
    assert again.code == "crashes"
    assert (hung.code, hung.reason) == ("hangs", "not decoded within --timeout (1.5 s)")


def test_a_long_task_that_shows_signs_of_life_is_left_alone():
    done = run([("slow", 7)], timeout_sec=1.5)  # 2.1 s in all
    assert done["slow", 7].value == 7


def test_closing_early_lets_tasks_clean_up(tmp_path):
    results = run_tasks(
        work, [("value", 1), ("clean", str(tmp_path))], num_processes=2, timeout_sec=0
    )
    assert next(results).value == 1
    wait_for(tmp_path / "begun")
    results.close()
    assert (tmp_path / "cleaned").exists()


def test_a_worker_that_is_told_twice_to_end_prints_no_traceback(capfd):
    run([("stop at exit", 0)], num_processes=1)
    assert capfd.readouterr().err == ""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "from helpers.worker_targets import work\n"
        "from slowfast.datasets.prepare.workers import run_tasks\n"
        "if __name__ == '__main__':\n"
        "    tasks = [('pid', 0), ('sleep', 600)]\n"
        "    for done in run_tasks(work, tasks, num_processes=1, timeout_sec=0):\n"
        "        print(done.value, flush=True)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONPATH": str(Path(worker_targets.__file__).parents[1])}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=env) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def test_a_function_that_cannot_be_imported_is_one_error():
    def local(task, beat):
        return task

    with pytest.raises((AttributeError, RuntimeError), match=r"local|started"):
        list(run_tasks(local, [1], num_processes=1, timeout_sec=0))


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
