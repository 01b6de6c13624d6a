"""A section of a report."""

from __future__ import annotations

from typing import Any, NamedTuple

from slowfast.visualization.pages import fragment

__all__ = ["Section", "make_section"]


class Section(NamedTuple):
    """A section of a report.

    Attributes:
        title: Its heading, also in the navigation; unique in a report.
        html: Its content, made by ``slowfast.visualization.pages.fragment``.
    """

    title: str
    html: str


def make_section(title: str, template: str, **data: Any) -> Section:
    """Render a section.

    Args:
        title: Its heading.
        template: A file in ``pages/templates``, such as "report/training.html".
        data: Values for the template, which are escaped.

    Returns:
        The section.
    """
    return Section(title, fragment(template, **data))
