"""Device, precision and number of processes of this machine, and a record of its environment."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from typing import TYPE_CHECKING, Any

import torch
from fvcore.common.config import CfgNode

from slowfast.pyslowfast_names import names_of

__all__ = [
    "choose_device",
    "choose_dtype",
    "describe_environment",
    "full_precision",
    "has_fast_bf16",
    "num_local_processes",
    "setup_environment",
    "uses_channels_last",
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


def choose_dtype(mixed: bool | str, name: str, device: torch.device) -> torch.dtype:
    """Choose the dtype of autocast.

    Args:
        mixed: TRAIN.MIXED_PRECISION: True, False or "auto".
        name: TRAIN.MIXED_PRECISION_DTYPE: "auto", "bf16" or "fp16".
        device: Where the model runs.

    Returns:
        float32 (no reduced precision) with ``mixed`` False. bfloat16 where the device computes it
        fast, or with ``name`` "bf16" and ``mixed`` True. Elsewhere float32 with ``mixed`` "auto"
        and on CPUs, where bfloat16 is far slower without such instructions; else float16.
    """
    if not mixed:
        return torch.float32
    if mixed != "auto" and name != "auto":
        return torch.bfloat16 if name == "bf16" else torch.float16
    if has_fast_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" and mixed != "auto" else torch.float32


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16.

    Args:
        device: A CPU (AVX512_BF16 or AMX) or a GPU (not one that emulates bfloat16).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Switch mixed precision off for a block, which is ``torch.autocast`` with ``enabled=False``.

    Args:
        device: Of the tensors; the meta device has no mixed precision.
    """
    if device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def uses_channels_last(cfg: CfgNode) -> bool:
    """Return whether videos and 3D convolutions have the channels-last memory format.

    Args:
        cfg: Read: MODEL.CHANNELS_LAST, TRAIN.MIXED_PRECISION, TRAIN.MIXED_PRECISION_DTYPE and
            NUM_GPUS.
    """
    if cfg.MODEL.CHANNELS_LAST != "auto":
        return bool(cfg.MODEL.CHANNELS_LAST)
    device = torch.device("cuda" if cfg.NUM_GPUS and torch.cuda.is_available() else "cpu")
    train = cfg.TRAIN
    dtype = choose_dtype(train.MIXED_PRECISION, train.MIXED_PRECISION_DTYPE, device)
    return dtype != torch.float32


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
