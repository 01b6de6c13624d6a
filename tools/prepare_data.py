#!/usr/bin/env python3
"""Check, index and re-encode a folder of videos: prepare_data.py all videos --out prepared."""

import sys

try:
    from slowfast.cli.prepare_data import main
except ImportError as error:
    sys.exit(
        f"slowfast-stica is not installed in this Python ({error}).\n"
        "Install it from the root of the repository: python -m pip install -e '.[report]'"
    )

if __name__ == "__main__":
    sys.exit(main())
