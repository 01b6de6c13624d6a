"""Labels in annotation files: one class per row, or the list of its classes.

A class is a number, or a name listed in ``classes.txt``. Grammar of a list (DATA.MULTI_LABEL):

* classes are separated by ``|``, ``;`` or ``,``, the first of these that occurs; numbers may also
  be separated by spaces. A text that is the name of a class is this one class;
* brackets around the list and quotes around names are optional: ``[1, 3]``, ``['run', 'jump']``;
* ``[]`` is a row without any class; an empty text is a row of unknown classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slowfast.config import UserError
from slowfast.datasets.annotations.manifest import NO_LABEL
from slowfast.utils.registry import nearest

__all__ = [
    "CLASSES_FILE",
    "Label",
    "as_integer",
    "is_label_list",
    "is_numbered_label",
    "parse_label",
    "split_labels",
]

CLASSES_FILE = "classes.txt"

_SEPARATORS = "|;,"
_QUOTES = "\"'"


class Label(NamedTuple):
    """The label of a row, as the two fields of a ``VideoRecord``.

    Attributes:
        label: The class; NO_LABEL if unknown, or if there is a list.
        labels: The list of classes, ascending; None if unknown, or if there is one class.
    """

    label: int = NO_LABEL
    labels: tuple[int, ...] | None = None


def as_integer(text: str) -> int | None:
    """Parse an integer; spreadsheets and pandas may write it as 3.0.

    Args:
        text: A value of a csv.

    Returns:
        The number; None if the text is not an integer.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def is_label_list(text: str) -> bool:
    """Return whether a text is a list of numbers, which is no label of one class.

    Args:
        text: A value of a csv.

    Returns:
        True for ``1,3`` and ``[1]``.
    """
    items = split_labels(text, {})
    is_list = len(items) > 1 or text.strip().startswith("[")
    return is_list and all(as_integer(item) is not None for item in items)


def split_labels(text: str, names: Mapping[str, int]) -> list[str]:
    """Split a list of classes; see the grammar of this module.

    Args:
        text: The list, not empty.
        names: Label of each class name.

    Returns:
        The numbers or names.
    """
    text = text.strip()
    if text in names:
        return [text]
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1].strip()
        if not text:
            return []
    separator = next((mark for mark in _SEPARATORS if mark in text), None)
    if separator is not None:
        return [item.strip().strip(_QUOTES).strip() for item in text.split(separator)]
    words = text.split()
    if len(words) > 1 and all(as_integer(word) is not None for word in words):
        return words
    return [text.strip(_QUOTES).strip()]


def parse_label(
    texts: Iterable[str], names: Mapping[str, int], where: str, *, multi_label: bool = False
) -> Label:
    """Parse the label of a row.

    Args:
        texts: The fields of the label; without ``multi_label`` one field.
        names: Label of each class name.
        where: ``file:line``, for the error message.
        multi_label: DATA.MULTI_LABEL; each field is a list of classes.

    Returns:
        The label; unknown if the fields are empty.

    Raises:
        UserError: If a text is neither a number nor the name of a class.
    """
    given = [text for text in texts if text]
    if not given:
        return Label()
    if not multi_label:
        return Label(_one_class(given[0], names, where))
    classes = set()
    for item in (item for text in given for item in split_labels(text, names)):
        number = _number(item, names)
        if number is None or number < 0:
            raise UserError(
                f"{where}: got the labels {', '.join(given)!r}, where {item!r} is "
                f"{_no_class(names)}. Expected classes separated by a comma, a semicolon or '|' "
                f"(the one that no name contains), [] for none.{_suggest(item, names)}"
            )
        classes.add(number)
    return Label(labels=tuple(sorted(classes)))


def _number(text: str, names: Mapping[str, int]) -> int | None:
    return names[text] if text in names else as_integer(text)


def _one_class(text: str, names: Mapping[str, int], where: str) -> int:
    number = _number(text, names)
    if number is not None:
        return number
    if is_label_list(text) or (names and _are_classes(text, names)):
        raise UserError(
            f"{where}: got the labels {text!r}; expected one class. For several classes per row "
            "set DATA.MULTI_LABEL True."
        )
    if names:
        raise UserError(f"{where}: {text!r} is {_no_class(names)}.{_suggest(text, names)}")
    raise UserError(
        f"{where}: column label: got {text!r}; expected a number, or the name of a class. To use "
        f"names, list all classes in {CLASSES_FILE} next to the csv, one per line."
    )


def _are_classes(text: str, names: Mapping[str, int]) -> bool:
    items = split_labels(text, names)
    return len(items) > 1 and all(item in names for item in items)


def _no_class(names: Mapping[str, int]) -> str:
    if names:
        return f"not a class of {CLASSES_FILE}"
    return f"no number from 0 on, and there is no {CLASSES_FILE} of class names"


def _suggest(text: str, names: Mapping[str, int]) -> str:
    return f" {nearest(text, names)}" if names else ""


def is_numbered_label(column: str) -> bool:
    """Return whether a column is one of several columns of labels.

    Args:
        column: Name in the header.

    Returns:
        True for ``label_1``, ``Label2``, ``class_3``, ...
    """
    return re.fullmatch(r"(label|class|target)s?_?\d+", column.strip().lower()) is not None
