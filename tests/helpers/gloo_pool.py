"""Gloo processes that stay alive and run one check after another."""

from __future__ import annotations

import importlib.util
import pickle
import tempfile
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMEOUT_SEC = 60


def _load(path: str, name: str):
    """Find a function by file: test modules are not importable by name in a spawned process."""
    spec = importlib.util.spec_from_file_location(f"rank_check_{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _serve(rank, size, store, connection):
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=TIMEOUT_SEC),
    )
    while (command := connection.recv_bytes()) != b"":
        path, name, args = pickle.loads(command)
        try:
            answer = (True, _load(path, name)(*args))
        except Exception:
            answer = (False, traceback.format_exc())
        # Plain pickle copies tensors; torch's own would share memory of a process that may go.
        connection.send_bytes(pickle.dumps(answer))
    dist.destroy_process_group()


class GlooPool:
    """Runs a module-level function of a test file on every rank."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._ranks = []

    def run(self, check, *args):
        """Call ``check(*args)`` on all ranks; return their results, rank 0's first."""
        if not self._ranks:
            self._start()
        command = pickle.dumps((check.__code__.co_filename, check.__name__, args))
        for _, connection in self._ranks:
            connection.send_bytes(command)
        answers = []
        for rank, (_, connection) in enumerate(self._ranks):
            if not connection.poll(2 * TIMEOUT_SEC):
                self.close()
                raise AssertionError(f"rank {rank} hangs in {check.__name__}")
            answers.append(pickle.loads(connection.recv_bytes()))
        failed = [text for passed, text in answers if not passed]
        if failed:
            self.close()  # the ranks may be out of step now
            raise AssertionError("\n".join(failed))
        return [result for _, result in answers]

    def _start(self) -> None:
        context = mp.get_context("spawn")
        store = Path(tempfile.mkdtemp(prefix="gloo_pool_")) / "store"
        for rank in range(self.size):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(rank, self.size, str(store), theirs), daemon=True
            )
            process.start()
            self._ranks.append((process, ours))

    def close(self) -> None:
        """End the processes."""
        for _, connection in self._ranks:
            try:
                connection.send_bytes(b"")
            except OSError:
                continue
        for process, connection in self._ranks:
            process.join(5)
            if process.is_alive():
                process.terminate()
                process.join()
            connection.close()
        self._ranks = []
