"""The order of runs, several at once, failures, interrupts: with runs that take no time."""

import os
import signal

import pytest
from helpers.sweeps import make_task

from slowfast.engine.sweep.progress import format_seconds, read_tail
from slowfast.engine.sweep.run_state import read_marker
from slowfast.engine.sweep.schedule import Interrupts, Scheduler, catch_interrupts


class FakeProcess:
    def __init__(self, launcher, name):
        self.launcher, self.name, self.job_id = launcher, name, launcher.job_id
        self.end = launcher.now + launcher.durations.get(name, 10)

    def poll(self):
        return self.launcher.statuses.get(self.name, 0) if self.launcher.now >= self.end else None


class FakeLauncher:
    """Runs that last as long as they are told, on a clock that only ``sleep`` moves."""

    detaches = False
    job_id = None

    def __init__(self, slots=1, durations=None, statuses=None):
        self.slots, self.durations, self.statuses = slots, durations or {}, statuses or {}
        self.now, self.started, self.most, self.active, self.asked = 0.0, [], 0, [], []
        self.submitted = {}

    def start(self, tasks):
        self.started += [task.name for task in tasks]
        found = [FakeProcess(self, task.name) for task in tasks]
        self.active = [p for p in self.active if p.poll() is None] + found
        self.most = max(self.most, len(self.active))
        return found

    def attach(self, task):
        return FakeProcess(self, task.name) if task.marker.slurm_job else None

    def interrupt(self, processes, times):
        self.asked.append((times, [process.name for process in processes]))
        for process in processes:
            process.end, self.statuses[process.name] = self.now + 1, 130

    def sleep(self, seconds):
        self.now += seconds


def schedule(tasks, launcher, interrupts=None):
    lines = []
    Scheduler(
        tasks,
        launcher,
        interrupts or Interrupts(),
        lines.append,
        sleep=launcher.sleep,
        clock=lambda: launcher.now,
    ).run()
    return lines


def states(tasks):
    return [task.marker.state for task in tasks]


def test_one_after_the_other(tmp_path):
    tasks = [make_task(tmp_path, name) for name in "abc"]
    launcher = FakeLauncher()
    lines = schedule(tasks, launcher)
    assert launcher.started == ["a", "b", "c"]
    assert launcher.most == 1
    assert states(tasks) == ["finished"] * 3
    assert lines[0] == "started     a"
    assert lines[1] == "finished    a  10 s  [1 of 3 done, about 20 s left]"
    assert lines[-1] == "finished    c  10 s  [3 of 3 done]"
    marker = read_marker(tasks[0].folder)
    assert (marker.state, marker.status, round(marker.seconds)) == ("finished", 0, 10)


def test_several_at_once(tmp_path):
    tasks = [make_task(tmp_path, name) for name in "abcde"]
    launcher = FakeLauncher(slots=2, durations={"a": 35})
    lines = schedule(tasks, launcher)
    assert launcher.most == 2
    assert launcher.now == pytest.approx(40, abs=2)
    assert states(tasks) == ["finished"] * 5
    # b is done after 10 s: c, d, e and a, which has run as long, at two at a time
    assert lines[2] == "finished    b  10 s  [1 of 5 done, about 15 s left]"


def test_a_run_waits_for_what_it_needs(tmp_path):
    tasks = [
        make_task(tmp_path, "pretrain"),
        make_task(tmp_path, "probe", needs=["pretrain"]),
        make_task(tmp_path, "other"),
    ]
    launcher = FakeLauncher(slots=3)
    schedule(tasks, launcher)
    assert launcher.started == ["pretrain", "other", "probe"]


def test_the_time_left_is_that_of_the_stage(tmp_path):
    names = ["long/1", "short/1", "long/2", "short/2"]
    tasks = [make_task(tmp_path, name) for name in names]
    lines = schedule(tasks, FakeLauncher(durations={"long/1": 100, "long/2": 100}))
    assert "about 1 min 50 s left" in lines[3]


def test_a_failure_stops_only_what_needs_it(tmp_path):
    tasks = [
        make_task(tmp_path, "a"),
        make_task(tmp_path, "b", needs=["a"]),
        make_task(tmp_path, "c", needs=["b"]),
        make_task(tmp_path, "d"),
    ]
    tasks[0].folder.mkdir()
    (tasks[0].folder / "run.log").write_text("of an earlier attempt\n", encoding="utf-8")

    class Writing(FakeLauncher):
        def start(self, tasks):
            with (tasks[0].folder / "run.log").open("a", encoding="utf-8") as log:
                log.write("".join(f"line {number}\n\n" for number in range(40)))
            return super().start(tasks)

    lines = schedule(tasks, Writing(statuses={"a": 2}))
    assert states(tasks) == ["failed", "new", "new", "finished"]
    assert lines[1].startswith("failed      a")
    assert "exit status 2" in lines[2]
    assert lines[2].count("\n") == 15
    assert lines[2].endswith("    line 39")


