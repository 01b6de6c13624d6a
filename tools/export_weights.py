#!/usr/bin/env python3
"""Publish small weights with a project: export_weights.py --checkpoint RUN --out FOLDER/NAME."""

import sys

try:
    from slowfast.cli.export_weights import main
except ImportError as error:
    sys.exit(
        f"slowfast-stica is not installed in this Python ({error}).\n"
        "Install it from the root of the repository: python -m pip install -e '.[report]'"
    )

if __name__ == "__main__":
    sys.exit(main())
