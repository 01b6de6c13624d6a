"""Loads weights of a checkpoint into a model, with a report of all keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from slowfast.config import CfgNode, ConfigValueError, Problem, UserError
from slowfast.config.paths import PACKAGE_SCHEME, find_package_file
from slowfast.models.architecture import (
    COUNTER,
    OtherArchitectureError,
    architecture_words,
    check_backbone,
)
from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.inflate import inflate
from slowfast.models.zoo.rows import describe_source, resolve
from slowfast.utils.checkpoint import read_checkpoint_file

__all__ = [
    "AUTOMATIC",
    "RANDOM_WEIGHTS",
    "LoadReport",
    "can_resume",
    "check_resumable",
    "convert_state_dict",
    "find_missing_files",
    "load_state",
    "load_weights",
    "read_checkpoint",
    "require_head",
]

logger = logging.getLogger(__name__)

RANDOM_WEIGHTS = "random"
"""Value of CHECKPOINT_FILE_PATH for the untrained model."""

_KEY = "TRAIN.CHECKPOINT_FILE_PATH"
AUTOMATIC = "pytorch"
"""CHECKPOINT_TYPE of a format that is recognized by its keys."""

# PySlowFast and this framework; most others; DeepSpeed; Caffe2.
_CONTAINERS = ("model_state", "state_dict", "model_state_dict", "model", "module", "blobs")
_COMPILED = "_orig_mod."  # of torch.compile, also on components
_WRAPPERS = ("module.", "model.")  # of DataParallel, of Lightning and training scripts
_SHOWN = 6


class LoadReport(NamedTuple):
    """Report of loaded, missing and skipped keys.

    Attributes:
        matched: Keys that were loaded.
        missed: Keys of the model that are not in the checkpoint, without ``num_batches_tracked`` of
            batch norm, which is unused.
        skipped: Key of the checkpoint -> why it was not loaded.
        adapted: Matched keys whose shape was changed -> how.
    """

    matched: list[str]
    missed: list[str]
    skipped: dict[str, str]
    adapted: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{len(self.matched)} keys loaded, {len(self.missed)} of the model's missing from the "
            f"checkpoint, {len(self.skipped)} of the checkpoint's skipped"
        ]
        lines += _shorten("adapted", [f"{k} ({how})" for k, how in self.adapted.items()])
        lines += _shorten("missing", self.missed)
        by_reason: dict[str, list[str]] = {}
        for key, why in self.skipped.items():
            by_reason.setdefault(why, []).append(key)
        for why, keys in by_reason.items():
            lines += _shorten(f"skipped, {why}", keys)
        return "\n".join(lines)


def _shorten(title: str, items: list[str]) -> list[str]:
    more = f" ... and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return [f"  {title}: {', '.join(items[:_SHOWN])}{more}"] if items else []


def convert_state_dict(
    state: Mapping[str, Any],
    checkpoint_type: str = AUTOMATIC,
    own: Mapping[str, Tensor] | None = None,
    adapt: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> dict[str, Any]:
    """Convert the keys of a foreign state dict.

    Zoos share names, so with ``own`` every format is tried, and the one that matches the most keys
    of the model is used; on ties, keys stay unchanged.

    Args:
        state: Key -> tensor, maybe with prefixes of wrappers: ``module.``, ``model.``,
            ``_orig_mod.``.
        checkpoint_type: A name in CHECKPOINT_FORMAT_REGISTRY, or "pytorch" to try them all.
        own: The model's state dict; None: the format that converts the most keys is used.
        adapt: The model's ``adapt_state``, applied to converted keys.

    Returns:
        The converted state dict; unchanged if no format matches more keys.

    Raises:
        UserError: If the keys are not of the given format.
    """
    automatic = checkpoint_type == AUTOMATIC
    formats = ["", *CHECKPOINT_FORMAT_REGISTRY.names()] if automatic else [checkpoint_type]
    best: dict[str, Any] | None = None
    best_name, best_score = "", -1.0
    for plain in _without_wrappers(state):
        for name in formats:
            renamed = CHECKPOINT_FORMAT_REGISTRY.get(name)(plain) if name else plain
            if renamed is None:
                continue
            renamed = adapt(renamed)
            score = _count_fitting(renamed, own)
            if score > best_score:
                best, best_name, best_score = renamed, name, score
    if best is None:
        raise ConfigValueError(
            "TRAIN.CHECKPOINT_TYPE", f"the file's keys are not of '{checkpoint_type}'."
        )
    if best_name and automatic:
        logger.info("checkpoint format: %s", best_name)
    return best


def _without_wrappers(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the state dict, then without the prefixes of compiled and wrapped models."""
    variants = [dict(state)]
    names = {key: key.replace(_COMPILED, "") for key in state}
    while True:
        variant = {names[key]: value for key, value in state.items()}
        if variant.keys() != variants[-1].keys():
            variants.append(variant)
        wrapper = next((w for w in _WRAPPERS if any(n.startswith(w) for n in names.values())), None)
        if wrapper is None:
            return variants
        names = {key: name.removeprefix(wrapper) for key, name in names.items()}


