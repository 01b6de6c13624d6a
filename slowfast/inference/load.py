"""Loads a frozen model from where its weights are."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import CfgNode, ConfigValueError, UserError, load_config
from slowfast.config.projects import import_installed_projects, import_project
from slowfast.engine.evaluator import view_counts
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.inference.adapters.contract import ModelFolder, find_model_folder
from slowfast.inference.adapters.load import load_adapted
from slowfast.inference.frozen import FrozenModel
from slowfast.models.build import construct_model
from slowfast.models.weights import AUTOMATIC, LoadReport, load_weights, read_checkpoint
from slowfast.models.zoo.rows import find_row, resolve
from slowfast.utils.checkpoint import find_last_checkpoint
from slowfast.utils.hub import HUB_SCHEME
from slowfast.utils.pretrained_folder import CONFIG_NAME, is_pretrained_folder

__all__ = ["FEATURES_OF", "WeightsSource", "find_weights", "load", "load_inference_config"]

logger = logging.getLogger(__name__)

_ZOO = "zoo://"
FEATURES_OF = {
    "head.": {"scores"},
    "head_video.": {"video_embedding"},
    "head_audio.": {"audio_embedding"},
    "audio_backbone.": {"audio", "audio_embedding"},
}
"""Part of a model -> features that it computes."""


class WeightsSource(NamedTuple):
    """Weights and the configuration of their model.

    Attributes:
        path: For ``read_checkpoint``.
        name: Name for messages.
        config: A YAML, a path or a name; "" for the configuration in the checkpoint.
        words: Overrides of it.
        content: Content of the checkpoint.
        is_own_run: Whether it is the user's own run, whose PROJECTS_PATH is trusted.
    """

    path: str
    name: str
    config: str
    words: tuple[str, ...]
    content: dict[str, Any]
    is_own_run: bool = False


def load(
    source: str | Path,
    *,
    cfg: str | Path | None = None,
    overrides: Sequence[Any] = (),
    device: str | torch.device = "auto",
) -> FrozenModel:
    """Load a frozen model.

    Args:
        source: ``zoo://NAME`` (MODEL_ZOO.md), the OUTPUT_DIR of a run, a checkpoint of this
            framework, a folder in Hugging Face's layout (``save_pretrained``), ``hf://ORG/NAME``, a
            folder of a model of ``transformers`` (docs/which_weights.md), or with ``cfg`` a
            checkpoint of another framework, as for TRAIN.CHECKPOINT_FILE_PATH.
        cfg: Configuration of the model: a YAML, or the name of a shipped one; None: that of the
            checkpoint, or of the row of the zoo.
        overrides: ``KEY, VALUE, KEY, VALUE, ...``, e.g. ``["TEST.NUM_ENSEMBLE_VIEWS", 4]``.
        device: "auto": a GPU if there is one.

    Returns:
        The model.

    Raises:
        UserError: If the weights cannot be found or read, or do not fit the configuration.
    """
    chosen = _choose_device(device)
    folder = _find_other_library(str(source))
    if folder is not None:
        if cfg is not None:
            raise UserError(f"{source} has a configuration of its own; leave out cfg (--cfg).")
        return load_adapted(folder, overrides, chosen)
    weights = find_weights(str(source), cfg)
    config = load_inference_config(weights, [str(word) for word in overrides])
    model = construct_model(config)
    report = load_weights(
        model,
        weights.path,
        checkpoint_type=config.TEST.CHECKPOINT_TYPE or AUTOMATIC,
        clear_patterns=tuple(config.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN),
        content=weights.content,
    )
    return FrozenModel(
        model,
        config,
        name=weights.name,
        class_names=weights.content.get("class_names", []),
        without=_random_features(model, report, weights.name),
        device=chosen,
    )


def _choose_device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device: got {device!r}; expected auto, cpu, cuda or cuda:N.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device: got {device!r}, but no GPU is visible; use cpu or auto.")
    return chosen


def _find_other_library(source: str) -> ModelFolder | None:
    """Return a folder of ``transformers``; None for weights of this framework and for files."""
    if "://" in source and not source.startswith(HUB_SCHEME):
        return None
    return find_model_folder(resolve(source).expanduser(), source)


def find_weights(source: str, cfg: str | Path | None) -> WeightsSource:
    """Find the weights of a source, and the configuration of their model.

    Args:
        source: As for ``load``.
        cfg: As for ``load``.

    Returns:
        The weights.

    Raises:
        UserError: If they cannot be found or read.
    """
    given = "" if cfg is None else str(cfg)
    if source.startswith(_ZOO):
        import_installed_projects()
        row = find_row(source)
        content = read_checkpoint(source)
        config, words = given or ("" if row.is_packaged else row.config), row.words
        if row.embed_config and not given:
            config, words = row.embed_config, row.embed_words
        return WeightsSource(source, source, config, () if given else words, content)
    if source.lower().endswith((".yaml", ".yml")):
        raise UserError(
            f"{source} is a configuration, not weights. Name the OUTPUT_DIR of a run or a "
            "checkpoint, and the configuration as cfg (--cfg)."
        )
    path = resolve(source).expanduser()
    if is_pretrained_folder(path):
        name = source if source.startswith(HUB_SCHEME) else path.resolve().name
        return WeightsSource(str(path), name, given, (), read_checkpoint(path))
    if find_model_folder(path, source) is not None:
        raise UserError(
            f"{source} is a model of another library, which slowfast.load, slowfast embed and "
            "slowfast predict read. Evaluations and training need weights of this framework."
        )
    if path.is_dir():
        last = find_last_checkpoint(path)
        if last is None:
            raise UserError(
                f"{path} is not the OUTPUT_DIR of a run: it has no checkpoint in checkpoints/, and "
                f"no {CONFIG_NAME} of slowfast export --format hf."
            )
        return WeightsSource(
            str(last), path.name, given, (), read_checkpoint(last), is_own_run=True
        )
    if "://" not in source and not path.exists():
        raise UserError(
            f"checkpoint not found: {source}. Name the OUTPUT_DIR of a run, a checkpoint, or "
            "weights with a name, zoo://NAME (MODEL_ZOO.md)."
        )
    content = read_checkpoint(path)
    return WeightsSource(str(path), path.stem, given, (), content)


def load_inference_config(
    weights: WeightsSource, overrides: list[str], *, own_data: bool = False
) -> CfgNode:
    """Load the configuration of the model, without what belongs to the training.

    Args:
        weights: From ``find_weights``.
        overrides: ``KEY VALUE KEY VALUE ...``.
        own_data: Keep how the dataset of the training is read.

    Returns:
        The frozen configuration, of a test.

    Raises:
        UserError: If the weights have none.
    """
    text = weights.content.get("cfg", "")
    if not weights.config and not (isinstance(text, str) and text.strip()):
        raise UserError(
            f"{weights.name} has no configuration: it is of another framework. Name that of its "
            "model as cfg (--cfg), such as Kinetics/SLOWFAST_8x8_R50.yaml."
        )
    fixed = ["TRAIN.ENABLE", "False", "TEST.ENABLE", "True", "DATA.DEMO_CFG", "", "NUM_GPUS", "-1"]
    fixed += ["TRAIN.CHECKPOINT_FILE_PATH", "", "TEST.CHECKPOINT_FILE_PATH", weights.path]
    fixed += ["DATA_LOADER.CACHE_DECODED", "False"]
    if not own_data:
        fixed += ["DATA.MULTI_LABEL", "False", "DATA.ROW_FIELDS", "[]", "DATA.PATH_PREFIX", ""]
    with tempfile.TemporaryDirectory() as folder:
        file = weights.config
        if not file:
            file = str(Path(folder) / "config.yaml")
            Path(file).write_text(text, encoding="utf-8")
            if not weights.is_own_run:  # no code from a folder that a stranger's file names
                fixed += ["PROJECTS_PATH", "[]"]
        with _quiet("slowfast.config.load"):
            loaded = load_config(file, [*weights.words, *fixed, *overrides], validate=False)
    cfg = loaded.cfg.clone()
    for name in cfg.PROJECTS:
        import_project(name, cfg.PROJECTS_PATH)
    cfg.defrost()
    cfg.TEST.NUM_ENSEMBLE_VIEWS = max(view_counts(cfg))
    cfg.TEST.NUM_TEMPORAL_CLIPS = []
    cfg.freeze()
    return with_sampling_of_weights(cfg, "TEST")


def _random_features(model: nn.Module, report: LoadReport, name: str) -> set[str]:
    """Return the features that would be random, as the weights lack a part of the model.

    Raises:
        ConfigValueError: If the pooling is missing, which all features of a modality pass.
    """
    pooling = next((key for key in report.missed if key.startswith("pooling.")), "")
    if pooling:
        raise ConfigValueError(
            "MODEL.POOLING",
            f"{name} has no weights of the pooling ({pooling}), so features would be random. Set "
            "MODEL.POOLING avg, or the pooling that it was trained with.",
        )
    random = set[str]() if getattr(model, "classifies", True) else {"scores"}
    for part, features in FEATURES_OF.items():
        missed = next((key for key in report.missed if key.startswith(part)), "")
        if missed and features - random:
            logger.info("no %s: the weights have no %s", ", ".join(sorted(features)), missed)
            random |= features
    if random & {"video_embedding", "audio_embedding"}:
        random.add("similarity")
    return random


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence the warnings about renamed keys: the file is not the user's to change."""
    source = logging.getLogger(name)
    level = source.level
    source.setLevel(logging.ERROR)
    try:
        yield
    finally:
        source.setLevel(level)
