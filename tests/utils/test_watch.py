"""The watch of a job. Its end of a process is replaced: here all ranks are one process."""

import os
import time

import pytest
import torch
import torch.distributed as dist

from slowfast.config.problems import UserError
from slowfast.utils.rendezvous import Meeting, Member
from slowfast.utils.watch import RankError, Watch, _Beat

TIMEOUT_SEC = 5.0


class Job:
    """Watches of several ranks on one store."""

    def __init__(self, folder, monkeypatch):
        self._folder, self.told, self.statuses = folder, {}, []
        self.watches = {}
        monkeypatch.setattr(os, "_exit", self.statuses.append)

    def start(self, ranks, world=2, timeout_sec=TIMEOUT_SEC, wait_sec=1000.0):
        def connect():
            return dist.FileStore(str(self._folder / "store"), -1)

        members = [Member(rank, rank, "here", 10**8 + rank) for rank in range(world)]
        for rank in ranks:
            self.watches[rank] = Watch(
                Meeting(connect(), connect, members),
                rank,
                timeout_sec=timeout_sec,
                wait_sec=wait_sec,
                tell=lambda error, rank=rank: self._tell(rank, error),
            )

    def _tell(self, rank, error):
        self.told[rank] = error
        self.watches[rank].close()

    def wait(self, count=1, sec=20.0):
        """Wait until so many processes have ended."""
        deadline = time.monotonic() + sec
        while len(self.statuses) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return list(self.told.values())


@pytest.fixture
def job(tmp_path, monkeypatch):
    job = Job(tmp_path, monkeypatch)
    yield job
    for watch in job.watches.values():
        watch.close()


@pytest.mark.slow
def test_who_is_silent_is_named(job):
    job.start([0, 1])
    time.sleep(1.0)
    assert not job.told
    job.watches[1].close()
    (error,) = job.wait()
    assert str(error).startswith("no sign of life from rank 1 (here, process 100000001) for")
    assert "DIST.TIMEOUT_SEC 5" in str(error)
    assert (error.ranks, error.status, job.statuses) == ([1], 1, [1])


@pytest.mark.slow
def test_rank_0_is_watched_by_the_others(job):
    job.start([0, 1, 2], world=3)
    time.sleep(0.6)
    job.watches[0].close()
    errors = job.wait(2)
    assert len(errors) == 2
    assert all(error.ranks == [0] for error in errors)
    # One message of each machine: by the first of its ranks that still can.
    assert {rank: error.is_told for rank, error in job.told.items()} == {1: False, 2: True}


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "named"), [(0, []), (1, [0])])
def test_a_lost_store_is_no_fault_of_the_other_ranks(job, monkeypatch, rank, named):
    """torchrun's agent holds it, or rank 0."""
    job.start([rank])
    watch = job.watches[rank]

    def fail(store):
        raise RuntimeError("broken pipe")

    monkeypatch.setattr(watch, "_read", fail)
    (error,) = job.wait()
    assert "the connection to the store of the job is lost: rank 0 (" in str(error)
    assert error.ranks == named


@pytest.mark.slow
def test_what_one_rank_reports_ends_the_others(job):
    job.start([0, 1])
    job.watches[1].report(UserError("DATA.PATH: no such folder"))
    (error,) = job.wait()
    assert "rank 1 (here, process 100000001) ended: DATA.PATH: no such folder" in str(error)


@pytest.mark.slow
def test_a_failed_collective_is_explained_by_the_dead_rank(job):
    job.start([0, 1], timeout_sec=1000.0)
    job.watches[0]._period_sec = job.watches[1]._period_sec = 0.2
    time.sleep(1.5)
    job.watches[1].close()
    cause = job.watches[0].find_cause(RuntimeError("[gloo/pair.cc:534] Connection closed by peer"))
    assert isinstance(cause, RankError)
    assert cause.ranks == [1]
    mistake = UserError("mine")
    assert job.watches[0].find_cause(mistake) is mistake


@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError, ValueError])
def test_an_error_of_this_rank_stays_its_own(job, kind):
    job.start([0, 1], timeout_sec=1000.0)
    job.watches[0].close()
    error = kind("shapes disagree")
    assert job.watches[1].find_cause(error) is error


@pytest.mark.slow
def test_a_failed_collective_of_living_ranks_is_its_own_cause(job):
    job.start([0, 1], timeout_sec=1000.0)
    error = dist.DistBackendError("op.preamble.length <= op.nbytes. 8 vs 4")
    assert job.watches[1].find_cause(error) is error


@pytest.mark.parametrize(
    ("beats", "named"),
    [
        ([(8, True, "a.py:1"), (7, False, "loader.py:2"), (8, True, "a.py:1")], [1]),
        ([(8, True, "a.py:1"), (8, True, "b.py:3"), (8, True, "a.py:1")], [1]),
        ([(8, True, "a.py:1"), (8, False, "loader.py:2"), (8, True, "a.py:1")], [1]),
    ],
)
def test_who_is_waited_for_is_named(job, beats, named):
    """Behind in collectives, in another collective, or not waiting."""
    job.start([], world=3)
    members = [Member(rank, rank, "here", 1) for rank in range(3)]
    watch = Watch.__new__(Watch)
    watch._members, watch._wait_sec = members, 60.0
    watch._beats = {
        rank: _Beat("x", 1.0, number, 1.0, waits, where)
        for rank, (number, waits, where) in enumerate(beats)
    }
    error = watch._find_stall(100.0, 60.0)
    assert error.ranks == named
    assert f"rank 1 (here, process 1) is at {beats[1][2]}" in str(error)
    assert watch._find_stall(50.0, 60.0) is None
    watch._beats[2] = watch._beats[2]._replace(advanced=99.0)
    assert watch._find_stall(100.0, 60.0) is None


def test_work_without_collectives_is_no_stall(job):
    watch = Watch.__new__(Watch)
    watch._members, watch._wait_sec = [Member(rank, rank, "here", 1) for rank in range(2)], 60.0
    watch._beats = {rank: _Beat("x", 1.0, 8, 1.0, False, "svm.py:5") for rank in range(2)}
    assert watch._find_stall(100.0, 60.0) is None
