"""The tests that need a GPU: the same numbers as on the CPU (``pytest -m gpu``).

On the CPU (``--device cpu``) those of ``tests/gpu`` compare the CPU with itself, which tests them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

from common import ROOT, Result, harness, parse_arguments


def main() -> None:
    """Run pytest and record each test."""
    args = parse_arguments(__doc__)
    result = Result(args)
    if find_spec("pytest") is None:
        result.finish(["pytest is not installed"])
        return
    files = files_with_tests() if args.device == "cuda" else ["tests/gpu"]
    if args.tiny:
        files = ["tests/gpu", "-k", "simclr or overflow"]
    environment = {**os.environ, "SLOWFAST_TEST_DEVICE": args.device}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *(str(path) for path in sorted(ROOT.glob("projects/*")))]
    )
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        words += ["--continue-on-collection-errors", "--tb=short"]
        command = [sys.executable, "-m", "pytest", *words, *files]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, timeout=max(5.0, result.left), check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            result.add(output=str(error.output)[-2000:])
            result.finish(["the tests did not end in time"])
            return
        tests = read_report(report) if report.exists() else []
    by_outcome = {
        outcome: [test for test in tests if test["outcome"] == outcome]
        for outcome in ("passed", "failed", "skipped", "not collected")
    }
    failed = by_outcome["failed"]
    row = harness.row(
        "gpu tests that fail",
        len(failed) if tests else None,
        unit="tests",
        target="<= 0",
        why=", ".join(f"{len(found)} {name}" for name, found in by_outcome.items() if found)
        + "".join(f"; {test['name']}: {test['message']}" for test in failed[:5]),
    )
    result.add(row, tests=tests, status=done.returncode, output=done.stdout[-2000:])
    # Files whose libraries are not installed here are no failures of the GPU.
    result.finish([f"{test['name']} (not collected)" for test in by_outcome["not collected"]])


def files_with_tests() -> list[str]:
    """List the test files that have tests for a GPU."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file) for file in files if "mark.gpu" in file.read_text(encoding="utf-8")]


def read_report(path: Path) -> list[dict[str, str]]:
    """Read name, outcome and message of each test from a JUnit file."""
    tests = []
    for case in ET.parse(path).getroot().iter("testcase"):
        found = {child.tag: child for child in case}
        bad = found.get("failure", found.get("error"))
        outcome = "failed" if bad is not None else "skipped" if "skipped" in found else "passed"
        if bad is not None and bad.get("message") == "collection failure":
            outcome = "not collected"
        message = "" if bad is None else " ".join(bad.get("message", "").split())[:300]
        name = f"{case.get('classname')}::{case.get('name')}"
        tests.append({"name": name, "outcome": outcome, "message": message})
    return tests


if __name__ == "__main__":
    sys.exit(main())
