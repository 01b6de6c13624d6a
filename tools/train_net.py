#!/usr/bin/env python3
"""Train only: the same as run_net.py with TEST.ENABLE False."""

import sys

from run_net import main

if __name__ == "__main__":
    sys.exit(main([*sys.argv[1:], "TEST.ENABLE", "False"] if len(sys.argv) > 1 else []))
