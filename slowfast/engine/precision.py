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

__all__ = ["Precision", "clear_gradients_unless"]

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
            The precision; full precision on a CPU that is slower in bfloat16. What is chosen for
            True or "auto" is logged.
        """
        mixed, name = cfg.TRAIN.MIXED_PRECISION, cfg.TRAIN.MIXED_PRECISION_DTYPE
        precision = cls(device, choose_dtype(mixed, name, device))
        if precision.is_mixed:
            logger.info(
                "TRAIN.MIXED_PRECISION is %s: computing in %s where it is safe.",
                mixed,
                precision.dtype_name,
            )
        elif mixed:
            logger.info(
                "TRAIN.MIXED_PRECISION is %s, but this %s has no instructions for bfloat16: "
                "staying in float32. TRAIN.MIXED_PRECISION True with "
                "TRAIN.MIXED_PRECISION_DTYPE bf16 forces it.",
                mixed,
                "CPU" if device.type == "cpu" else "GPU",
            )
        return precision

    @property
    def dtype_name(self) -> str:
        """The dtype as in "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")

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

    def step(self, optimizer: torch.optim.Optimizer, is_finite: Tensor) -> bool | Tensor:
        """Step, unless the gradient is not finite.

        Args:
            optimizer: The optimizer; its gradients are unscaled.
            is_finite: bool, a scalar: whether all gradients are.

        Returns:
            Whether the step was taken. On a GPU without loss scaling ``is_finite``: nothing is read
            from it. There a fused optimizer skips by itself; another one steps with gradients of
            zero.
        """
        if self.device.type == "cuda" and not self.scaler.is_enabled():
            if all(group.get("fused") for group in optimizer.param_groups):
                optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
            else:
                clear_gradients_unless(is_finite, optimizer)
            optimizer.step()
            return is_finite
        stepped = bool(is_finite)
        if stepped:
            self.scaler.step(optimizer)
        self.scaler.update()
        if not stepped and self.scaler.is_enabled():
            logger.info(
                "a gradient overflowed float16: the step was skipped, the new loss scale is %g",
                self.scaler.get_scale(),
            )
        return stepped


def clear_gradients_unless(is_finite: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Set gradients to zero if they are not finite, without reading anything from the device.

    Args:
        is_finite: bool, a scalar: whether all gradients are.
        optimizer: The optimizer of the parameters.
    """
    for group in optimizer.param_groups:
        for param in group["params"]:
            if param.grad is not None:
                param.grad = torch.where(is_finite, param.grad, 0.0)
