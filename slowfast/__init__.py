"""A PySlowFast-style framework for learning from video and audio."""

import sys as _sys

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from slowfast.inference.frozen import FrozenModel
    from slowfast.inference.load import load

__all__ = ["FrozenModel", "load"]
__version__ = "0.1.0"

_LAZY = {"load": "slowfast.inference.load", "FrozenModel": "slowfast.inference.frozen"}
"""Names of the Python API -> module. They are imported on use, so that a command starts fast."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


class _PySlowFastModules:
    """Finds modules of PySlowFast that do not exist here; see ``pyslowfast_names``."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if not name.startswith("slowfast."):
            return None
        from slowfast.pyslowfast_names import find_spec

        return find_spec(name)


_sys.meta_path.append(_PySlowFastModules)
