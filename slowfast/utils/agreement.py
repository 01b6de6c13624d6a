"""The processes of a job agree: on the configuration, the code, the data, where to resume."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from slowfast.config.problems import UserError
from slowfast.utils import distributed
from slowfast.utils.rendezvous import name_ranks

__all__ = ["code_facts", "require_same"]

_LONGEST = 120
_MISSING = "-"


def require_same(facts: Mapping[str, Any], remedy: str) -> None:
    """Check that all processes of the job have the same facts. Every process must call this.

    Args:
        facts: Name, such as a key of the configuration, -> value that has a ``repr``.
        remedy: What to do about a difference; one sentence.

    Raises:
        UserError: On every rank, if they differ: one message with the names, values and ranks.
    """
    if distributed.world_size() == 1:
        return
    own = {name: _short(repr(value)) for name, value in facts.items()}
    text = json.dumps({name: repr(value) for name, value in facts.items()}, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    if len(set(distributed.gather_objects(digest))) == 1:
        return
    found = distributed.gather_objects((socket.gethostname(), own))
    hosts = [host for host, _ in found]
    lines = _differences([of_rank for _, of_rank in found], hosts)
    error = UserError("\n".join(["the processes of this job differ:", *lines, remedy]))
    error.is_told = hosts.index(hosts[distributed.rank()]) != distributed.rank()
    raise error


def code_facts(packages: Iterable[str]) -> dict[str, str]:
    """Describe the code of this process.

    Args:
        packages: Names of packages or modules whose sources count.

    Returns:
        Facts for ``require_same``: a hash of the sources of each, and the version of torch.
    """
    facts = {f"code of {name}": _hash_sources(name) for name in packages}
    facts["torch"] = torch.__version__.split("+")[0]  # builds for other devices fit
    return facts


def _hash_sources(package: str) -> str:
    found = importlib.util.find_spec(package)
    origin = Path(found.origin) if found is not None and found.origin else None
    if origin is None:
        return "unknown"
    folder = origin.parent
    files = sorted(folder.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.blake2b(digest_size=6)
    for file in files:
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _differences(facts: list[dict[str, str]], hosts: list[str]) -> list[str]:
    """Describe what differs: a line for each name."""
    names = dict.fromkeys(name for of_rank in facts for name in of_rank)
    lines = []
    for name in names:
        ranks: dict[str, list[int]] = {}
        for rank, of_rank in enumerate(facts):
            ranks.setdefault(of_rank.get(name, _MISSING), []).append(rank)
        if len(ranks) > 1:
            lines.append(
                f"  {name}: "
                + "; ".join(
                    f"{value} on {name_ranks(those)} ({_hosts(those, hosts)})"
                    for value, those in ranks.items()
                )
            )
    return lines


def _hosts(ranks: list[int], hosts: list[str]) -> str:
    named = list(dict.fromkeys(hosts[rank] for rank in ranks))
    return ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
