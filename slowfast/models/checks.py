"""Configuration checks of MODEL, SOLVER and BN."""

from __future__ import annotations

import math

from slowfast.config import CfgNode, Problem, register_check, register_note
from slowfast.config.projects import find_missing
from slowfast.config.sections.unsupported import describe_unsupported
from slowfast.models import build
from slowfast.utils.lr_policy import describe_wrong_steps
from slowfast.utils.registry import Registry, nearest

__all__ = [
    "check_class_weights",
    "check_mixed_labels",
    "check_model",
    "check_multi_label",
    "check_names",
    "check_solver",
    "note_solver",
]

_CHOICES = {
    "MODEL.HEAD_ACT": ("softmax", "sigmoid", "none"),
    "BN.NORM_TYPE": ("batchnorm", "sync_batchnorm", "sub_batchnorm"),
    "SOLVER.OPTIMIZING_METHOD": ("sgd", "adam", "adamw"),
    "SOLVER.LR_POLICY": ("cosine", "steps_with_relative_lrs", "constant"),
}
_POSITIVE = (
    "MODEL.NUM_CLASSES",
    "RESNET.WIDTH_PER_GROUP",
    "BN.NUM_SPLITS",
    "SOLVER.BASE_LR",
    "SOLVER.MAX_EPOCH",
    "MODEL.ATTENTIVE_HEADS",
)

_COLORS = 3
_BINARY_LOSSES = ("bce", "bce_logit")


@register_check
def check_names(cfg: CfgNode) -> list[Problem]:
    """Find names that are in no registry.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per unknown name, with the nearest match or the project that has it.
    """
    model = cfg.MODEL
    names: list[tuple[str, Registry, str]] = [
        ("MODEL.MODEL_NAME", build.MODEL_REGISTRY, model.MODEL_NAME),
        ("MODEL.ARCH", build.BACKBONE_REGISTRY, model.ARCH),
        ("MODEL.POOLING", build.POOLING_REGISTRY, model.POOLING),
        ("MODEL.HEAD", build.HEAD_REGISTRY, model.HEAD),
        ("MODEL.LOSS_FUNC", build.LOSS_REGISTRY, model.LOSS_FUNC),
    ]
    if model.FEATURE_AUG != "none":
        names.append(("MODEL.FEATURE_AUG", build.FEATURE_AUG_REGISTRY, model.FEATURE_AUG))
    if cfg.AUDIO.ENABLE:
        names.append(("AUDIO.ARCH", build.BACKBONE_REGISTRY, cfg.AUDIO.ARCH))
    for key in ("TRAIN", "TEST"):
        kind = cfg[key].CHECKPOINT_TYPE
        if kind != "pytorch":
            names.append((f"{key}.CHECKPOINT_TYPE", build.CHECKPOINT_FORMAT_REGISTRY, kind))
    problems = []
    for key, registry, name in names:
        problem = find_missing(key, registry, name, cfg.PROJECTS)
        if problem is not None and not describe_unsupported(key, name):
            problems.append(problem)
    return problems


