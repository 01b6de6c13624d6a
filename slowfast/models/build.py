"""Registries of models and their components, with the interface of their entries.

Entries are functions (or classmethods) that build an object from the configuration; the classes
take plain keyword arguments.
"""

from __future__ import annotations

import torch
from torch import nn

from slowfast.config import CfgNode
from slowfast.models.data_parallel import distribute
from slowfast.models.time_conv import TimeConv3d
from slowfast.utils.env import uses_channels_last
from slowfast.utils.registry import Registry

__all__ = [
    "BACKBONE_REGISTRY",
    "CHECKPOINT_FORMAT_REGISTRY",
    "FEATURE_AUG_REGISTRY",
    "HEAD_REGISTRY",
    "LOSS_REGISTRY",
    "MODEL_REGISTRY",
    "POOLING_REGISTRY",
    "build_model",
    "construct_model",
]

MODEL_REGISTRY = Registry("model", "MODEL.MODEL_NAME", protocols=())
MODEL_REGISTRY.__doc__ = """
``(cfg) -> nn.Module``, preferably a ``models.method.Method``, which documents the hooks. The
capability ``protocols`` replaces the default of TEST.PROTOCOLS for a model that does not classify.
``forward(batch) -> outputs``, a NamedTuple of named tensors; ``embed(batch) -> dict[str, Tensor]``
for evaluation (see ``engine/features.py``).
"""

BACKBONE_REGISTRY = Registry("backbone", "MODEL.ARCH")
BACKBONE_REGISTRY.__doc__ = """
``(cfg) -> nn.Module`` with ``forward(x) -> BackboneOutput`` and ``out_channels: list[int]``, one
entry per pathway. Video: x is (B, 3, T, H, W); audio: x is (B, 1, F, S). Optional:
``native_pooling()``, see ``models/pooling.py``; ``no_weight_decay() -> set[str]``; ``num_layers``
and ``layer_id(name) -> int`` for SOLVER.LAYER_DECAY.
"""

FEATURE_AUG_REGISTRY = Registry("feature augmentation", "MODEL.FEATURE_AUG")
FEATURE_AUG_REGISTRY.__doc__ = """
``(cfg) -> nn.Module``; ``forward(maps, aug_seed) -> list[CropGroup]``: maps as in BackboneOutput,
aug_seed int64 (B,), the only seed of the crops. Optional, for the report:
``regions(maps, aug_seed) -> CropRegions``, where the crops of ``forward`` are.
"""

POOLING_REGISTRY = Registry("pooling", "MODEL.POOLING", reads_space=False, section="")
POOLING_REGISTRY.__doc__ = """
``(dim, cfg) -> nn.Module``; ``forward(tokens: Tokens) -> Tensor``: (N, L, C) and mask -> (N, C).
Optional, for the report: ``attention_weights(tokens) -> Tensor``, float (N, heads, L), the share of
each token in the result; rows sum to 1, and padding has 0.
Capabilities: ``reads_space``, True if tokens are single spatial positions, not averages over space;
``section``, the section of the configuration that decides its shape, "" for none.
"""

HEAD_REGISTRY = Registry("head", "MODEL.HEAD")
HEAD_REGISTRY.__doc__ = """
``(dim_in, dim_out, cfg) -> nn.Module``; ``forward(x, groups=1)``: (N, C) -> logits or embedding
(N, D). ``groups`` is the number of equal blocks of rows that are treated as separate calls (batch
statistics are computed per block).
"""

LOSS_REGISTRY = Registry("loss", "MODEL.LOSS_FUNC", soft_labels=False, class_weights=False)
LOSS_REGISTRY.__doc__ = """
``(cfg) -> Callable``; ``loss(outputs, batch) -> dict[str, Tensor]`` of scalars: ``loss`` is the
total, the rest is logged. A loss has no state. Capabilities: ``soft_labels``, True if
``batch["label"]`` may be int64 (B,) or a distribution over classes, float (B, C), as with MIXUP;
``class_weights``, True if it reads SOLVER.CLASS_WEIGHTS.
"""

CHECKPOINT_FORMAT_REGISTRY = Registry("checkpoint format", "TRAIN.CHECKPOINT_TYPE")
CHECKPOINT_FORMAT_REGISTRY.__doc__ = """
``(state_dict) -> dict | None``: convert the keys of a foreign state dict, or return None if they
are not of that format. Formats are tried in order of registration.
"""


def construct_model(cfg: CfgNode) -> nn.Module:
    """Build the model of a configuration on the CPU; the engine uses this.

    Args:
        cfg: The configuration; MODEL.MODEL_NAME.

    Returns:
        The model with random weights, not distributed. A model without ``embed`` is one with
        PySlowFast's interface, and becomes a ``PathwayModel``.

    Raises:
        KeyError: If no model has that name.
    """
    from slowfast.models.pathway_model import PathwayModel  # it needs the registries above

    model = _build(cfg)
    has_method = not isinstance(getattr(model, "embed", nn.Module()), nn.Module)  # no layer
    return model if has_method else PathwayModel(model, cfg)


def _build(cfg: CfgNode) -> nn.Module:
    model: nn.Module = MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg)
    if uses_channels_last(cfg):
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                weight = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
                module.weight.data = weight
    for module in model.modules():
        if isinstance(module, TimeConv3d):
            module.may_use_2d = cfg.MODEL.FAST_TIME_CONV
    return model


def build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build the model of a configuration where it will run, as PySlowFast does.

    Args:
        cfg: The configuration; MODEL.MODEL_NAME and NUM_GPUS.
        gpu_id: GPU of the model; None: the current one, or the CPU if NUM_GPUS is 0 or there is no
            GPU.

    Returns:
        The model with random weights; wrapped in DistributedDataParallel in a job of several
        processes.

    Raises:
        KeyError: If no model has that name.
    """
    model, device = _build(cfg), _device(cfg, gpu_id)
    if device.type != "cpu":
        model = model.to(device)
    return distribute(model, device)


def _device(cfg: CfgNode, gpu_id: int | None) -> torch.device:
    if gpu_id is not None:
        return torch.device("cuda", gpu_id)
    if cfg.NUM_GPUS and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
