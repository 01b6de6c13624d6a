"""Renders templates to self-contained pages and to fragments of pages."""

from __future__ import annotations

import json
import math
import re
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slowfast.config import UserError
from slowfast.utils.io import atomic_path

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["fragment", "render"]

_HERE = Path(__file__).parent


def render(template: str, path: str | Path, **data: Any) -> Path:
    """Write a page.

    Args:
        template: Name of a file in ``templates/`` that extends ``base.html``.
        path: The HTML file to write; it is replaced at once, or not at all.
        data: Values for the template: strings, numbers, lists, dicts, objects with attributes. They
            are escaped; HTML made by ``fragment`` is not escaped again. ``title`` is needed;
            ``lead``, a sentence below it, is optional.

    Returns:
        The path.

    Raises:
        UserError: If Jinja2 is not installed, or the page cannot be written.
    """
    text = _environment().get_template(template).render(nonce=secrets.token_urlsafe(16), **data)
    path = Path(path)
    try:
        with atomic_path(path) as temporary:
            # A file name may hold bytes that are no UTF-8.
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def fragment(template: str, **data: Any) -> Markup:
    """Render a part of a page.

    Args:
        template: Name of a file in ``templates/`` that does not extend ``base.html``.
        data: As for ``render``.

    Returns:
        HTML that other templates include as it is.

    Raises:
        UserError: If Jinja2 is not installed.
    """
    environment = _environment()
    from markupsafe import Markup

    return Markup(environment.get_template(template).render(**data))


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise UserError("a page needs Jinja2: pip install 'slowfast-stica[report]'") from error
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = _dump_json
    environment.filters |= {"number": format_number, "percent": format_percent}
    environment.filters |= {"duration": format_duration, "slug": _slug}
    environment.globals["asset"] = lambda name: Markup(
        (_HERE / "assets" / name).read_text(encoding="utf-8")
    )
    return environment


def _slug(title: str) -> str:
    """Return a title as an id: lower-case words with hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _dump_json(value: Any, **options: Any) -> str:
    """Dump JSON that browsers accept: numbers that are not finite become null."""
    return json.dumps(_plain(value), **{**options, "separators": (",", ":")})


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and torch
        return _plain(value.tolist())
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def format_number(value: float | None, digits: int = 4) -> str:
    """Format a number for reading.

    Args:
        value: The number; None is a dash.
        digits: Significant digits; integers keep all of theirs.

    Returns:
        E.g. "12,345", "0.8163", "9.39e-09".
    """
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def format_percent(fraction: float | None, digits: int = 1) -> str:
    """Format a fraction as percent.

    Args:
        fraction: 0 to 1; None is a dash.
        digits: Digits after the point.

    Returns:
        E.g. "94.5 %".
    """
    if fraction is None or not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f} %"


def format_duration(seconds: float | None) -> str:
    """Format a duration.

    Args:
        seconds: The duration; None is a dash.

    Returns:
        E.g. "0.62 s", "9 min 24 s", "3 h 05 min", "2 d 04 h".
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, size, lower, step in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // step:02d} {lower}"
    return f"{whole // 60} min {whole % 60:02d} s"
