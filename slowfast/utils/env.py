"""Device, precision and number of processes of this machine, and a record of its environment."""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from slowfast.pyslowfast_names import names_of

__all__ = [
    "choose_device",
    "choose_dtype",
    "describe_environment",
    "num_local_processes",
    "setup_environment",
]

logger = logging.getLogger(__name__)


def setup_environment() -> None:
    """Do nothing, as in PySlowFast: no global setting is needed before training."""


def num_local_processes(num_gpus: int, num_cpu_processes: int = 1) -> int:
    """Turn NUM_GPUS into the number of processes of this machine.

    Args:
        num_gpus: NUM_GPUS: 0 for the CPU, -1 for all visible GPUs, else a count.
        num_cpu_processes: NUM_CPU_PROCESSES, used on the CPU.

    Returns:
        At least 1.
    """
    visible = torch.cuda.device_count()
    if num_gpus == 0 or visible == 0:
        return max(1, num_cpu_processes)
    return visible if num_gpus < 0 else num_gpus


def choose_device(num_gpus: int, local_rank: int) -> torch.device:
    """Choose the device of this process.

    Args:
        num_gpus: NUM_GPUS.
        local_rank: Rank of the process on its machine.

    Returns:
        A CUDA device if requested and available, else the CPU.
    """
    if num_gpus == 0 or not torch.cuda.is_available():
        if num_gpus > 0:
            logger.info("NUM_GPUS is %d, but no GPU is visible: running on the CPU.", num_gpus)
        return torch.device("cpu")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Choose the dtype of autocast.

    Args:
        name: TRAIN.MIXED_PRECISION_DTYPE: "auto", "bf16" or "fp16".
        device: Where the model runs.

    Returns:
        bfloat16 where the device computes it fast, float16 on other GPUs, and float32 (no reduced
        precision) on CPUs without AVX-512 or AMX, where bfloat16 is far slower than float32.
    """
    if name != "auto":
        return torch.bfloat16 if name == "bf16" else torch.float16
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if is_fast else torch.float16
    return torch.bfloat16 if _cpu_has_fast_bf16() else torch.float32


def _cpu_has_fast_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags


def describe_environment() -> dict[str, Any]:
    """Describe the software and hardware that a result was obtained on.

    Returns:
        Versions, processor, threads and GPUs; plain values only.
    """
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus,
    }


if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
