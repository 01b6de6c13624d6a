"""A PySlowFast-style framework for learning from video and audio."""

import sys as _sys

__version__ = "0.1.0"


class _PySlowFastModules:
    """Finds modules of PySlowFast that do not exist here; see ``pyslowfast_names``."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if not name.startswith("slowfast."):
            return None
        from slowfast.pyslowfast_names import find_spec

        return find_spec(name)


_sys.meta_path.append(_PySlowFastModules)
