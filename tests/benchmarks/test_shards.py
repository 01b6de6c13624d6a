"""Tar shards against loose files, in miniature: equal clips, and rows for the table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_shards.py"


@pytest.mark.slow
def test_shards_in_miniature(tmp_path):
    out = tmp_path / "shards.json"
    command = [sys.executable, str(SCRIPT), "--tiny", "--folder", str(tmp_path), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert len(content["rows"]) == 4
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in content["rows"])
    assert content["setting"]["files"]["loose"] > content["setting"]["files"]["tars"]
