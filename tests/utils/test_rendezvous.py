"""Processes of a job meet; here they are threads of one process, which is enough for a store."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from slowfast.config.problems import UserError
from slowfast.utils import rendezvous
from slowfast.utils.placement import DistEnv
from slowfast.utils.rendezvous import Member, describe_ranks, meet, name_ranks


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch):
    monkeypatch.setattr(rendezvous, "_FAREWELL_SEC", 0.3)


def meet_all(places, backends=None, timeout_sec=20.0):
    """Let several processes meet; returns meetings and errors, in their order."""

    def one(place, backend):
        try:
            return meet(place, backend, timeout_sec)
        except UserError as error:
            return error

    with ThreadPoolExecutor(len(places)) as threads:
        return list(threads.map(one, places, backends or ["gloo"] * len(places)))


@pytest.mark.parametrize("scheme", ["tcp", "file"])
def test_all_know_each_other(port, tmp_path, scheme):
    url = f"tcp://localhost:{port}" if scheme == "tcp" else f"file://{tmp_path}/store"
    found = meet_all([DistEnv(rank, 3, rank, url) for rank in range(3)])
    assert [[m.rank for m in meeting.members] for meeting in found] == [[0, 1, 2]] * 3
    found[0].store.set("key", "value")
    assert found[2].connect().get("key") == b"value"


def test_a_port_in_use_is_one_line(port):
    message = rf"^port {port} of .* is in use\. Choose"
    with socket.create_server(("", port)), pytest.raises(UserError, match=message) as caught:
        meet(DistEnv(0, 2, 0, f"tcp://localhost:{port}"), "gloo", 5)
    assert "\n" not in str(caught.value)


def test_who_is_missing(port):
    places = [DistEnv(rank, 4, rank, f"tcp://localhost:{port}") for rank in (0, 2)]
    for error in meet_all(places, timeout_sec=1.0):
        assert str(error).startswith("ranks 1, 3 of 4 did not come within 1 s (DIST.TIMEOUT_SEC)")
        assert "here: rank 0 (" in str(error)
        assert "rank 2 (" in str(error)


def test_rank_0_cannot_be_reached(port):
    with pytest.raises(
        UserError, match=rf"rank 0 cannot be reached at localhost:{port} within 1 s"
    ):
        meet(DistEnv(1, 2, 0, f"tcp://localhost:{port}"), "gloo", 1.0)


@pytest.mark.parametrize("late_sec", [0.0, 0.5])
def test_other_numbers_of_processes(port, monkeypatch, late_sec):
    """Rank 0 does not start the job either if it sees the process before the refusal."""
    check = rendezvous._check_fit
    monkeypatch.setattr(rendezvous, "_check_fit", lambda *a: (time.sleep(late_sec), check(*a)))
    url = f"tcp://localhost:{port}"
    for error in meet_all([DistEnv(0, 2, 0, url), DistEnv(1, 3, 0, url)]):
        assert "NUM_SHARDS, NUM_GPUS, NUM_CPU_PROCESSES: the number of processes is 2 for" in str(
            error
        )
        assert "and 3 for rank 1 (" in str(error)


def test_other_backends(port):
    places = [DistEnv(rank, 2, 0, f"tcp://localhost:{port}") for rank in range(2)]
    for error in meet_all(places, ["gloo", "nccl"]):
        assert "DIST_BACKEND, NUM_GPUS: the backend is gloo for rank 0" in str(error)


def test_the_same_rank_twice(port):
    url = f"tcp://localhost:{port}"
    places = [DistEnv(0, 3, 0, url), DistEnv(1, 3, 0, url), DistEnv(1, 3, 0, url)]
    found = [str(error) for error in meet_all(places)]
    assert all("SHARD_ID: rank 1 (" in text and "have the same rank" in text for text in found)


def test_a_store_that_outlives_its_processes(port, monkeypatch):
    """torchrun's: who is started again after a failure does not meet the dead."""
    store = dist.TCPStore(
        "localhost", port, is_master=True, timeout=timedelta(seconds=20), wait_for_workers=False
    )
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(port))
    first = meet_all([DistEnv(rank, 3, rank, "env://") for rank in range(3)])
    first[0].store.set("failure", "old")
    # Two of them, in another order: rank 1 comes before rank 0 has opened the next generation.
    second = meet_all([DistEnv(rank, 2, rank, "env://") for rank in (1, 0)])
    assert [len(meeting.members) for meeting in second] == [2, 2]
    assert not second[0].store.check(["failure"])
    assert store.num_keys() > 0


def test_rank_0_dies_while_the_others_join(port, monkeypatch):
    def fail(*_):
        raise RuntimeError("connection reset by peer")

    monkeypatch.setattr(rendezvous, "_join_generation", fail)
    with socket.create_server(("", port)):
        pass
    store = dist.TCPStore("localhost", port, is_master=True, wait_for_workers=False)
    with pytest.raises(UserError, match=r"rank 1 \(.* lost the connection to rank 0 while the job"):
        meet(DistEnv(1, 2, 0, f"tcp://localhost:{port}"), "gloo", 5.0)
    assert store.port == port


@pytest.mark.parametrize("url", ["tcp://localhost", "udp://a:1", "nothing"])
def test_addresses(url):
    with pytest.raises(UserError, match=r"--init_method: got .* expected tcp://HOST:PORT"):
        meet(DistEnv(0, 2, 0, url), "gloo", 1.0)


def test_names_of_ranks():
    assert name_ranks([3]) == "rank 3"
    assert name_ranks([5, 0, 1, 2]) == "ranks 0-2, 5"
    members = [Member(rank, rank % 4, f"host{rank // 4}", 100 + rank) for rank in range(8)]
    assert describe_ranks(members[:1]) == "rank 0 (host0, process 100)"
    assert describe_ranks(members) == "ranks 0-7 (host0, host1)"
