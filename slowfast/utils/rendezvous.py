"""How the processes of a job meet: over a store, under messages that name who is missing.

Rank 0 opens a generation in the store and waits until every other rank has joined it. The store of
torchrun outlives its processes: those that it starts again after a failure open the next one.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlparse

import torch.distributed as dist

from slowfast.config.problems import UserError
from slowfast.utils.placement import DistEnv

__all__ = ["Meeting", "Member", "describe_ranks", "meet", "name_ranks"]

_POLL_SEC = 0.1
_FAREWELL_SEC = 1.0
"""How long rank 0 keeps the store up for others to read why it ends."""
_MUST_FIT = {
    "world": ("number of processes", "NUM_SHARDS, NUM_GPUS, NUM_CPU_PROCESSES"),
    "backend": ("backend", "DIST_BACKEND, NUM_GPUS"),
}
"""What must be the same for all -> its name, and the config keys that decide it."""


class Member(NamedTuple):
    """A process of the job.

    Attributes:
        rank: Its global rank.
        local_rank: Its rank on its machine.
        host: Name of the machine.
        pid: Process ID there.
    """

    rank: int
    local_rank: int
    host: str
    pid: int

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.host}, process {self.pid})"


class Meeting(NamedTuple):
    """The processes of a job, and what they share.

    Attributes:
        store: The store of this generation.
        connect: Opens another connection to it, for a thread.
        members: All processes, in the order of their ranks.
    """

    store: dist.Store
    connect: Callable[[], dist.Store]
    members: list[Member]


def name_ranks(ranks: Iterable[int]) -> str:
    """Write ranks briefly.

    Args:
        ranks: Any order.

    Returns:
        Such as ``rank 3`` or ``ranks 0-2, 5``.
    """
    ordered, runs = sorted(ranks), list[list[int]]()
    for rank in ordered:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"rank{'s' if len(ordered) > 1 else ''} {', '.join(texts)}"


def describe_ranks(members: Sequence[Member]) -> str:
    """Name processes; of a few also their machines and process IDs.

    Args:
        members: At least one.
    """
    if len(members) <= 4:
        return ", ".join(map(str, members))
    hosts = ", ".join(dict.fromkeys(member.host for member in members))
    return f"{name_ranks(member.rank for member in members)} ({hosts})"


def meet(place: DistEnv, backend: str, timeout_sec: float) -> Meeting:
    """Wait until all processes of the job are there.

    Args:
        place: Where this process is in the job.
        backend: ``gloo`` or ``nccl``; the same for all.
        timeout_sec: How long to wait.

    Returns:
        The processes and their store.

    Raises:
        UserError: If the port is in use, rank 0 cannot be reached, a rank does not come, or the
            processes do not fit together.
    """
    connect = _connector(place, timeout_sec)
    store = connect(place.rank == 0 and not _has_agent_store(place))
    own = Member(place.rank, place.local_rank, socket.gethostname(), os.getpid())
    hello = {"world": place.world_size, "backend": backend, "member": own, "id": uuid.uuid4().hex}
    gather = _open_generation if place.rank == 0 else _join_generation
    try:
        generation, members = gather(store, place, hello, timeout_sec)
    except RuntimeError as error:  # of the store
        raise UserError(
            f"{own} lost the connection to rank 0 while the job started. Look for its message."
        ) from error
    prefix = f"slowfast/{generation}/job"
    return Meeting(
        dist.PrefixStore(prefix, store),
        lambda: dist.PrefixStore(prefix, connect(False)),
        members,
    )


def _has_agent_store(place: DistEnv) -> bool:
    """Return whether torchrun holds the store."""
    return (
        place.init_method == "env://" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    )


def _connector(place: DistEnv, timeout_sec: float) -> Callable[[bool], dist.Store]:
    """Return a function that opens a connection; with True it also opens the store."""
    url = place.init_method
    parsed = urlparse(url)
    if parsed.scheme == "file":
        # -1: the file stays, as others may still read it.
        return lambda is_host: dist.FileStore(str(Path(parsed.path)), -1)
    if parsed.scheme == "env":
        host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
        if not host or not port.isdigit():
            raise UserError(
                f"environment: MASTER_ADDR is '{host}' and MASTER_PORT '{port}'; expected the host "
                "and a port of rank 0, as torchrun sets them."
            )
        address = (host, int(port))
    elif parsed.scheme == "tcp" and parsed.hostname and parsed.port:
        address = (parsed.hostname, parsed.port)
    else:
        raise UserError(f"--init_method: got '{url}', expected tcp://HOST:PORT or file:///PATH.")
    return lambda is_host: _connect(address, is_host, timeout_sec)


def _connect(address: tuple[str, int], is_host: bool, timeout_sec: float) -> dist.Store:
    host, port = address
    listener = _listen(port) if is_host else -1
    try:
        return dist.TCPStore(
            host,
            port,
            is_master=is_host,
            timeout=timedelta(seconds=timeout_sec),
            wait_for_workers=False,
            master_listen_fd=listener if is_host else None,
        )
    except dist.DistError as error:
        raise UserError(
            f"rank 0 cannot be reached at {host}:{port} within {timeout_sec:g} s "
            "(DIST.TIMEOUT_SEC). Is it started, with the same address, and is the port open?"
        ) from error


def _listen(port: int) -> int:
    """Open the port of the store; return the file descriptor."""
    try:
        if socket.has_dualstack_ipv6():
            server = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048
            )
        else:
            server = socket.create_server(("", port), backlog=2048)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened: {error}"
        raise UserError(
            f"port {port} of {socket.gethostname()} {reason}. Choose another one with "
            "--init_method tcp://HOST:PORT, MASTER_PORT (srun) or --rdzv-endpoint (torchrun)."
        ) from error
    return server.detach()


def _open_generation(
    store: dist.Store, place: DistEnv, hello: dict[str, Any], timeout_sec: float
) -> tuple[int, list[Member]]:
    """Wait, as rank 0, for the others."""
    generation = store.add("slowfast/generation", 1)
    base, deadline = f"slowfast/{generation}", time.monotonic() + timeout_sec
    members: dict[int, Member] = {0: Member(*hello["member"])}
    store.set(f"{base}/hello", json.dumps(hello))
    missing = set(range(1, place.world_size))
    while missing:
        for rank in sorted(missing):
            if store.check([f"{base}/join/{rank}"]):
                found = json.loads(store.get(f"{base}/join/{rank}"))
                if all(found[field] == hello[field] for field in _MUST_FIT):  # else it refuses
                    members[rank] = Member(*found["member"])
        missing -= set(members)
        if store.check([f"{base}/refused"]):
            time.sleep(_FAREWELL_SEC)
            raise UserError(store.get(f"{base}/refused").decode())
        if missing and time.monotonic() > deadline:
            _refuse(store, base, _describe_missing(missing, members, place, timeout_sec))
        time.sleep(_POLL_SEC if missing else 0)
    ordered = [members[rank] for rank in range(place.world_size)]
    store.set(f"{base}/go", json.dumps(ordered))
    return generation, ordered


def _join_generation(
    store: dist.Store, place: DistEnv, hello: dict[str, Any], timeout_sec: float
) -> tuple[int, list[Member]]:
    """Join, as any other rank, the generation that rank 0 has opened."""
    own, deadline, tried, joined = json.dumps(hello), time.monotonic() + timeout_sec, 0, 0
    while time.monotonic() < deadline + _FAREWELL_SEC:  # rank 0 knows better who is missing
        newest = _read_number(store, "slowfast/generation")
        if newest > tried and store.check([f"slowfast/{newest}/hello"]):
            tried, base = newest, f"slowfast/{newest}"
            first = json.loads(store.get(f"{base}/hello"))
            found = store.compare_set(f"{base}/join/{place.rank}", "", own).decode()
            if found == own:
                joined = newest
                _check_fit(store, base, hello, first)
            elif not _has_agent_store(place) and not place.init_method.startswith("file:"):
                other = Member(*json.loads(found)["member"])
                _refuse(
                    store,
                    base,
                    f"SHARD_ID: {Member(*hello['member'])} and {other} have the same rank. Give "
                    "each machine a SHARD_ID of its own, 0 to NUM_SHARDS - 1.",
                )
        if joined:
            base = f"slowfast/{joined}"
            if store.check([f"{base}/refused"]):
                raise UserError(store.get(f"{base}/refused").decode())
            if store.check([f"{base}/go"]):
                return joined, [Member(*m) for m in json.loads(store.get(f"{base}/go"))]
        time.sleep(_POLL_SEC)
    raise UserError(
        f"rank 0 did not start the job within {timeout_sec:g} s (DIST.TIMEOUT_SEC) of "
        f"{Member(*hello['member'])}. Look for its message."
    )


def _read_number(store: dist.Store, key: str) -> int:
    return int(store.get(key)) if store.check([key]) else 0


def _check_fit(store: dist.Store, base: str, own: dict[str, Any], first: dict[str, Any]) -> None:
    """Refuse a process of another job, or with another backend."""
    for field, (name, key) in _MUST_FIT.items():
        if own[field] != first[field]:
            one, other = Member(*first["member"]), Member(*own["member"])
            _refuse(
                store,
                base,
                f"{key}: the {name} is {first[field]} for {one} and {own[field]} for "
                f"{other}. Start all machines with the same values.",
            )


def _describe_missing(
    missing: set[int], members: dict[int, Member], place: DistEnv, timeout_sec: float
) -> str:
    there = describe_ranks([members[rank] for rank in sorted(members)])
    hint = (
        "In a batch script of SLURM start them with srun."
        if "SLURM_PROCID" in os.environ and place.init_method != "env://"
        else "Start the other machines too, each with its own SHARD_ID and the same address."
    )
    return (
        f"{name_ranks(missing)} of {place.world_size} did not come within {timeout_sec:g} s "
        f"(DIST.TIMEOUT_SEC); here: {there}. {hint}"
    )


def _refuse(store: dist.Store, base: str, message: str) -> NoReturn:
    """End the start of the job for all."""
    store.set(f"{base}/refused", message)
    time.sleep(_FAREWELL_SEC)
    raise UserError(message)
