"""Optimizers, their parameter groups, and the learning rate of each group.

A group carries, as in PySlowFast, ``layer_decay`` (a factor on the learning rate) and
``apply_LARS``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.optim import Optimizer

from slowfast.config.problems import ConfigValueError
from slowfast.models.lars import LARS
from slowfast.models.method import call_hook
from slowfast.pyslowfast_names import names_of
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.lr_policy import get_lr_at_epoch

__all__ = [
    "OPTIMIZERS",
    "FusedSGD",
    "clip_gradients",
    "construct_optimizer",
    "get_epoch_lr",
    "gradient_norm",
    "load_optimizer_state",
    "parameter_groups",
    "set_lr",
]

logger = logging.getLogger(__name__)

OPTIMIZERS = ("sgd", "adam", "adamw")


class _Rule(NamedTuple):
    """Settings of a parameter group."""

    weight_decay: float
    layer_decay: float
    apply_lars: bool


def _named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    """Yield every trainable parameter once, with the module that owns it."""
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        for name, param in module.named_parameters(recurse=False):
            if param.requires_grad and param not in seen:
                seen.add(param)
                yield f"{prefix}.{name}" if prefix else name, param, module


def _is_exempt(name: str, exempt: set[str]) -> bool:
    """Return whether a parameter has no weight decay, by its full name or a suffix of it."""
    return any(name == other or name.endswith(f".{other}") for other in exempt)


def _layer_decay(model: nn.Module, decay: float) -> Callable[[str], float]:
    """Return name -> learning rate factor: ``decay`` once per layer between it and the head."""
    if decay == 1.0:
        return lambda name: 1.0
    number: Callable[[str], int] | None = getattr(model, "layer_id", None)
    last = getattr(model, "num_layers", None)
    if number is None or last is None:
        raise ConfigValueError(
            "SOLVER.LAYER_DECAY",
            f"got {decay}, but {type(model).__name__} has no "
            "num_layers and layer_id(name). Set it to 1.0.",
        )
    return lambda name: decay ** (last - number(name))


_PART_FACTORS = {
    "backbone": "BACKBONE_LR_FACTOR",
    "audio_backbone": "BACKBONE_LR_FACTOR",
    "pooling": "POOLING_LR_FACTOR",
}


def _component_factor(name: str, solver: CfgNode) -> float:
    """Return the learning rate factor of the component that a parameter belongs to."""
    key = _PART_FACTORS.get(name.split(".")[0])
    return float(solver[key]) if key else 1.0


def parameter_groups(model: nn.Module, cfg: CfgNode) -> list[dict[str, Any]]:
    """Group the trainable parameters by their settings.

    * Batch norm: BN.WEIGHT_DECAY.
    * Names that the model's ``no_weight_decay()`` returns, and with SOLVER.ZERO_WD_1D_PARAM biases
      and all others of at most one dimension: no weight decay.
    * The rest: SOLVER.WEIGHT_DECAY.

    With SOLVER.LARS_ON, LARS applies to all but batch norm; it leaves biases alone itself.

    Learning rate factors are those of SOLVER.LAYER_DECAY times SOLVER.BACKBONE_LR_FACTOR and
    POOLING_LR_FACTOR.

    Args:
        model: The model, not wrapped. Parameters without gradient are skipped.
        cfg: Read: SOLVER, BN.WEIGHT_DECAY.

    Returns:
        Groups with ``params``, ``weight_decay``, ``layer_decay`` and ``apply_LARS``, in the order
        of their first parameters.

    Raises:
        ValueError: If no parameter is trainable, or the model has no ``layer_id`` but
        SOLVER.LAYER_DECAY
            is on.
    """
    exempt: set[str] = set(getattr(model, "no_weight_decay", set)())
    layer_decay = _layer_decay(model, cfg.SOLVER.LAYER_DECAY)
    groups: dict[_Rule, list[nn.Parameter]] = {}
    for name, param, module in _named_parameters(model):
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        is_flat = param.dim() <= 1 or name.endswith(".bias")
        weight_decay, lars = cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.LARS_ON
        if is_norm:
            weight_decay, lars = cfg.BN.WEIGHT_DECAY, False
        elif _is_exempt(name, exempt) or (cfg.SOLVER.ZERO_WD_1D_PARAM and is_flat):
            weight_decay = 0.0
        factor = layer_decay(name) * _component_factor(name, cfg.SOLVER)
        rule = _Rule(weight_decay, factor, lars)
        groups.setdefault(rule, []).append(param)
    if not groups:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter: nothing to optimize. Check "
            "MODEL.DETACH_FINAL_FC."
        )
    return [
        {
            "params": params,
            "weight_decay": rule.weight_decay,
            "layer_decay": rule.layer_decay,
            "apply_LARS": rule.apply_lars,
        }
        for rule, params in groups.items()
    ]


def construct_optimizer(model: nn.Module, cfg: CfgNode) -> Optimizer:
    """Build the optimizer of SOLVER.

    Its learning rate is SOLVER.BASE_LR until :func:`set_lr` is called, before every step.

    Args:
        model: The model, wrapped or not.
        cfg: Read: SOLVER, BN.WEIGHT_DECAY.

    Returns:
        The optimizer.

    Raises:
        ValueError: If SOLVER.OPTIMIZING_METHOD is unknown, or LARS is on without sgd.
    """
    solver, model = cfg.SOLVER, unwrap_model(model)
    method = solver.OPTIMIZING_METHOD
    if method not in OPTIMIZERS:
        hint = " For mt_adamw use adamw: it is as fast." if method == "mt_adamw" else ""
        raise ConfigValueError(
            "SOLVER.OPTIMIZING_METHOD",
            f"got '{method}', expected one of {', '.join(OPTIMIZERS)}.{hint}",
        )
    if solver.LARS_ON and method != "sgd":
        raise ConfigValueError(
            "SOLVER.LARS_ON",
            f"LARS adapts SGD, but SOLVER.OPTIMIZING_METHOD is '{method}'. Set one of them.",
        )
    groups = call_hook(model, "parameter_groups", cfg) or parameter_groups(model, cfg)
    optimizer = _build(groups, solver)
    # A step that loss scaling skips must not be taken at all.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


class FusedSGD(torch.optim.SGD):
    """Fused SGD whose momentum starts at zero, which with a dampening of 0 is the same.

    Without, torch's (2.13) fails if some parameters get their first gradient later than others,
    such as frozen prototypes, and leaves momentum uninitialized if the first step is skipped.
    """

    def step(self, closure: Any = None) -> Any:
        """Take a step; see ``torch.optim.SGD``."""
        for group in self.param_groups:
            for param in group["params"] if group["momentum"] else ():
                if param.grad is not None and self.state[param].get("momentum_buffer") is None:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        return super().step(closure)


def _build(groups: list[dict[str, Any]], solver: CfgNode) -> Optimizer:
    """Build the optimizer of valid settings."""
    method = solver.OPTIMIZING_METHOD
    is_fused = solver.FUSED and not (method == "sgd" and (solver.LARS_ON or solver.DAMPENING))
    fused = {"fused": True} if is_fused else {}
    if method == "sgd":
        build = LARS if solver.LARS_ON else FusedSGD if is_fused else torch.optim.SGD
        return build(
            groups,
            lr=solver.BASE_LR,
            momentum=solver.MOMENTUM,
            dampening=solver.DAMPENING,
            nesterov=solver.NESTEROV,
            **fused,
        )
    build_adam = torch.optim.Adam if method == "adam" else torch.optim.AdamW
    return build_adam(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS), eps=1e-8, **fused)


def get_epoch_lr(epoch: float, cfg: CfgNode, global_batch: int | None = None) -> float:
    """Compute the learning rate (PySlowFast's name and order of arguments).

    Args:
        epoch: Epochs done, fractional.
        cfg: Read: SOLVER.
        global_batch: Samples per optimizer step; needed when SOLVER.BASE_BATCH_SIZE is set.

    Returns:
        The learning rate, before layer decay.
    """
    return get_lr_at_epoch(cfg, epoch, global_batch)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group, times the group's ``layer_decay``.

    Args:
        optimizer: Modified in place.
        lr: The learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("layer_decay", 1.0)


_OF_ONE_KIND = frozenset({"momentum", "betas", "nesterov", "alpha", "rho"})
"""Settings that differ between kinds of optimizers."""

_OF_THE_SCHEDULE = frozenset({"lr", "initial_lr"})
"""Settings that change at every step."""


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimizer, and check shapes, which torch does not do before the first step.

    Settings of the current configuration (weight decay, momentum, betas) replace the saved ones;
    each change is logged.

    Args:
        optimizer: Modified in place.
        state: Its ``state_dict()``, from a checkpoint.

    Raises:
        ValueError: If it is of another kind of optimizer, or if groups, parameters or shapes
            differ; the optimizer is then unchanged.
    """
    wanted = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    saved = {key for group in state["param_groups"] for key in group}
    if saved & _OF_ONE_KIND != {key for group in wanted for key in group} & _OF_ONE_KIND:
        raise ValueError(
            "SOLVER.OPTIMIZING_METHOD has changed: the state has "
            f"{', '.join(sorted(saved & _OF_ONE_KIND)) or 'no momentum'}"
        )
    params = [p for group in optimizer.param_groups for p in group["params"]]
    names = [index for group in state["param_groups"] for index in group["params"]]
    if len(params) != len(names):
        raise ValueError(f"it is of {len(names)} parameters, the model trains {len(params)}")
    for param, index in zip(params, names, strict=True):
        for name, value in state["state"].get(index, {}).items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != param.shape:
                raise ValueError(
                    f"its {name} {tuple(value.shape)} belongs to another parameter than "
                    f"{tuple(param.shape)}"
                )
    # Where torch puts the step counters depends on "fused": it must be that of this run.
    saved_groups = state["param_groups"]
    groups = [
        {**group, **({"fused": values["fused"]} if "fused" in values else {})}
        for group, values in zip(saved_groups, wanted, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    changes: dict[str, None] = {}  # an ordered set
    for group, before, values in zip(optimizer.param_groups, saved_groups, wanted, strict=True):
        for key, value in values.items():
            old = before.get(key) if key == "fused" else group.get(key)
            same = list(old) == list(value) if isinstance(value, tuple) and old else old == value
            if key not in _OF_THE_SCHEDULE and not same:
                changes[f"{key} {old} -> {value}"] = None
            group[key] = value
    if changes:
        logger.info("the configuration has changed since: %s", ", ".join(changes))


def clip_gradients(
    model: nn.Module, *, clip_value: float | None, clip_norm: float | None
) -> Tensor:
    """Clip the gradients of a model.

    Args:
        model: The model with gradients.
        clip_value: SOLVER.CLIP_GRAD_VAL; 0 or None: off, as in PySlowFast.
        clip_norm: SOLVER.CLIP_GRAD_L2NORM; 0 or None: off.

    Returns:
        The global L2 norm of the gradient before clipping, a scalar.
    """
    norm = gradient_norm(model)
    parameters = [p for p in model.parameters() if p.grad is not None]
    if clip_norm:
        nn.utils.clip_grads_with_norm_(parameters, clip_norm, norm)
    if clip_value:
        nn.utils.clip_grad_value_(parameters, clip_value)
    return norm


def gradient_norm(model: nn.Module) -> Tensor:
    """Return the global L2 norm of the gradient of a model, a scalar; 0 if there is none."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if gradients:
        return nn.utils.get_total_norm(gradients)
    return torch.zeros((), device=next(model.parameters()).device)


if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
