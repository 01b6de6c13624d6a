"""One training step: forward and backward passes of its batches, the optimizer, the method's hooks.

The order of the hooks is that of ``models/method.py``. A step whose loss or gradient is not finite
is skipped: it leaves no trace in the buffers of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precision import Precision
from slowfast.engine.recorder import Recorder
from slowfast.engine.skipped_steps import RunningStatistics
from slowfast.models.data_parallel import synchronized
from slowfast.models.method import (
    Method,
    Progress,
    call_hook,
    detached,
    not_a_number_unless,
    without_media,
)
from slowfast.models.optimizer import clip_gradients, gradient_norm
from slowfast.utils.checkpoint import unwrap_model

__all__ = ["TrainingStep"]

Batch = dict[str, Tensor]


class TrainingStep:
    """Takes optimizer steps; the gradients of the batches of a step are averaged.

    Args:
        cfg: Read: SOLVER.ACCUMULATE_STEPS, SOLVER.GRAD_CACHE_CHUNK, SOLVER.CLIP_GRAD_VAL,
            SOLVER.CLIP_GRAD_L2NORM, DEVICE.COMPILE.
        model: A method, as ``distribute`` returns it; in training mode when a step is taken.
        criterion: ``(outputs, batch) -> losses``; ``loss`` is the total.
        optimizer: The optimizer of the model's parameters.
        precision: Autocast and loss scaling.
        prepare: Makes a batch on the device from a loaded one.
        recorder: Times the parts of a step, and watches what passes.
    """

    def __init__(
        self,
        cfg: CfgNode,
        *,
        model: nn.Module,
        criterion: Callable[[Any, Mapping[str, Any]], dict[str, Tensor]],
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        prepare: Callable[[Batch], Batch],
        recorder: Recorder,
    ) -> None:
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.precision, self.prepare, self.recorder = precision, prepare, recorder
        self._solver = cfg.SOLVER
        self._method = unwrap_model(model)
        hook = getattr(type(self._method), "after_backward", Method.after_backward)
        self._changes_gradient = hook is not Method.after_backward
        self._statistics = RunningStatistics(model)
        self._forward: Callable[[Batch], tuple[Any, dict[str, Tensor]]] = self._outputs_and_losses
        if cfg.DEVICE.COMPILE:
            self._forward = torch.compile(self._outputs_and_losses)

    def take(
        self, batches: Iterator[Batch], progress: Progress
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Take one step.

        Args:
            batches: Loaded batches; the next SOLVER.ACCUMULATE_STEPS are used.
            progress: Training progress before the step.

        Returns:
            The losses and ``grad_norm``, scalars, means over the batches; the rows of the manifest
            of each batch, int64 (B,).
        """
        # 1. The method prepares the step.
        self._call("before_step", progress)
        self._statistics.keep()
        # 2. Each batch: preprocess, forward, loss, backward.
        count = self._solver.ACCUMULATE_STEPS
        total: dict[str, Tensor] = {}
        kept: list[tuple[Any, Batch]] = []
        for micro in range(count):
            batch = self._next(batches, is_first=micro == 0)
            outputs, losses = self.forward_backward(batch, is_last=micro == count - 1)
            kept.append((detached(outputs), without_media(batch)))
            self.recorder.compare_with_chance(self.criterion, outputs)
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / count
        # 3. The gradient: unscale, let the method change it, clip. The optimizer steps.
        grad_norm, stepped = self._update(kept, progress)
        # 4. The method updates banks and queues, then moving averages.
        if stepped is not False:
            progress = progress._replace(stepped=stepped)
            for outputs, batch in kept:
                self._call("after_batch", not_a_number_unless(stepped, outputs), batch, progress)
            self._call("after_step", progress)
        return {**total, "grad_norm": grad_norm}, [batch["index"] for _, batch in kept]

    def forward_backward(self, batch: Batch, *, is_last: bool) -> tuple[Any, dict[str, Tensor]]:
        """Add the gradient of a batch to that of the model.

        Args:
            batch: A batch on the device.
            is_last: Whether it is the last one of its step, which averages the gradient over all
                processes.

        Returns:
            The outputs of the model and the losses.
        """
        accumulated, chunk = self._solver.ACCUMULATE_STEPS, self._solver.GRAD_CACHE_CHUNK

        def scale(loss: Tensor) -> Tensor:
            # A loss that is not finite makes the gradients so, in all processes.
            mark = torch.where(loss.detach().isfinite(), 1.0, torch.nan)
            return self.precision.scaler.scale(loss * mark / accumulated)

        if 0 < chunk < len(batch["index"]):
            with self.recorder.part("forward and backward"):
                return backward_in_chunks(
                    self.model,
                    self.criterion,
                    batch,
                    chunk=chunk,
                    precision=self.precision,
                    scale=scale,
                    is_last=is_last,
                )
        with synchronized(self.model, is_last):
            with self.recorder.part("forward"), self.precision.autocast():
                outputs, losses = self._forward(batch)
            with self.recorder.part("backward"):
                scale(losses["loss"]).backward()
        return outputs, losses

    def _outputs_and_losses(self, batch: Batch) -> tuple[Any, dict[str, Tensor]]:
        outputs = self.model(batch)
        return outputs, self.criterion(outputs, batch)

    def _next(self, batches: Iterator[Batch], *, is_first: bool) -> Batch:
        with self.recorder.part("wait"):
            loaded = next(batches)
        self.recorder.watch_audio(loaded)
        with self.recorder.part("copy"):
            batch = self.prepare(loaded)
        if is_first:
            self.recorder.data_ready()
        return batch

    def _update(
        self, kept: list[tuple[Any, Batch]], progress: Progress
    ) -> tuple[Tensor, bool | Tensor]:
        """Step unless the gradient is not finite; return its norm and ``Progress.stepped``."""
        norms = []
        with self.recorder.part("optimizer"):
            self.precision.unscale(self.optimizer)
            if self._changes_gradient:  # and may drop what is not finite
                norms.append(gradient_norm(self.model))
        self._call("after_backward", progress)
        self.recorder.write_weights(self.model, progress.step + 1)
        outputs, batch = kept[-1]
        self.recorder.watch_embeddings(outputs, self.model, len(batch["index"]), progress.step + 1)
        with self.recorder.part("optimizer"):
            norms.append(
                clip_gradients(
                    self.model,
                    clip_value=self._solver.CLIP_GRAD_VAL,
                    clip_norm=self._solver.CLIP_GRAD_L2NORM,
                )
            )
            stepped = self.precision.step(self.optimizer, torch.stack(norms).isfinite().all())
            self._statistics.restore_unless(stepped)
            self.optimizer.zero_grad(set_to_none=True)
        return norms[-1], stepped

    def _call(self, hook: str, *args: Any) -> None:
        """Call a hook of the method, without gradients."""
        with torch.no_grad():
            call_hook(self._method, hook, *args)
