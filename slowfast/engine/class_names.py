"""Names of the classes of a head: of a file, of the checkpoint, or of the tested data."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, Problem, UserError, register_check
from slowfast.datasets.annotations.csv_rows import read_classes

__all__ = ["check_class_names", "choose_class_names", "read_class_names"]

logger = logging.getLogger(__name__)

_KEY = "TENSORBOARD.CLASS_NAMES_PATH"


def read_class_names(file: str, *, key: str = _KEY) -> list[str]:
    """Read the names of classes.

    Args:
        file: TENSORBOARD.CLASS_NAMES_PATH: PySlowFast's json of name -> label, a json list, or one
            name per line as in ``classes.txt``. Empty: no file.
        key: Config key or option that names the file, for messages.

    Returns:
        The names in the order of the labels; empty without a file.

    Raises:
        UserError: If the file is missing or has another format.
    """
    if not file:
        return []
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigValueError(key, f"no such file: {path}.")
    if path.suffix.lower() != ".json":
        try:
            return read_classes(path)
        except UserError as error:
            raise ConfigValueError(key, str(error)) from error
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigValueError(key, f"{path} is not valid json: {error}.") from error
    if isinstance(content, dict) and sorted(content.values(), key=str) == sorted(
        range(len(content)), key=str
    ):
        return sorted(content, key=content.__getitem__)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return content
    raise ConfigValueError(
        key,
        f"{path}: expected an object of class name and label, with labels from 0 to the number of "
        'classes - 1, as in {"jump": 0, "run": 1}, or a list of names.',
    )


def choose_class_names(
    file: Sequence[str], checkpoint: Sequence[str], data: Sequence[str]
) -> list[str]:
    """Choose the names of the head's classes; warn if the data numbers its classes differently.

    Args:
        file: Names of TENSORBOARD.CLASS_NAMES_PATH.
        checkpoint: Names of the classes that the model was trained on.
        data: Names of the classes of the tested data.

    Returns:
        The first of the three that is not empty.
    """
    names = list(file or checkpoint or data)
    if data and checkpoint and list(data) != list(checkpoint):
        pairs = enumerate(zip(checkpoint, data, strict=False))
        other = next((f"class {n} is {a!r} there, {b!r} here" for n, (a, b) in pairs if a != b), "")
        logger.warning(
            "the checkpoint was trained on %d named classes, the tested data has %d%s. Labels are "
            "compared by their numbers: list the classes in the order of training in classes.txt",
            len(checkpoint),
            len(data),
            f"; {other}" if other else "",
        )
    return names


@register_check
def check_class_names(cfg: CfgNode) -> list[Problem]:
    """Find a TENSORBOARD.CLASS_NAMES_PATH that cannot be read.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem.
    """
    try:
        read_class_names(cfg.TENSORBOARD.CLASS_NAMES_PATH if cfg.TEST.ENABLE else "")
    except ConfigValueError as error:
        return [error.problem]
    return []