@register_check
def check_model(cfg: CfgNode) -> list[Problem]:
    """Find invalid values of MODEL, RESNET, BN and SOLVER.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    problems = []
    for key, known in _CHOICES.items():
        section, name = key.split(".")
        value = cfg[section][name]
        if value not in known:
            problems.append(Problem(key, f"got {value!r}. {nearest(str(value), known)}"))
    if cfg.MODEL.MODEL_NAME == "AudioClassifier" and not cfg.AUDIO.ENABLE:
        problems.append(Problem("AUDIO.ENABLE", "MODEL.MODEL_NAME AudioClassifier needs True."))
    for key in _POSITIVE:
        section, name = key.split(".")
        if cfg[section][name] <= 0:
            problems.append(Problem(key, f"got {cfg[section][name]}, expected more than 0."))
    channels = list(cfg.DATA.INPUT_CHANNEL_NUM)
    if any(number != _COLORS for number in channels):
        message = f"got {channels}, expected 3 for each pathway: all frames are read as RGB."
        problems.append(Problem("DATA.INPUT_CHANNEL_NUM", message))
    pooling = cfg.MODEL.POOLING
    registry = build.POOLING_REGISTRY
    reads_space = pooling in registry and registry.capability(pooling, "reads_space")
    if reads_space and cfg.MODEL.FEATURE_AUG != "none":
        message = (
            f"'{pooling}' pools spatial positions, but feature crops are averages over "
            "space. Set MODEL.FEATURE_AUG none, or choose another pooling."
        )
        problems.append(Problem("MODEL.POOLING", message))
    if not 0 <= cfg.MODEL.FEATURE_AUG_WEIGHT <= 1:
        got = cfg.MODEL.FEATURE_AUG_WEIGHT
        problems.append(Problem("MODEL.FEATURE_AUG_WEIGHT", f"got {got}, expected 0 to 1."))
    return problems


@register_check
def check_mixed_labels(cfg: CfgNode) -> list[Problem]:
    """Find models that MIXUP and AUG.NUM_SAMPLE cannot be combined with.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems; none for a run that only tests.
    """
    loss, mixup, problems = cfg.MODEL.LOSS_FUNC, cfg.MIXUP, []
    if not cfg.TRAIN.ENABLE or loss not in build.LOSS_REGISTRY:
        return []
    learns_labels = build.LOSS_REGISTRY.capability(loss, "soft_labels")
    cuts = mixup.ENABLE and mixup.CUTMIX_ALPHA and mixup.PROB
    if mixup.ENABLE and not learns_labels:
        message = f"got True, but the loss {loss} does not learn from soft labels; use False."
        problems.append(Problem("MIXUP.ENABLE", message))
    elif cuts and cfg.MODEL.FEATURE_AUG != "none":
        message = (
            f"got {mixup.CUTMIX_ALPHA} with MODEL.FEATURE_AUG {cfg.MODEL.FEATURE_AUG!r}: a crop of "
            "the feature map may show only one of the two clips, but would have the label of both; "
            "use 0, for mixup alone."
        )
        problems.append(Problem("MIXUP.CUTMIX_ALPHA", message))
    if cfg.AUG.NUM_SAMPLE > 1 and not learns_labels:
        message = (
            f"got {cfg.AUG.NUM_SAMPLE}, but the loss {loss} does not learn from labels: clips of "
            "one video would count as different samples; use 1 and, for more views of a video, "
            "DATA.TRAIN_CROP_NUM_SPATIAL."
        )
        problems.append(Problem("AUG.NUM_SAMPLE", message))
    return problems


@register_check
def check_multi_label(cfg: CfgNode) -> list[Problem]:
    """Find losses and activations that do not fit lists of classes.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    model = cfg.MODEL
    if not cfg.DATA.MULTI_LABEL:
        return []
    problems = []
    if cfg.TRAIN.ENABLE and model.LOSS_FUNC == "cross_entropy":
        message = (
            "got 'cross_entropy', which needs one label per video, with DATA.MULTI_LABEL True; "
            "use 'bce_logit', and MODEL.HEAD_ACT 'sigmoid'."
        )
        problems.append(Problem("MODEL.LOSS_FUNC", message))
    if model.LOSS_FUNC in _BINARY_LOSSES and model.HEAD_ACT == "softmax":
        message = (
            f"got 'softmax', but MODEL.LOSS_FUNC {model.LOSS_FUNC} trains each class on its own; "
            "use 'sigmoid'."
        )
        problems.append(Problem("MODEL.HEAD_ACT", message))
    return problems


