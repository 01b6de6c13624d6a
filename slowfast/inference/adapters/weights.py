"""Loads models of ``transformers`` from safetensors files; no code and no pickle is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from slowfast.config import UserError
from slowfast.inference.adapters.contract import ModelFolder

__all__ = ["load_model", "transformers_class"]

_HINT = "pip install 'slowfast-stica[transformers]'"


def transformers_class(name: str, folder: ModelFolder) -> Any:
    """Import a class of ``transformers``.

    Args:
        name: Its name.
        folder: The model that needs it.

    Returns:
        The class.

    Raises:
        UserError: If ``transformers`` is not installed, or too old.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{folder.name}: {folder.model_type!r} needs transformers: {_HINT}"
        ) from error
    try:
        return getattr(transformers, name)
    except (AttributeError, ImportError) as error:
        raise UserError(
            f"{folder.name}: {folder.model_type!r} needs {name}, which transformers "
            f"{transformers.__version__} does not have or cannot import. Upgrade it: {_HINT} -U"
        ) from error


def load_model(class_name: str, folder: ModelFolder) -> nn.Module:
    """Load a model in float32.

    Args:
        class_name: Class of ``transformers``.
        folder: The folder.

    Returns:
        The model, with every weight from the folder.

    Raises:
        UserError: If the folder has no safetensors file, or lacks weights of this class.
    """
    if not any(folder.path.glob("*.safetensors")):
        pickled = [file.name for file in folder.path.glob("*.bin")][:1]
        why = "".join(f"{name} is a pickle, which could run code. " for name in pickled)
        raise UserError(
            f"{folder.name} has no *.safetensors file. {why}"
            "Choose a revision with safetensors, or save the model again with save_pretrained."
        )
    model_class = transformers_class(class_name, folder)
    try:
        with _quiet():
            model, report = model_class.from_pretrained(
                folder.path,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are reported below
                dtype=torch.float32,
            )
    except ImportError as error:  # such as timm, for the image encoder of PE-AV
        raise UserError(f"{folder.name}: {_first_line(error)}") from error
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise UserError(
            f"{folder.name} cannot be loaded as {class_name}: {_first_line(error)}"
        ) from error
    misfits = [f"{name} {tuple(had)}" for name, had, _ in report["mismatched_keys"]]
    if missing := sorted([*report["missing_keys"], *misfits]):
        raise UserError(
            f"{folder.name}: {len(missing)} weights of {class_name} are missing or of another "
            f"shape, such as {missing[0]}. They do not belong to its config.json, or are damaged."
        )
    loaded: nn.Module = model
    return loaded


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the library's progress bar and its list of weights that are not used."""
    from transformers.utils import logging

    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
