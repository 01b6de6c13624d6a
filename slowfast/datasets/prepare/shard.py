"""The share of the files that one of several processes works on; without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

__all__ = ["Shard"]

Item = TypeVar("Item")


def _alone(item: Any) -> list[Any]:
    return [item]


class Shard(NamedTuple):
    """A process of a job that prepares data; all of them see the same folders.

    Attributes:
        rank: Its rank; 0 writes what is said about all files.
        size: Number of processes.
        gather: Gathers an object of every process, in rank order; every process must call it.
    """

    rank: int = 0
    size: int = 1
    gather: Callable[[Any], list[Any]] = _alone

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints what concerns all files."""
        return self.rank == 0

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items of this process: every ``size``-th."""
        return items[self.rank :: self.size]

    def of_main(self, item: Any) -> Any:
        """Return rank 0's object on every process."""
        return self.gather(item if self.is_main else None)[0]

    def name(self, file_name: str) -> str:
        """Name the file of this process, next to that of rank 0."""
        return file_name if self.is_main else f"{file_name}.rank{self.rank}"
