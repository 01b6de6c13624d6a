"""``python -m slowfast`` is the command ``slowfast``."""

import sys

from slowfast.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
