#!/usr/bin/env python3
"""Train and test what a YAML says: run_net.py --cfg configs/StiCA/R2plus1D_pretrain.yaml."""

import sys

try:
    from slowfast.cli.run_net import main
except ImportError as error:
    sys.exit(
        f"slowfast-stica is not installed in this Python ({error}).\n"
        "Install it from the root of the repository: python -m pip install -e '.[report]'"
    )

if __name__ == "__main__":
    sys.exit(main())
