"""The interface of a method, used by trainer, evaluator and data loading.

A method is a model (MODEL.MODEL_NAME) with hooks around the optimizer step. The trainer calls, in
this order:

    setup(data)                            once, before optimizer, checkpoint and DDP
    before_epoch(progress)                 at the first step of an epoch
    before_step(progress)                  at each step, before the first batch
      forward(batch), loss, backward       SOLVER.ACCUMULATE_STEPS times
    after_backward(progress)               gradients are reduced and unscaled, not yet clipped
      the optimizer steps
    after_batch(outputs, batch, progress)  for each batch, in order
    after_step(progress)                   last

A step whose loss or gradient is not finite is skipped, without the last two hooks: it leaves no
trace in buffers. A GPU skips it without telling the host. There both are called, with NaN for all
outputs and with ``progress.stepped`` on the device.

All state is in buffers, so that it is in checkpoints and a stopped run resumes bit for bit. A plain
``nn.Module`` with ``forward`` and ``embed`` is a method, too: missing hooks are not called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = [
    "DatasetInfo",
    "Method",
    "Progress",
    "call_hook",
    "detached",
    "not_a_number_unless",
    "replicated_buffers",
    "without_media",
]


class DatasetInfo(NamedTuple):
    """Information about the training data, available before the first step.

    Attributes:
        num_rows: Files of the train split, the upper bound of ``batch["index"]``, and so the length
            of a memory bank.
        num_samples: Samples per epoch; more than ``num_rows`` if a file has several.
        steps_per_epoch: Optimizer steps per epoch.
        batch_size: Samples of one batch of one process.
        world_size: Processes.
    """

    num_rows: int
    num_samples: int
    steps_per_epoch: int
    batch_size: int
    world_size: int


class Progress(NamedTuple):
    """Progress of the training.

    Attributes:
        step: Optimizer steps attempted before this one, as the learning rate counts them.
        epoch: Completed epochs before this step.
        epoch_float: The same, with the fraction of the current epoch.
        max_epoch: SOLVER.MAX_EPOCH.
        steps_per_epoch: Optimizer steps per epoch.
        stepped: After the step: True; or, on a GPU, bool, a scalar: whether it was taken. To read
            it, the host has to wait.
    """

    step: int
    epoch: int
    epoch_float: float
    max_epoch: int
    steps_per_epoch: int
    stepped: bool | Tensor = False


class Method(nn.Module):
    """Base class of methods; every hook does nothing unless it is overridden.

    ``forward(batch)`` returns a NamedTuple of all inputs of the loss, including detached rows of
    banks and queues. It changes nothing but running statistics of batch norm.

    Attributes:
        replicated_buffers: Names of buffers that DistributedDataParallel does not broadcast, such
            as ``bank``. Every process must fill them with the same values: initially from RNG_SEED,
            then from gathered tensors. Other buffers are broadcast before every forward pass.
            Submodules may have this attribute, too, as in ``models/contrastive``.
        output_batch_dims: Sample dimension of outputs of ``forward``, if it is not the first one;
            None for outputs that all samples share, such as a bank. Used with
            SOLVER.GRAD_CACHE_CHUNK.
        classifies: Whether ``embed`` returns ``logits`` of classes.
    """

    replicated_buffers: frozenset[str] = frozenset()
    output_batch_dims: ClassVar[Mapping[str, int | None]] = {}
    classifies: ClassVar[bool] = False

    def setup(self, data: DatasetInfo) -> None:
        """Prepare for the training data, such as creating a memory bank. Not called in evaluation.

        Args:
            data: Information about the training data.
        """

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute frozen features for evaluation.

        Args:
            batch: As for ``forward``; entries that the protocols do not need may be missing.

        Returns:
            Features by name; ``engine/features.py`` lists the names that protocols read.

        Raises:
            NotImplementedError: Unless overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} has no features for evaluation (embed).")

    def parameter_groups(self, cfg: CfgNode) -> list[dict[str, Any]] | None:
        """Return groups of parameters for the optimizer.

        Args:
            cfg: The configuration.

        Returns:
            Groups with ``params``, ``weight_decay``, ``layer_decay`` (a factor on the learning
            rate) and ``apply_LARS``; None: sorted by ``models/optimizer.py``.
        """
        return None

    def before_epoch(self, progress: Progress) -> None:
        """Prepare an epoch, without gradients; results are kept in buffers.

        A run that resumes in the middle of an epoch does not call it again.

        Args:
            progress: Training progress.
        """

    def before_step(self, progress: Progress) -> None:
        """Prepare a step, without gradients: copy an encoder, normalize prototypes.

        Args:
            progress: Training progress.
        """

    def after_backward(self, progress: Progress) -> None:
        """Modify gradients before clipping; ``grad = None`` excludes a parameter from the step.

        Args:
            progress: Training progress.
        """

    def after_batch(self, outputs: Any, batch: Mapping[str, Any], progress: Progress) -> None:
        """Write banks and queues, without gradients, after the step.

        Args:
            outputs: Outputs of ``forward``, detached.
            batch: The batch without frames and spectrograms. Rows whose audio is not valid, or
                whose outputs are not finite, must not be written.
            progress: Training progress, with ``stepped``.
        """

    def after_step(self, progress: Progress) -> None:
        """Update moving averages, without gradients; the last hook of a step.

        Args:
            progress: Training progress, with ``stepped``.
        """

    def rank_state(self) -> dict[str, Tensor]:
        """Return state that differs between processes; a checkpoint holds that of each.

        Returns:
            Tensors by name, passed to ``load_rank_state`` if a run resumes on the same number of
            processes.
        """
        return {}

    def load_rank_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of ``rank_state``.

        Args:
            state: State of this process.
        """