def test_the_log_of_an_earlier_attempt_is_not_shown(tmp_path):
    task = make_task(tmp_path, "a", state="failed")
    task.folder.mkdir()
    (task.folder / "run.log").write_text("old\n", encoding="utf-8")
    text = "\n".join(schedule([task], FakeLauncher(statuses={"a": -9})))
    assert "old" not in text
    assert "killed by signal 9" in text
    assert text.startswith("going on    a")


def test_what_is_finished_is_not_run_again(tmp_path):
    tasks = [make_task(tmp_path, "a", state="finished"), make_task(tmp_path, "b", needs=["a"])]
    launcher = FakeLauncher()
    schedule(tasks, launcher)
    assert launcher.started == ["b"]


def test_a_changed_run_is_set_aside(tmp_path):
    task = make_task(tmp_path, "a")
    task.folder.mkdir()
    (task.folder / "old").touch()
    task.changes = ["A: 1 -> 2"]
    lines = schedule([task], FakeLauncher())
    assert (tmp_path / "a.replaced_1/old").exists()
    assert not (task.folder / "old").exists()
    assert lines[:2] == [f"kept        {tmp_path / 'a.replaced_1'}", "started     a"]
    assert states([task]) == ["finished"]


def test_an_interrupt_ends_what_runs_and_starts_nothing_more(tmp_path):
    tasks = [make_task(tmp_path, name) for name in "abc"]
    interrupts = Interrupts()

    class Interrupted(FakeLauncher):
        def sleep(self, seconds):
            super().sleep(seconds)
            if self.now > 15 and not interrupts.received:
                interrupts.received.append(signal.SIGINT)

    launcher = Interrupted()
    lines = schedule(tasks, launcher, interrupts)
    assert launcher.asked == [(1, ["b"])]
    assert states(tasks) == ["finished", "interrupted", "new"]
    assert any(line.startswith("stopping: waiting for b to save") for line in lines)
    # The next call goes on with b.
    launcher = FakeLauncher()
    assert schedule(tasks, launcher)[0] == "going on    b"
    assert states(tasks) == ["finished"] * 3


def test_a_second_interrupt_is_passed_on(tmp_path):
    interrupts = Interrupts()

    class Stubborn(FakeLauncher):
        def sleep(self, seconds):
            super().sleep(seconds)
            if self.now > 2 * (1 + len(interrupts.received)) and len(interrupts.received) < 3:
                interrupts.received.append(signal.SIGINT)

        def interrupt(self, processes, times):
            if times == 3:
                super().interrupt(processes, times)
            else:
                self.asked.append((times, [process.name for process in processes]))

    launcher = Stubborn(durations={"a": 1e9})
    task = make_task(tmp_path, "a")
    schedule([task], launcher, interrupts)
    assert launcher.asked == [(1, ["a"]), (2, ["a"]), (3, ["a"])]
    assert states([task]) == ["interrupted"]


def test_submitted_jobs_go_on_without_us(tmp_path):
    tasks = [make_task(tmp_path, "a"), make_task(tmp_path, "b", needs=["a"])]
    interrupts = Interrupts()

    class Cluster(FakeLauncher):
        detaches, job_id = True, "7_1"

        def sleep(self, seconds):
            super().sleep(seconds)
            if self.now > 5:
                interrupts.received.append(signal.SIGINT)

    launcher = Cluster(slots=None)
    lines = schedule(tasks, launcher, interrupts)
    assert lines == ["started     a  (SLURM job 7_1)"]
    marker = read_marker(tasks[0].folder)
    assert (marker.state, marker.slurm_job) == ("running", "7_1")
    # The next call waits for it instead of submitting it again.
    interrupts.received.clear()
    launcher = FakeLauncher(slots=None)
    lines = schedule(tasks, launcher)
    assert lines[0] == "waiting     a  (SLURM job None)"
    assert launcher.started == ["b"]
    assert states(tasks) == ["finished"] * 2


def test_signals_are_counted_and_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with catch_interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.received == [signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_tail_of_a_log(tmp_path):
    path = tmp_path / "log"
    assert read_tail(path) == []
    path.write_bytes(b"a\n\n1 %\r2 %\r\nb\xff\n")
    assert read_tail(path) == ["a", "2 %", "b\ufffd"]
    assert read_tail(path, start=2, count=1) == ["b\ufffd"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
        (86400 + 60, "1 d"),
    ],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text
