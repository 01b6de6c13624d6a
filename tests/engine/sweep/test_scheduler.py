"""The order of runs, several at once, failures, interrupts: with runs that take no time."""

import json
import os
import signal

import pytest
from helpers.sweeps import make_state

from slowfast.engine.sweep.run_state import STATE_FILE
from slowfast.engine.sweep.scheduler import Launcher, Scheduler, catch_signals


class FakeProcess:
    def __init__(self, launcher, name):
        self.launcher, self.name = launcher, name
        self.end = launcher.now + launcher.durations.get(name, 10)

    def poll(self):
        return self.launcher.statuses.get(self.name, 0) if self.launcher.now >= self.end else None


class FakeLauncher(Launcher):
    """Runs that last as long as they are told, on a clock that only ``sleep`` moves.

    ``interrupts`` are the times when the user presses Ctrl-C, the ``obeyed``-th of which ends runs.
    """

    def __init__(self, slots=1, durations=None, statuses=None, interrupts=(), obeyed=1):
        self.slots, self.durations, self.statuses = slots, durations or {}, statuses or {}
        self.interrupts, self.obeyed, self.signals = list(interrupts), obeyed, []
        self.now, self.started, self.most, self.active, self.asked = 0.0, [], 0, [], []

    def start(self, states):
        self.started += [state.name for state in states]
        found = [FakeProcess(self, state.name) for state in states]
        self.active = [p for p in self.active if p.poll() is None] + found
        self.most = max(self.most, len(self.active))
        return found

    def interrupt(self, times):
        self.asked.append(times)
        for process in self.active if times >= self.obeyed else []:
            process.end, self.statuses[process.name] = self.now + 1, 130

    def sleep(self, seconds):
        self.now += seconds
        if self.interrupts and self.now > self.interrupts[0]:
            self.interrupts.pop(0)
            self.signals.append(signal.SIGINT)


def schedule(states, launcher):
    lines, clock = [], lambda: launcher.now
    Scheduler(
        states, launcher, launcher.signals, lines.append, sleep=launcher.sleep, clock=clock
    ).run()
    return lines


def found(states):
    return [state.state for state in states]


def saved(state):
    return json.loads((state.run.folder / STATE_FILE).read_text(encoding="utf-8"))


def test_one_after_the_other(tmp_path):
    states = [make_state(tmp_path, name) for name in "abc"]
    launcher = FakeLauncher()
    lines = schedule(states, launcher)
    assert launcher.started == ["a", "b", "c"]
    assert launcher.most == 1
    assert found(states) == ["finished"] * 3
    assert lines[0] == "started     a"
    assert lines[1] == "finished    a  0:00:10  [1 of 3 done, about 0:00:20 left]"
    assert lines[-1] == "finished    c  0:00:10  [3 of 3 done]"
    content = saved(states[0])
    assert (content["state"], content["status"], round(content["seconds"])) == ("finished", 0, 10)


def test_several_at_once(tmp_path):
    states = [make_state(tmp_path, name) for name in "abcde"]
    launcher = FakeLauncher(slots=2, durations={"a": 35})
    lines = schedule(states, launcher)
    assert launcher.most == 2
    assert launcher.now == pytest.approx(40, abs=2)
    assert found(states) == ["finished"] * 5
    # b is done after 10 s: c, d, e and a, which has run as long, at two at a time
    assert lines[2].endswith("[1 of 5 done, about 0:00:15 left]")


def test_a_run_waits_for_what_it_needs(tmp_path):
    states = [
        make_state(tmp_path, "pretrain"),
        make_state(tmp_path, "probe", needs=["pretrain"]),
        make_state(tmp_path, "other"),
    ]
    launcher = FakeLauncher(slots=3)
    schedule(states, launcher)
    assert launcher.started == ["pretrain", "other", "probe"]


def test_the_time_left_is_that_of_the_stage(tmp_path):
    names = ["long/1", "short/1", "long/2", "short/2"]
    states = [make_state(tmp_path, name) for name in names]
    lines = schedule(states, FakeLauncher(durations={"long/1": 100, "long/2": 100}))
    assert "about 0:01:50 left" in lines[3]


