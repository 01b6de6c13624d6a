import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def _importable(monkeypatch):
    """Benchmarks are scripts: they import each other from their folder."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
