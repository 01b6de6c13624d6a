"""Loss functions."""

from typing import TYPE_CHECKING

from slowfast.pyslowfast_names import names_of

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