def _count_fitting(state: Mapping[str, Any], own: Mapping[str, Tensor] | None) -> float:
    """Count keys that the model has; those of another shape, which may be adapted, count half."""
    if own is None:
        return sum(key.startswith("backbone.") for key in state)
    shared = [key for key in state if key in own and isinstance(state[key], Tensor)]
    return sum(1.0 if state[key].shape == own[key].shape else 0.5 for key in shared)


def load_state(
    model: nn.Module, state: Mapping[str, Any], *, inflate_2d: bool = False
) -> LoadReport:
    """Load every key that matches or can be adapted.

    A tensor of another shape is passed to ``adapt_tensor(name, value, like)`` of the module that
    owns the parameter, then of its parent modules; ``name`` is relative to the module. It returns a
    tensor of the shape of ``like``, or None.

    Args:
        model: The model, not wrapped.
        state: Converted keys -> tensors.
        inflate_2d: Inflate weights of image networks (TRAIN.CHECKPOINT_INFLATE).

    Returns:
        The report.

    Raises:
        UserError: If no key of the backbone matches, as the file is of another architecture.
    """
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    adapted: dict[str, str] = {}
    for key, value in state.items():
        if key not in own:
            skipped[key] = "the model has no such key"
        elif not isinstance(value, Tensor):
            skipped[key] = f"a {type(value).__name__}, not a tensor"
        elif value.shape == own[key].shape:
            fitting[key] = value
        else:
            shapes = f"{tuple(value.shape)} -> {tuple(own[key].shape)}"
            changed = _adapt(model, key, value, own[key], inflate_2d)
            if changed is None:
                skipped[key] = f"shape {shapes} in the model{_hint(value, own[key])}"
            else:
                fitting[key], adapted[key] = changed, shapes
    check_backbone(own, fitting, state)
    model.load_state_dict(fitting, strict=False)
    missed = [key for key in own if key not in fitting and not key.endswith(COUNTER)]
    return LoadReport(sorted(fitting), sorted(missed), skipped, adapted)


def _adapt(
    model: nn.Module, key: str, value: Tensor, like: Tensor, inflate_2d: bool
) -> Tensor | None:
    """Return a tensor of the model's shape, or None."""
    short, long = sorted((tuple(value.shape), tuple(like.shape)), key=len)
    if long[: len(short)] == short and set(long[len(short) :]) <= {1}:
        return value.reshape(like.shape)  # a linear layer as a convolution of size one
    if inflate_2d and (inflated := inflate(value, like)) is not None:
        return inflated
    names = key.split(".")
    for depth in range(len(names) - 1, -1, -1):  # the innermost module first
        owner, name = model.get_submodule(".".join(names[:depth])), ".".join(names[depth:])
        hook = getattr(owner, "adapt_tensor", None)
        changed: Tensor | None = hook(name, value, like) if hook is not None else None
        if changed is not None and changed.shape == like.shape:
            return changed
    return None


def _hint(value: Tensor, like: Tensor) -> str:
    return "" if inflate(value, like) is None else " (TRAIN.CHECKPOINT_INFLATE would inflate it)"


def read_checkpoint(path: str | Path, *, key: str = _KEY) -> dict[str, Any]:
    """Read the checkpoint of a CHECKPOINT_FILE_PATH. Every rank must call this.

    Args:
        path: A file, the OUTPUT_DIR of a run, a folder in Hugging Face's layout, ``zoo://NAME``,
            ``hf://ORG/NAME``, ``package://PACKAGE/PATH``, or an http(s) URL.
        key: Config key of the path, for messages.

    Returns:
        The file's content, on the CPU.

    Raises:
        UserError: If it cannot be found, downloaded or read.
    """
    try:
        return read_checkpoint_file(resolve(path))
    except UserError as error:
        raise ConfigValueError(key, str(error)) from error


