"""Each reader in a process of its own, which answers one request at a time."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from decode.window import Window

HERE = Path(__file__).resolve().parent.parent
OURS = "slowfast"
READERS = {
    OURS: "this project",
    "torchcodec": "torchcodec",
    "decord": "decord2",
    "pyav": "PyAV",
    "opencv": "OpenCV + PyAV",
}
PACKAGES = {"torchcodec": "torchcodec", "decord": "decord2"}
"""Distributions of the optional readers."""


class Timing(NamedTuple):
    """What reading a window took."""

    cpu_ms: float
    wall_ms: float


class Reader:
    """A reader in its own process.

    Args:
        name: Key of READERS.

    Attributes:
        problem: Why it cannot be used, e.g. "not installed"; empty if it can.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, name), daemon=True)
        self._process.start()
        end.close()  # so that the death of the process ends what waits for its answer
        try:
            self.problem: str = self._pipe.recv()
        except EOFError:
            self.problem = "crashes when it is imported"

    def read(self, path: Path, window: Window) -> Any:
        """Return frames and audio.

        Raises:
            RuntimeError: If the reader fails on this file.
        """
        return self._ask("read", path, window)

    def time(self, path: Path, window: Window) -> Timing:
        """Read once and return how long it took."""
        return Timing(*self._ask("time", path, window))

    def memory_mib(self, path: Path, window: Window) -> float | None:
        """Read once and return the peak memory, less that of the process with its libraries."""
        found: float | None = self._ask("memory", path, window)
        return found

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(None)
        self._process.join(10)

    def _ask(self, kind: str, path: Path, window: Window) -> Any:
        self._pipe.send((kind, str(path), window))
        try:
            is_fine, answer = self._pipe.recv()
        except EOFError:
            self.problem = "crashed"
            raise RuntimeError("its process died") from None
        if not is_fine:
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Connection, name: str) -> None:
    """Answer requests until there is a None, or until the parent is gone."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _answer_all(pipe, name)


def _answer_all(pipe: Connection, name: str) -> None:
    try:
        read = importlib.import_module(f"peers.decode.{name}").read
    except ModuleNotFoundError:
        pipe.send("not installed")
        return
    except (ImportError, OSError, RuntimeError) as error:
        pipe.send(f"cannot be imported: {_one_line(error)}")
        return
    pipe.send("")
    base = _status_mib("VmRSS")
    while (request := pipe.recv()) is not None:
        kind, path, window = request
        try:
            answer = True, _answer(kind, lambda: read(path, window), base)  # noqa: B023
        except Exception as error:  # whatever a library raises is a fact about it
            answer = False, _one_line(error)
        pipe.send(answer)


def _answer(kind: str, call: Any, base: float | None) -> Any:
    import harness

    if kind == "read":
        return call()
    if kind == "time":
        return harness.measure(call)
    clear = Path("/proc/self/clear_refs")
    if base is None or not clear.exists():
        return None
    clear.write_text("5", encoding="ascii")  # the peak starts again from what is resident
    call()
    peak = _status_mib("VmHWM")
    return None if peak is None else max(0.0, peak - base)


def _status_mib(name: str) -> float | None:
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith(name + ":")), None)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def use_one_thread() -> None:
    """Limit the readers that are started from now on to one thread per library."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
