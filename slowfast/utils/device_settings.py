"""Settings of torch for GPUs, applied once at the start of a job (docs/gpu.md)."""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode

__all__ = ["DeviceSettings"]

logger = logging.getLogger(__name__)


class DeviceSettings(NamedTuple):
    """The keys of DEVICE that hold for the whole process.

    Attributes:
        cudnn_benchmark: Measure convolution algorithms and keep the fastest.
        tf32: Compute float32 convolutions and matrix products in TF32.
        fused_attention: Allow fused kernels of scaled dot-product attention.
    """

    cudnn_benchmark: bool
    tf32: bool
    fused_attention: bool

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> DeviceSettings:
        """Read DEVICE.CUDNN_BENCHMARK, DEVICE.TF32 and DEVICE.FUSED_ATTENTION."""
        keys = cfg.DEVICE
        return cls(keys.CUDNN_BENCHMARK, keys.TF32, keys.FUSED_ATTENTION)

    def apply(self, device: torch.device) -> None:
        """Set torch's global flags and log one line; do nothing on the CPU.

        Args:
            device: Device of this process.
        """
        if device.type != "cuda":
            return
        torch.backends.cudnn.benchmark = self.cudnn_benchmark
        torch.backends.cudnn.allow_tf32 = self.tf32
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        torch.backends.cuda.enable_flash_sdp(self.fused_attention)
        torch.backends.cuda.enable_mem_efficient_sdp(self.fused_attention)
        torch.backends.cuda.enable_cudnn_sdp(self.fused_attention)
        states = ", ".join(f"{k.upper()} {v}" for k, v in self._asdict().items())
        logger.info("settings of the GPU (DEVICE): %s", states)
