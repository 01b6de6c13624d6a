#!/usr/bin/env python3
"""Run many configs from one YAML and compare them: sweep_net.py --sweep X.yaml (docs/sweeps.md)."""

import sys

try:
    from slowfast.cli.sweep_net import main
except ImportError as error:
    sys.exit(
        f"slowfast-stica is not installed in this Python ({error}).\n"
        "Install it from the root of the repository: python -m pip install -e '.[report]'"
    )

if __name__ == "__main__":
    sys.exit(main())