def can_resume(content: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint has the training progress of this framework.

    Other frameworks order the parameters of their optimizers differently, so their state is
    unusable.

    Args:
        content: From ``read_checkpoint``.

    Returns:
        True if epoch, iteration and optimizer can be restored.
    """
    return {"optimizer_state", "epoch", "iteration"} <= set(content)


def check_resumable(content: Mapping[str, Any], path: str | Path) -> None:
    """Check that the newest checkpoint of OUTPUT_DIR has the progress of a training run.

    Args:
        content: From ``read_checkpoint``.
        path: Its file.

    Raises:
        ConfigValueError: If it is of another framework, such as the original PySlowFast.
    """
    if can_resume(content):
        return
    source = "the original PySlowFast" if {"model_state", "epoch"} <= set(content) else "other code"
    raise ConfigValueError(
        "OUTPUT_DIR",
        f"{path} is a checkpoint of {source}, whose training cannot be resumed here: its optimizer "
        "orders parameters differently. Choose another OUTPUT_DIR. To start from its weights, set "
        f"TRAIN.CHECKPOINT_FILE_PATH {path}; to test them, TRAIN.ENABLE False.",
    )


def find_missing_files(cfg: CfgNode) -> list[Problem]:
    """Find named checkpoints that do not exist, also those that a resumed run does not read.

    Args:
        cfg: The configuration.

    Returns:
        One problem per key. URLs are not opened.
    """
    problems = []
    for section in (cfg.TRAIN, cfg.TEST):
        key = f"{'TRAIN' if section is cfg.TRAIN else 'TEST'}.CHECKPOINT_FILE_PATH"
        path = section.CHECKPOINT_FILE_PATH
        if not section.ENABLE or path in ("", RANDOM_WEIGHTS):
            continue
        if path.startswith(PACKAGE_SCHEME):
            try:
                find_package_file(path)
            except UserError as error:
                problems.append(Problem(key, str(error)))
        elif "://" not in path and not Path(path).exists() and not _will_exist(cfg, Path(path)):
            problems.append(Problem(key, f"checkpoint not found: {path}."))
    return problems


def _will_exist(cfg: CfgNode, path: Path) -> bool:
    """Return whether this run may write a file before it is tested."""
    return cfg.TRAIN.ENABLE and path.absolute().is_relative_to(Path(cfg.OUTPUT_DIR).absolute())


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    checkpoint_type: str = AUTOMATIC,
    clear_patterns: tuple[str, ...] = (),
    inflate_2d: bool = False,
    key: str = _KEY,
    content: Mapping[str, Any] | None = None,
) -> LoadReport:
    """Load a model's weights and log what matched. Every rank must call this.

    Args:
        model: The model, not wrapped.
        path: As for ``read_checkpoint``.
        checkpoint_type: TRAIN.CHECKPOINT_TYPE.
        clear_patterns: TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN; the first occurrence of each is removed
            from each key of the file, before it is converted.
        inflate_2d: TRAIN.CHECKPOINT_INFLATE.
        key: Config key of the path, for messages.
        content: Result of ``read_checkpoint`` for the path; None: it is read.

    Returns:
        The report.

    Raises:
        UserError: If the file cannot be found or read, or is of another architecture.
    """
    content = read_checkpoint(path, key=key) if content is None else content
    state = _find_state(content)
    try:
        for pattern in clear_patterns:
            state = {name.replace(pattern, "", 1): value for name, value in state.items()}
        adapt = getattr(model, "adapt_state", dict)  # e.g. to extract one encoder
        state = convert_state_dict(state, checkpoint_type, model.state_dict(), adapt)
        report = load_state(model, state, inflate_2d=inflate_2d)
    except UserError as error:
        hint = _saved_architecture(content) if isinstance(error, OtherArchitectureError) else ""
        raise ConfigValueError(key, f"{error}{hint}{describe_source(path)}") from error
    logger.info("weights from %s: %s", path, report)
    return report


def _saved_architecture(content: Mapping[str, Any]) -> str:
    """Name the architecture that a checkpoint says it is of; "" if it does not say."""
    words = architecture_words(content["cfg"]) if isinstance(content.get("cfg"), str) else ""
    return f" The checkpoint was trained with: {words}." if words else ""


def require_head(report: LoadReport, key: str) -> None:
    """Check that the head of a classifier, and a pooling that is trained, were loaded.

    Args:
        report: From ``load_weights``.
        key: Config key of the path, for the message.

    Raises:
        ConfigValueError: If a part of it would have random values.
    """
    missed = [name for name in report.missed if name.startswith(("head.", "pooling."))]
    if missed:
        why = report.skipped.get(missed[0], "the checkpoint has no such key")
        others = f" and {len(missed) - 1} more keys" if len(missed) > 1 else ""
        raise ConfigValueError(
            key,
            f"not loaded: '{missed[0]}'{others} of the classifier's head ({why}), so its scores "
            "would be random. Name a fine-tuned checkpoint or set MODEL.NUM_CLASSES to its "
            "classes; evaluate features without a head by "
            'TEST.PROTOCOLS, such as ["knn", "linear_probe"]; or set TEST.RANDOM_HEAD True.',
        )


def _find_state(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the dict of tensors in a checkpoint."""
    for container in _CONTAINERS:
        if isinstance(content.get(container), dict):
            return content[container]
    return content