def call_hook(model: nn.Module, name: str, *args: Any) -> Any:
    """Call a hook if the model has it.

    Args:
        model: A method, or a plain module.
        name: Name of the hook.
        args: Arguments of the hook.

    Returns:
        Result of the hook; None without such a hook.
    """
    hook = getattr(model, name, None)
    return None if hook is None else hook(*args)


def detached(outputs: Any) -> Any:
    """Detach outputs from their graph.

    Args:
        outputs: A tensor, or a (named) tuple, list or dict of tensors; other values are kept.

    Returns:
        The same structure.
    """
    return pytree.tree_map_only(Tensor, Tensor.detach, outputs)


def not_a_number_unless(stepped: bool | Tensor, outputs: Any) -> Any:
    """Replace outputs by NaN after a skipped step, so that no bank and no queue takes them.

    Args:
        stepped: As in ``Progress``: a bool, or a scalar tensor.
        outputs: As in ``detached``, of any shape.

    Returns:
        The same structure.
    """
    if isinstance(stepped, bool):
        return outputs

    def mark(x: Tensor) -> Tensor:
        return torch.where(stepped, x, torch.nan) if x.is_floating_point() else x

    return pytree.tree_map_only(Tensor, mark, outputs)


def replicated_buffers(model: nn.Module) -> list[str]:
    """List the buffers that DistributedDataParallel does not broadcast.

    Args:
        model: A method, or a plain module.

    Returns:
        The ``replicated_buffers`` of the model and of its submodules, such as ``queue.rows``.
    """
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name in sorted(getattr(module, "replicated_buffers", ()))
    ]


_MEDIA_DIMS = 4
"""Least dimensions of media: frames (B, V, 3, T, H, W), spectrograms (B, A, 1, F, S)."""


def without_media(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Drop frames and spectrograms, to free their memory.

    Args:
        batch: A batch on the device.

    Returns:
        Its other entries.
    """
    return {
        name: value
        for name, value in batch.items()
        if not (isinstance(value, Tensor) and value.dim() > _MEDIA_DIMS)
    }
