"""``python -m slowfast`` is the command ``slowfast``."""

import os
import sys

if __name__ == "__main__":
    # ``python -m`` searches the working folder first: a ``torch.py`` there would be imported. It
    # goes before anything else is imported, unless this package itself is there.
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if not sys.flags.safe_path and sys.path[0] != own:
        del sys.path[0]

    from slowfast.cli.main import main

    sys.exit(main())