@register_check
def check_class_weights(cfg: CfgNode) -> list[Problem]:
    """Find class weights that cannot be used.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    solver, loss = cfg.SOLVER, cfg.MODEL.LOSS_FUNC
    weights, key = list(solver.CLASS_WEIGHTS), "SOLVER.CLASS_WEIGHTS"
    if not cfg.TRAIN.ENABLE or not (weights or solver.BALANCED_CLASS_WEIGHTS):
        return []
    if not weights:
        key = "SOLVER.BALANCED_CLASS_WEIGHTS"
    elif solver.BALANCED_CLASS_WEIGHTS:
        message = (
            "got weights, but SOLVER.BALANCED_CLASS_WEIGHTS computes them; use one of the two."
        )
        return [Problem(key, message)]
    registry = build.LOSS_REGISTRY
    if loss in registry and not registry.capability(loss, "class_weights"):
        return [Problem(key, f"MODEL.LOSS_FUNC {loss!r} does not weigh classes; leave it out.")]
    is_number = [isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in weights]
    if weights and not (all(is_number) and any(weights)):
        return [Problem(key, f"got {weights}, expected numbers of 0 or more, not all 0.")]
    if weights and len(weights) != cfg.MODEL.NUM_CLASSES:
        message = f"got {len(weights)} weights, expected MODEL.NUM_CLASSES {cfg.MODEL.NUM_CLASSES}."
        return [Problem(key, message)]
    return []


def _wrong_limits(solver: CfgNode) -> list[Problem]:
    """Find limits of the gradient that are not numbers: None, their default, has no type."""
    problems = []
    for name in ("CLIP_GRAD_VAL", "CLIP_GRAD_L2NORM"):
        limit = solver[name]
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (is_number and limit >= 0):
            message = f"got {limit!r}, expected a number, 0 or more; 0 or None: off."
            problems.append(Problem(f"SOLVER.{name}", message))
    return problems


@register_check
def check_solver(cfg: CfgNode) -> list[Problem]:
    """Find invalid and conflicting values of SOLVER.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    solver = cfg.SOLVER
    problems = []
    wrong_steps = describe_wrong_steps(cfg)
    if solver.LR_POLICY == "steps_with_relative_lrs" and wrong_steps:
        problems.append(Problem("SOLVER.STEPS", wrong_steps))
    betas = list(solver.BETAS)
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        message = f"got {betas}, expected two numbers in [0, 1)."
        problems.append(Problem("SOLVER.BETAS", message))
    problems += _wrong_limits(solver)
    if not 0 < solver.LAYER_DECAY <= 1:
        got = solver.LAYER_DECAY
        problems.append(Problem("SOLVER.LAYER_DECAY", f"got {got}, expected a number in (0, 1]."))
    if solver.ACCUMULATE_STEPS < 1:
        got = solver.ACCUMULATE_STEPS
        problems.append(Problem("SOLVER.ACCUMULATE_STEPS", f"got {got}, expected at least 1."))
    if solver.GRAD_CACHE_CHUNK < 0:
        got = solver.GRAD_CACHE_CHUNK
        problems.append(Problem("SOLVER.GRAD_CACHE_CHUNK", f"got {got}, expected 0 or more."))
    if solver.WARMUP_EPOCHS >= solver.MAX_EPOCH:
        problems.append(
            Problem(
                "SOLVER.WARMUP_EPOCHS",
                f"got {solver.WARMUP_EPOCHS}, expected less than SOLVER.MAX_EPOCH "
                f"({solver.MAX_EPOCH}).",
            )
        )
    if solver.LARS_ON and solver.OPTIMIZING_METHOD != "sgd":
        problems.append(Problem("SOLVER.LARS_ON", "needs SOLVER.OPTIMIZING_METHOD 'sgd'."))
    if solver.BASE_BATCH_SIZE and solver.BASE_LR_SCALE_NUM_SHARDS:
        problems.append(
            Problem(
                "SOLVER.BASE_BATCH_SIZE",
                "already scales the learning rate with the global batch; set "
                "SOLVER.BASE_LR_SCALE_NUM_SHARDS False.",
            )
        )
    return problems


@register_note
def note_solver(cfg: CfgNode) -> list[str]:
    """Name learning rates without a step, which PySlowFast's YAMLs have.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one sentence.
    """
    steps, lrs = list(cfg.SOLVER.STEPS), list(cfg.SOLVER.LRS)
    unused = lrs[len(steps) :]
    if cfg.SOLVER.LR_POLICY != "steps_with_relative_lrs" or not unused:
        return []
    return [f"no effect: {unused} of SOLVER.LRS (SOLVER.STEPS has {len(steps)} steps)"]
