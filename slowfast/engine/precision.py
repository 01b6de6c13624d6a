"""Mixed precision: dtype, autocast and loss scaling in one object."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from slowfast.config import CfgNode
from slowfast.utils.env import choose_dtype

__all__ = ["Precision"]

logger = logging.getLogger(__name__)


class _ShortConvolutionsInFloat32(TorchFunctionMode):
    """Compute a 3D convolution in float32 if its kernel is longer in time than its input.

    With reduced precision on the CPU, the weight gradient of such a convolution (a kernel of 3 over
    2 time steps, with padding) is read from uninitialized memory (PyTorch 2.13, oneDNN): arbitrary
    numbers, including NaN and inf. These layers are the last and smallest ones of a backbone, so
    float32 costs next to nothing.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, in float32 if it is such a convolution of (B, C, T, H, W)."""
        kwargs = kwargs or {}
        if func is torch.conv3d and len(args) >= 2 and args[0].shape[2] < args[1].shape[2]:
            wide: list[Any] = [a.float() if isinstance(a, Tensor) else a for a in args]
            with torch.autocast("cpu", enabled=False):
                return func(*wide, **kwargs)
        return func(*args, **kwargs)


class Precision:
    """Autocast and gradient scaling; both do nothing in full precision."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = device, dtype
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    @classmethod
    def from_cfg(cls, cfg: CfgNode, device: torch.device) -> Precision:
        """Create from TRAIN.MIXED_PRECISION and TRAIN.MIXED_PRECISION_DTYPE.

        Returns:
            The precision; full precision on a CPU that is slower in bfloat16.
        """
        if not cfg.TRAIN.MIXED_PRECISION:
            return cls(device)
        dtype = choose_dtype(cfg.TRAIN.MIXED_PRECISION_DTYPE, device)
        if dtype == torch.float32:
            logger.info(
                "TRAIN.MIXED_PRECISION is on, but this CPU computes bfloat16 slower than float32: "
                "staying in float32. TRAIN.MIXED_PRECISION_DTYPE bf16 forces it."
            )
        return cls(device, dtype)

    @property
    def is_mixed(self) -> bool:
        """Whether the dtype is reduced."""
        return self.dtype != torch.float32

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Return the context for a forward pass."""
        with contextlib.ExitStack() as stack:
            device = self.device.type
            stack.enter_context(torch.autocast(device, dtype=self.dtype, enabled=self.is_mixed))
            if self.is_mixed and device == "cpu":
                stack.enter_context(_ShortConvolutionsInFloat32())
            yield

    @contextlib.contextmanager
    def no_grad_autocast(self) -> Iterator[None]:
        """Return the context for a forward pass without gradients."""
        with torch.no_grad(), self.autocast():
            yield

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide gradients by the loss scale, before they are clipped or logged."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Step, unless a gradient overflowed float16."""
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        stepped = self.scaler.get_scale() >= before
        if not stepped:
            logger.info(
                "a gradient overflowed float16: the step was skipped, the new loss scale is %g",
                self.scaler.get_scale(),
            )
        return stepped