def test_a_failure_stops_only_what_needs_it(tmp_path):
    states = [
        make_state(tmp_path, "a"),
        make_state(tmp_path, "b", needs=["a"]),
        make_state(tmp_path, "c", needs=["b"]),
        make_state(tmp_path, "d"),
    ]
    states[0].run.folder.mkdir()
    log = states[0].run.folder / "run.log"
    log.write_text("of an earlier attempt\n", encoding="utf-8")

    class Writing(FakeLauncher):
        def start(self, states):
            with log.open("ab") as file:
                file.write(b"\n$ command\n")
                file.write("".join(f"line {n}\n\n" for n in range(self.num_lines)).encode())
                file.write(b"1 %\r2 %\r\nb\xff\n")
            return super().start(states)

    launcher = Writing(statuses={"a": 2})
    launcher.num_lines = 40
    lines = schedule(states, launcher)
    assert found(states) == ["failed", "new", "new", "finished"]
    assert lines[1].startswith("failed      a")
    assert "exit status 2" in lines[2]
    assert lines[2].count("\n") == 15
    assert lines[2].endswith("    line 39\n    2 %\n    b\ufffd")
    assert "[1 of 4 done]" in lines[-1]  # no time is left for what cannot run
    # The same again, and the log of the earlier attempt is not shown.
    launcher = Writing(statuses={"a": -9})
    launcher.num_lines = 1
    text = "\n".join(schedule(states, launcher))
    assert text.startswith("resumed     a")
    assert "killed by signal 9" in text
    assert "line 39" not in text
    assert "line 0" in text


def test_a_changed_run_is_archived(tmp_path):
    state = make_state(tmp_path, "a")
    state.run.folder.mkdir()
    (state.run.folder / "old").touch()
    state.changes = ["A: 1 -> 2"]
    lines = schedule([state], FakeLauncher())
    assert (tmp_path / "a.replaced_1/old").exists()
    assert not (state.run.folder / "old").exists()
    assert str(tmp_path / "a.replaced_1") in lines[0]
    assert found([state]) == ["finished"]


def test_an_interrupt_ends_what_runs_and_starts_nothing_more(tmp_path):
    states = [make_state(tmp_path, name) for name in "abc"]
    launcher = FakeLauncher(interrupts=[15])
    lines = schedule(states, launcher)
    assert launcher.asked == [1]
    assert found(states) == ["finished", "interrupted", "new"]
    assert any(line.startswith("stopping: waiting for b to save") for line in lines)
    # The next call resumes b.
    assert schedule(states, FakeLauncher())[0] == "resumed     b"
    assert found(states) == ["finished"] * 3


def test_further_interrupts_are_passed_on(tmp_path):
    launcher = FakeLauncher(durations={"a": 1e9}, interrupts=[2, 4, 6], obeyed=3)
    state = make_state(tmp_path, "a")
    schedule([state], launcher)
    assert launcher.asked == [1, 2, 3]
    assert found([state]) == ["interrupted"]


def test_submitted_jobs_go_on_without_us(tmp_path):
    states = [make_state(tmp_path, "a"), make_state(tmp_path, "b", needs=["a"])]

    class Cluster(FakeLauncher):
        detaches = True

        def start(self, states):
            states[0].slurm_job = "7_1"
            return super().start(states)

        def attach(self, state):
            return FakeProcess(self, state.name) if state.slurm_job else None

    lines = schedule(states, Cluster(slots=None, interrupts=[5]))
    assert lines == ["started     a  (SLURM job 7_1)"]
    assert (saved(states[0])["state"], saved(states[0])["slurm_job"]) == ("running", "7_1")
    # The next call waits for it instead of submitting it again.
    launcher = Cluster(slots=None)
    assert schedule(states, launcher)[0] == "waiting     a  (SLURM job 7_1)"
    assert launcher.started == ["b"]
    assert found(states) == ["finished"] * 2
    # What was submitted once and now runs here is no job of SLURM any more.
    states[0].state = "failed"
    assert schedule(states, FakeLauncher())[0] == "resumed     a"
    assert saved(states[0])["slurm_job"] is None


def test_signals_are_collected_and_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with catch_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signals == [signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before
