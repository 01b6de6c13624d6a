"""``run.json``: what each start of a run was started with, and how long its stages took."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from slowfast import __version__
from slowfast.utils import distributed
from slowfast.utils.cores import usable_cores
from slowfast.utils.io import read_record, write_json
from slowfast.utils.placement import local_world_size

__all__ = ["RunRecord"]

logger = logging.getLogger(__name__)

_FORMAT = 1


class RunRecord:
    """Adds a start to ``run.json`` and times its stages; only the main process writes.

    Args:
        output_dir: OUTPUT_DIR.
        source: The file of the configuration.
        device: Device of the run.
        num_shards: Machines of the run.
    """

    def __init__(
        self, output_dir: Path, source: str, device: torch.device, num_shards: int
    ) -> None:
        self._file = output_dir / "run.json"
        self._start: dict[str, Any] = {
            "source": source,
            "started": datetime.now().isoformat(timespec="seconds"),
            "device": _describe(device),
            "processes": distributed.world_size(),
            "processes_per_machine": local_world_size(num_shards),
            "cores": usable_cores(),
            "versions": {
                "slowfast-stica": __version__,
                "torch": torch.__version__,
                "Python": platform.python_version(),
            },
            "seconds": {},
        }
        if distributed.is_main_process():
            self._earlier = read_record(self._file, starts=list).get("starts", [])
            self._write()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, also one that ends with an exception.

        Args:
            name: "train" or "test".

        Yields:
            Nothing.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            self._start["seconds"][name] = round(time.perf_counter() - began, 3)
            if distributed.is_main_process():
                try:
                    self._write()
                except OSError as error:  # it never hides what ended the stage
                    logger.warning("%s could not be written: %s", self._file, error)

    def _write(self) -> None:
        write_json(self._file, {"format": _FORMAT, "starts": [*self._earlier, self._start]})


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return device.type.upper() if device.type == "cpu" else str(device)
